"""Gates whose commands hang: each try and the whole end in time, nothing is built on them, and many do not beat as one."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.acting import Heard
from support.real import RealWorkspace, formula
from support.targets import target
from support.watching import Watched, watched

from provisioning.adapters.memory import FakeClock
from provisioning.adapters.memory.hosts import Answer, FakeHosts
from provisioning.core.declare import Server, Workspace
from provisioning.core.model import Action
from provisioning.core.ports import Task
from provisioning.engine.actions.probe import ProbeAction
from provisioning.engine.actions.taskserv import Site

Say = Callable[[str], None]
TRY_S, WHOLE_S, TOLERANCE = 10.0, 24.0, 1.1
VERDICT = re.compile(r"(\w+)/gate  failed after .*? did not open: [^;]* in ([0-9.]+) s")
ASK = "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"


@dataclass(frozen=True, kw_only=True)
class Hung:
    """A run on hung gates: the seconds of each try of each gate, and of each gate as a whole."""

    seen: Watched
    tries: Mapping[str, list[float]]
    wholes: Mapping[str, float]

    @property
    def late(self) -> list[str]:
        """The gates of which a try, but the last one, which the end of the gate may cut, or the whole took too long."""
        return [
            name
            for name, calls in self.tries.items()
            if max(calls[:2]) > TRY_S * TOLERANCE or self.wholes[name] > WHOLE_S * TOLERANCE
        ]


@pytest.mark.sshd
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hung_gate_ends_each_try_and_itself_in_time_and_nothing_is_built_on_it(
    tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers], say: Say
) -> None:
    workspace = RealWorkspace(tmp_path / "workspace", throwaway_servers("one"))
    workspace.taskserv("base")
    workspace.taskserv("above")

    for _ in range(3):  # a busy machine makes some runs longer, a limit that is not kept makes all
        hung = run_on_hung_gates(workspace)
        if not hung.late:
            break

    assert hung.late == [], hung
    longest_s, whole_s = max(max(calls) for calls in hung.tries.values()), max(hung.wholes.values())
    say(f"3 hung gates: tries of {TRY_S} s took at most {longest_s:.2f} s, gates of {WHOLE_S} s at most {whole_s:.1f} s")
    say(f"memory of the runner meanwhile: {hung.seen.peak_mib:.0f} MiB")


def run_on_hung_gates(workspace: RealWorkspace) -> Hung:
    """Run into three gates that hang, each in its own way; judge what must hold however busy the machine is."""
    limits = {"timeout_ms": WHOLE_S * 1000, "probe_timeout_ms": TRY_S * 1000, "interval_ms": 200, "retries": 9}
    with ExitStack() as stack:
        targets = {
            "frozen": stack.enter_context(target()),
            "dripping": stack.enter_context(target(b".", 0.2)),
            "endless": stack.enter_context(target(b"x" * 65536, 0.02)),
        }
        formulas = []
        for name, one in targets.items():
            gate = {"check_cmd": ASK.format(port=one.port), **{key: int(value) for key, value in limits.items()}}
            formulas += [
                formula(name, "one", "base", health_gate=gate),
                formula(f"on-{name}", "one", "above", after=[name]),
            ]
        workspace.dag(*formulas)

        seen = watched(workspace, "taskserv", "create", "--all", "--keep-going", timeout_s=150)

        tries = {name: list(one.calls) for name, one in targets.items()}
    assert seen.ended.code == 5, seen.ended.err
    assert "above" not in workspace.begun()
    wholes = {name: float(seconds) for name, seconds in VERDICT.findall(seen.ended.err)}
    assert set(wholes) == set(tries)
    assert all(seconds >= WHOLE_S for seconds in wholes.values()), wholes
    reached = 0.9 * TRY_S  # a target is reached a moment after its try has begun, on a busy machine a long one
    assert all(len(calls) == 3 and min(calls[:2]) >= reached for calls in tries.values()), tries
    return Hung(seen=seen, tries=tries, wholes=wholes)


async def test_a_hundred_gates_that_fail_together_do_not_probe_together(say: Say) -> None:
    clock = FakeClock(auto=True)
    hosts = FakeHosts(clock)
    hosts.on_probe("ask", Answer(code=1))
    names = [f"node-{number:03}" for number in range(100)]
    servers = {name: Server(hostname=name, address="192.0.2.1") for name in names}
    site = Site(workspace=Workspace(name="test", path="/"), servers=servers, taskservs={}, lineage="l", token=1)
    action, context = ProbeAction(site, hosts), Heard(clock)
    interval_s, retries = 10.0, 5
    settings = {"check_cmd": "ask", "retries": retries, "timeout_ms": 600_000, "interval_ms": int(interval_s * 1000)}

    results = await asyncio.gather(*(action.run(probing({**settings, "server": name}), context) for name in names))

    assert {result.error_kind for result in results} == {"gate"}
    assert Counter(server for server, _command in hosts.probed) == dict.fromkeys(names, retries), "as many tries as it may make"
    started = [call.started_s for call in hosts.calls if call.what == "probe"]
    crowds = Counter(int(at // (interval_s / 10)) for at in started if at > 0)
    say(f"100 gates, {len(started)} probes: after the first at most {max(crowds.values())} in a tenth of the interval")
    assert max(crowds.values()) <= 40
    waited = [max(call.started_s for call in hosts.calls if call.server == name and call.what == "probe") for name in names]
    least_s = interval_s * (1 + 1.5 + 1.5**2 + 1.5**3)
    assert all(least_s <= seconds <= least_s + interval_s for seconds in waited), "never earlier, never a whole wait later"


def probing(settings: Mapping[str, object]) -> Task:
    action = Action(type="probe", settings=settings)
    return Task(run="r", step=f"{settings['server']}/gate", attempt=1, epoch=1, action=action)
