"""One test per row of the defect table that a run settles, on the real runner with servers that are fakes."""

from __future__ import annotations

import re
import shlex

import pytest
from support.faked import FakedWorkspace, Meeting, steps, tree
from support.opened import opened
from support.real import formula

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.hosts import Answer
from provisioning.core.events import Kind
from provisioning.core.plan import Plan, Selection
from provisioning.errors import Unreachable
from provisioning.operations import Listener, RunOptions

GATE = {"check_cmd": "is-healthy", "retries": 3, "timeout_ms": 60_000, "interval_ms": 20}
FAILS = Answer(code=9, output=b"no space left\n")


@pytest.fixture
def chain(lab: FakedWorkspace) -> FakedWorkspace:
    """base -> etcd (gate) -> cp, and web apart."""
    lab.dag(
        formula("base", "cp-0", "os", "containerd"),
        formula("etcd", "etcd-0", "etcd", after=["base"], health_gate=GATE),
        formula("cp", "cp-0", "kubernetes", after=["etcd"]),
        formula("web", "web-0", "nginx"),
    )
    return lab


def test_defect_01_prerequisites_are_run_and_not_only_printed(chain: FakedWorkspace) -> None:
    assert chain.create("kubernetes").code == 0
    assert chain.started == ["os", "containerd", "etcd", "kubernetes"]


def test_defect_02_the_whole_dag_runs_every_formula_and_probes_every_gate(chain: FakedWorkspace) -> None:
    ended = chain.create("--all")

    assert ended.code == 0
    assert set(chain.started) == {"os", "containerd", "etcd", "kubernetes", "nginx"}
    assert chain.hosts.probed == [("etcd-0", "is-healthy")]
    assert set(steps(ended).values()) == {"succeeded"}


@pytest.mark.parametrize("arguments", [["--all"], ["kubernetes"]], ids=["whole DAG", "by name"])
def test_defect_03_a_failed_node_halts_the_chain_and_its_dependents_are_blocked(
    chain: FakedWorkspace, arguments: list[str]
) -> None:
    chain.hosts.on_start("etcd", FAILS)

    ended = chain.create(*arguments)

    assert ended.code == 1
    assert "kubernetes" not in chain.started
    assert ended.json["status"] == "failed"
    blocked = next(step for step in ended.json["steps"] if step["id"] == "cp/kubernetes")
    assert "etcd/etcd" in blocked["reason"]
    assert chain.states()["cp-0/kubernetes"] == "blocked"


def test_defect_10_check_writes_nothing_and_contacts_nobody(chain: FakedWorkspace) -> None:
    chain.hosts.on_start("kubernetes", FAILS)
    chain.create("--all")  # so that there is a state file, with every kind of state
    before, calls = tree(chain.folder), len(chain.hosts.calls)

    for arguments in (["--all"], ["kubernetes", "--reset"], ["kubernetes", "--only"], ["nginx", "--upload"]):
        assert chain.create(*arguments, "--check").code == 0
    assert chain.run("dag", "plan").code == 0

    assert (tree(chain.folder), len(chain.hosts.calls)) == (before, calls)


def test_defect_10_check_in_a_workspace_where_nothing_ever_ran_leaves_it_so(chain: FakedWorkspace) -> None:
    before = tree(chain.folder)
    assert steps(chain.create("--all", "--check"))["etcd/gate"] == "verify"
    assert (tree(chain.folder), chain.hosts.calls) == (before, [])


def test_defect_10_only_check_with_connect_contacts_servers_and_still_writes_nothing(chain: FakedWorkspace) -> None:
    before = tree(chain.folder)
    chain.hosts.on_link("web-0", Unreachable("no route to web-0"))

    ended = chain.create("--all", "--check", "--connect")

    assert (ended.code, chain.started, tree(chain.folder)) == (7, [], before)
    assert chain.hosts.probed == [("etcd-0", "is-healthy")]


def test_defect_16_a_probe_that_hangs_is_cut_and_the_gate_ends_at_its_deadline(chain: FakedWorkspace) -> None:
    gate = {**GATE, "timeout_ms": 300}
    chain.dag(formula("etcd", "etcd-0", "etcd", health_gate=gate), formula("cp", "cp-0", "kubernetes", after=["etcd"]))
    chain.hosts.on_probe("is-healthy", Answer(hang=True))
    began_s = SystemClock().monotonic_s()

    ended = chain.create("kubernetes")

    assert ended.code == 5
    assert "no answer within" in ended.json["error"]["message"]
    assert SystemClock().monotonic_s() - began_s < 10


def test_defect_17_the_verdict_has_the_true_number_of_probes_and_seconds(chain: FakedWorkspace) -> None:
    chain.hosts.on_probe("is-healthy", Answer(code=1, output=b"starting\n"))
    began_s = SystemClock().monotonic_s()

    ended = chain.create("kubernetes")

    assert len(chain.hosts.probed) == 3
    told = re.search(r"3 of 3 probes failed, in ([0-9.]+) s", ended.json["error"]["message"])
    assert told
    assert 0.04 <= float(told[1]) <= SystemClock().monotonic_s() - began_s
    assert "starting" in ended.json["error"]["hint"]


@pytest.mark.parametrize(
    ("expected", "output", "code"),
    [("ok", b"degraded\n", 5), ("ok", b"ok\n", 0), ("re:^ready=[1-9]", b"ready=0\n", 5), ("re:^ready=[1-9]", b"ready=3\n", 0)],
)
def test_defect_20_the_expected_output_decides_too(lab: FakedWorkspace, expected: str, output: bytes, code: int) -> None:
    lab.dag(formula("a", "cp-0", "os", health_gate={**GATE, "retries": 1, "expected": expected}))
    lab.hosts.on_probe("is-healthy", Answer(output=output))

    ended = lab.create("--all")

    assert ended.code == code
    assert code == 0 or output.decode().strip() in ended.json["error"]["hint"]


@pytest.mark.parametrize("address", [None, "private", "public"])
def test_defect_21_the_gate_is_probed_at_the_address_it_names(lab: FakedWorkspace, address: str | None) -> None:
    lab.servers({"hostname": "cp-0", "private_ip": "10.0.0.1", "public_ip": "192.0.2.1"})
    lab.dag(formula("a", "cp-0", "os", health_gate=GATE | ({"address": address} if address else {})))

    assert lab.create("--all").code == 0
    assert [call.address for call in lab.hosts.calls if call.what == "probe"] == [address]


def test_defect_21_a_server_with_a_private_address_only_is_used_and_a_public_one_is_not_invented(lab: FakedWorkspace) -> None:
    lab.servers({"hostname": "cp-0", "private_ip": "10.0.0.1"})
    lab.dag(formula("a", "cp-0", "os", health_gate=GATE))
    assert lab.create("--all").code == 0

    lab.dag(formula("a", "cp-0", "os", health_gate={**GATE, "address": "public"}))
    refused = lab.run("dag", "validate")
    assert refused.code == 3
    assert "$.formulas[0].health_gate.address" in refused.out


def test_defect_22_a_healthy_gate_of_a_completed_prerequisite_costs_one_probe(chain: FakedWorkspace) -> None:
    chain.create("--all")
    chain.hosts.calls.clear()

    assert chain.create("kubernetes", "--reset").code == 0
    assert chain.hosts.probed == [("etcd-0", "is-healthy")]
    assert chain.started == ["kubernetes"]


def test_defect_22_a_broken_gate_does_not_stop_branches_that_do_not_need_it(chain: FakedWorkspace) -> None:
    chain.create("etcd")
    chain.hosts.on_probe("is-healthy", Answer(code=1))

    ended = chain.create("--all", "--keep-going")

    assert ended.code == 5
    assert (steps(ended)["cp/kubernetes"], steps(ended)["web/nginx"]) == ("skipped", "succeeded")


def test_defect_24_independent_formulas_run_at_the_same_time(lab: FakedWorkspace) -> None:
    lab.dag(formula("a", "cp-0", "os"), formula("b", "etcd-0", "redis"))
    lab.hosts.clock = Meeting(2)
    for name in ("os", "redis"):
        lab.hosts.on_start(name, Answer(seconds=1))

    assert lab.create("--all").code == 0
    assert lab.hosts.peak == 2


def test_defect_25_every_end_has_its_exit_code_its_message_and_its_stream(chain: FakedWorkspace) -> None:
    assert chain.run("taskserv", "create", "kubernetes").code == 0
    again = ("taskserv", "create", "--all")
    for taskserv, answer, code, message in (
        ("nginx", Answer(code=3), 1, "exit code 3"),
        ("nginx", Answer(hang=True, kind="timeout"), 1, "did not end within"),
        ("nginx", Answer(error=Unreachable("no route to web-0")), 7, "no route to web-0"),
        ("nginx", Answer(), 0, ""),
    ):
        chain.taskserv("nginx", toml="timeout_s = 0.1\n")
        chain.hosts.on_start(taskserv, answer)
        ended = chain.run(*again)
        assert ended.code == code, (answer, ended)
        assert message in ended.err
        assert "resume: " not in ended.out
    chain.hosts.on_probe("is-healthy", Answer(code=1))
    gate = chain.run(*again)
    assert (gate.code, "the gate did not open" in gate.err) == (5, True)
    unknown = chain.run("taskserv", "create", "kubernets")
    assert (unknown.code, unknown.out, "kubernetes" in unknown.err) == (4, "", True)
    usage = chain.run("taskserv", "create")
    assert (usage.code, usage.out) == (2, "")


class Told(Listener):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def on_event(self, event: object) -> None:
        kind, step = getattr(event, "kind", None), getattr(event, "step", None)
        if isinstance(kind, Kind):
            self.events.append((kind.value, step or ""))


def test_defect_26_a_run_is_a_record_and_a_stream_of_events_that_are_the_same_each_time(lab: FakedWorkspace) -> None:
    lab.dag(formula("a", "cp-0", "os", health_gate=GATE), formula("b", "etcd-0", "redis", after=["a"]))
    lab.hosts.on_start("redis", FAILS)
    told, plans = Told(), list[Plan]()

    result = lab.project().provision(Selection(everything=True), RunOptions(), told, plans.append)

    assert [step.id for plan in plans for step in plan.steps] == ["a/os", "a/gate", "b/redis"]
    assert [event for event in told.events if event[0].startswith("step_")] == [
        *((kind, step) for step in ("a/os", "a/gate") for kind in ("step_dispatched", "step_started", "step_succeeded")),
        ("step_dispatched", "b/redis"),
        ("step_started", "b/redis"),
        ("step_failed", "b/redis"),
    ]
    shown = lab.run("run", "show", "last", "-o", "json").json
    assert shown == result.detail.document() | {key: shown[key] for key in shown if key not in result.detail.document()}
    assert (shown["status"], shown["exit_code"]) == ("failed", 1)
    assert all(step["started_at"] <= step["ended_at"] for step in shown["steps"])


def test_defect_27_files_and_state_are_read_as_often_for_many_nodes_as_for_few(lab: FakedWorkspace) -> None:
    counts = []
    for size in (2, 20):
        names = [f"t{size}-{index}" for index in range(size)]
        lab.dag(*(formula(f"f-{name}", "cp-0", name, health_gate=GATE) for name in names))
        with opened("dag.json", "servers.json", "workspace.toml", "state.json") as files:
            assert lab.create("--all").code == 0
        counts.append({name: files.count(name) for name in set(files)})
    assert counts[0] | {"state.json": 1} == counts[1]  # in the first run there is none yet
    assert set(counts[1].values()) == {1}


@pytest.mark.parametrize("broken", ["node", "gate", "server"])
def test_defect_32_the_printed_command_resumes(chain: FakedWorkspace, broken: str) -> None:
    healthy = {"node": Answer(), "gate": Answer(), "server": None}
    if broken == "node":
        chain.hosts.on_start("etcd", FAILS)
    elif broken == "gate":
        chain.hosts.on_probe("is-healthy", Answer(code=1))
    else:
        chain.hosts.on_link("etcd-0", Unreachable("no route to etcd-0"))
    failed = chain.run("taskserv", "create", "kubernetes")
    assert failed.code in {1, 5, 7}

    chain.hosts.on_start("etcd", Answer())
    chain.hosts.on_probe("is-healthy", Answer())
    chain.hosts.on_link("etcd-0", healthy["server"])  # type: ignore[arg-type]
    assert "resume: " in failed.err, failed
    words = shlex.split(failed.err.split("resume: ")[1].splitlines()[0])
    resumed = chain.run(*words[1:])

    assert resumed.code == 0, resumed.err
    assert chain.started.count("kubernetes") == 1
    assert chain.started.count("os") == 1
    assert set(chain.states().values()) == {"completed"}
