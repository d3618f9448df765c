"""Size: a hundred servers at once, and scripts that print without end. The runner's memory is looked at, not its seconds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.real import RealWorkspace, formula

pytestmark = [pytest.mark.sshd, pytest.mark.slow]
MIB = 1024 * 1024


def measured(workspace: RealWorkspace, *arguments: str, timeout_s: float) -> tuple[int, float, str]:
    """Run `taskserv create`; return its exit code, the peak of its resident memory in MiB, and what it printed."""
    printed = workspace.folder.parent / "printed.json"
    with printed.open("w") as out:
        child = subprocess.Popen(
            workspace.command("taskserv", "create", "-o", "json", *arguments), stdout=out, stderr=subprocess.DEVNULL
        )
        peak_kib = 0
        until = time.monotonic() + timeout_s
        while child.poll() is None:
            assert time.monotonic() < until, "it took too long"
            with suppress(OSError, IndexError):  # it has just ended
                status = Path(f"/proc/{child.pid}/status").read_text("utf-8")
                peak_kib = max(peak_kib, int(status.split("VmHWM:")[1].split()[0]))
            time.sleep(0.02)
    return child.returncode, peak_kib / 1024, printed.read_text("utf-8")


@pytest.mark.timeout(600)
def test_a_hundred_servers_with_five_taskservs_and_a_gate_each(
    tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"node-{number:03}" for number in range(100)]
    workspace = RealWorkspace(tmp_path / "workspace", throwaway_servers(*names, shared=True))
    taskservs = ("os", "runtime", "store", "web", "check")
    for name in taskservs:
        proof = f'. ./env-{name}; [ "$NAME" = "$PROVISIONING_SERVER" ] && echo "$PORT" >"$DEMO_ROOT/{name}"'
        extra = {f"env-{name}.j2": "NAME={{ server.hostname }}\nPORT={{ server.ssh.port }}\n", "notes.txt": "plain\n"}
        workspace.taskserv(name, proof, extra=extra)
    gate = {"check_cmd": 'test "$(ls "$DEMO_ROOT" | wc -l)" = 5', "retries": 2, "timeout_ms": 20000}
    workspace.dag(*(formula(f"f-{name}", name, *taskservs, health_gate=gate) for name in names))

    began = time.monotonic()
    code, peak_mib, out = measured(workspace, "--all", "--max-parallel", "64", timeout_s=200)
    took_s = time.monotonic() - began

    assert code == 0
    steps = json.loads(out)["steps"]
    assert len(steps) == 600
    assert {step["state"] for step in steps} == {"succeeded"}
    for name in names:
        for taskserv in taskservs:
            assert (workspace.servers.server(name).root / taskserv).exists()
    assert set(workspace.states().values()) == {"completed"}
    assert len(workspace.state()) == 500
    assert peak_mib < 120
    with capsys.disabled():
        sys.stdout.write(f"\n100 servers x (5 taskservs + gate): {took_s:.1f} s, peak {peak_mib:.0f} MiB\n")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mib", [256, pytest.param(1024, marks=pytest.mark.soak)])
def test_a_flood_of_output_leaves_the_runners_memory_flat_and_its_log_capped(
    tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers], mib: int, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = RealWorkspace(tmp_path / "workspace", throwaway_servers("one"))
    workspace.taskserv("quiet", "echo little")
    workspace.taskserv("loud", f"yes 'all work and no play makes jack a dull boy' | head -c {mib * MIB}; echo the-last-line")
    workspace.dag(formula("a", "one", "quiet"))
    _code, quiet_mib, _out = measured(workspace, "--all", timeout_s=60)
    workspace.dag(formula("a", "one", "loud"))

    began = time.monotonic()
    code, peak_mib, out = measured(workspace, "--all", timeout_s=220)
    took_s = time.monotonic() - began

    assert code == 0
    assert peak_mib < quiet_mib + 64
    log = Path(json.loads(out)["steps"][0]["log"])
    assert log.stat().st_size < 12 * MIB
    text = log.read_text("utf-8")
    assert "left out" in text
    assert text.rstrip().endswith("the-last-line")
    with capsys.disabled():
        sys.stdout.write(f"\n{mib} MiB of output: {took_s:.1f} s, peak {peak_mib:.0f} MiB, {quiet_mib:.0f} MiB without it\n")
