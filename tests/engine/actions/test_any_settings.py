"""Whatever stands in the settings and arguments of a step: it is refused, or it is done; it is never a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.acting import Heard, task_of

from provisioning.adapters.memory import FakeFetch, FakeProcesses
from provisioning.core.model import Action as ActionOf
from provisioning.core.outside import Fetched
from provisioning.engine.actions import Action, docker, http, shell

texts = st.text(max_size=12) | st.sampled_from(
    ["a", "-x", "GET", "json", "text", "https://a.example/", "http://[", "/a:/b", "a\0", "\ud800", "%", "#", "=", "'", "\n"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)

ACTIONS: Mapping[str, tuple[Callable[[], Action], Any, Mapping[str, object]]] = {
    "shell": (lambda: shell.ShellAction(FakeProcesses()), shell, {"command": "echo"}),
    "docker": (lambda: docker.DockerAction(FakeProcesses()), docker, {"image": "busybox"}),
    "http": (lambda: http.HttpAction(_web()), http, {"url": "https://a.example/"}),
}


def _web() -> FakeFetch:
    web = FakeFetch({"a.example": ["8.8.8.8"]})
    web.on("GET", "https://a.example/", Fetched(kind="answer", status=302, headers=(("Location", "/b?c#d"),), body=b"{}"))
    return web


@pytest.mark.parametrize("name", ACTIONS)
@settings(max_examples=100)
@given(data=st.data())
def test_any_settings_and_arguments_end_in_a_verdict(name: str, data: st.DataObject) -> None:
    make, module, right = ACTIONS[name]
    chosen = data.draw(st.dictionaries(st.sampled_from([*module.SETTINGS, "other"]), values, max_size=4))
    args = data.draw(values)
    found = module.check_settings({**right, **chosen})
    task = replace(task_of(name, args=args), action=ActionOf(type=name, settings={**right, **chosen}))
    result = asyncio.run(make().run(task, Heard()))

    assert all(isinstance(fault, str) for fault in found)
    assert result.error_kind == "settings" or not found or isinstance(args, Mapping)  # arguments may mend them
