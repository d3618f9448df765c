"""A workflow in Python installs a taskserv on a real server of a workspace, between functions; the state file knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.flows import LONG_S, client, flow, play, stage, states
from support.real import RealWorkspace

from provisioning.builder import acts

pytestmark = pytest.mark.sshd


async def test_functions_taskservs_and_probes_in_one_run(
    tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers]
) -> None:
    on = stage()
    workspace = RealWorkspace(tmp_path / "shop", throwaway_servers("one"))
    workspace.taskserv("hello", f"echo hello > {tmp_path}/hello; echo done")
    workspace.dag({"id": "web", "server": "one", "nodes": [{"taskserv": "hello"}]})
    wf = flow()
    ready = wf.step("ready", play, "ready")
    install = wf.step("web/hello", acts.taskserv("one", "hello", formula="web", digest="d1"), after=ready)
    gate = wf.step("web/gate", acts.probe("one", f"cat {tmp_path}/hello", formula="web", expected="hello"), after=install)
    wf.step("told", play, "told", gate.ref())

    async with client(workspace.folder) as it:
        run = await it.submit(wf)
        probed = await it.result(run, "told", timeout_s=LONG_S)
        info = await it.wait(run)

    assert set(states(info).values()) == {"succeeded"}
    assert isinstance(probed, dict)
    assert (probed["probes"], probed["last_output"]) == (1, "hello")
    assert on.called == ["ready", "told"]
    state = json.loads((workspace.folder / ".provisioning" / "state.json").read_text("utf-8"))
    resource = state["servers"]["one"]["taskservs"]["hello"]
    assert (resource["state"], resource["digest"], resource["run_id"]) == ("completed", "d1", run)
    assert resource["actor"]["source"] == "python"
    assert workspace.run("state", "show", "-o", "json").code == 0
