"""Topics of streams: whatever a step is called, its log can be followed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.served import served

from provisioning.operations.hosting.topics import Topic, parse_topics

ODD = ("one, two", "x@stderr", "100%", "%2C", "a,b,c/d", "ä ö")


@given(
    st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=20, unique=True), st.sampled_from(["stdout", "stderr"])
)
def test_topics_about_any_steps_are_read_as_they_were_meant(steps: list[str], stream: str) -> None:
    text = ",".join(str(Topic(kind="log", run="r", step=step, stream=stream)) for step in steps)
    assert [(topic.step, topic.stream) for topic in parse_topics(text)] == [(step, stream) for step in steps]


def test_a_topic_is_named_as_its_client_wrote_it() -> None:
    for text in ("log:r/a%2Cb", "log:r/a%2cb", "log:r/a b@stderr", "log:r/%61"):
        assert str(parse_topics(text)[0]) == text
    assert parse_topics("log:r/%61") == parse_topics("log:r/a")


@pytest.mark.parametrize("step", ODD)
def test_a_step_of_any_name_is_followed_beside_others(tmp_path: Path, step: str) -> None:
    async def story() -> None:
        text = f"steps:\n  - name: {json.dumps(step)}\n    command: echo odd\n  - {{name: one, command: 'echo one'}}\n"
        async with served(tmp_path, {"odd": text}) as here:
            id = (await here.until(await here.started("odd")))["run_id"]
            topics = [f"log:{id}/one", f"log:{id}/{quote(step, safe='')}", f"run:{id}"]
            found: dict[str, str] = {}
            async with here.stream(",".join(topics)) as stream:
                while set(found) < set(topics[:2]):
                    _id, kind, data = await stream.next()
                    if kind == "log" and data["text"]:
                        found[data["topic"]] = data["text"]
            assert found == {topics[0]: "one\n", topics[1]: "odd\n"}

    asyncio.run(story())
