from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from support.declared import CATALOGUE, write

from provisioning.core.declare import Become, Condition, FormulaDep, HealthGate, NodeDep, OnError, Workspace
from provisioning.core.faults import Fault
from provisioning.errors import ConfigError, NotFoundError, UsageError
from provisioning.formats.dagfile import inspect_dag_file
from provisioning.formats.infra import choose_infra, infra_folder, inspect_infra, list_infras, load_infra
from provisioning.formats.workspace import find_workspace, load_workspace

SERVERS = '{"servers": [{"hostname": "cp-0", "address": "192.0.2.1"}]}'
DAG = '{"formulas": [{"id": "base", "server": "cp-0", "nodes": [{"taskserv": "os"}]}]}'
NICKEL_SERVERS = 'let p = import "provisioning/servers.ncl" in\n' + SERVERS.replace('":', '" =') + " | p.Servers\n"
NICKEL_DAG = 'let p = import "provisioning/dag.ncl" in\n' + DAG.replace('":', '" =') + " | p.Dag\n"


def a_workspace(folder: Path, files: dict[str, str | bytes], toml: str = 'name = "test"\n') -> Workspace:
    return load_workspace(write(folder, {"workspace.toml": toml, **files}))


def faults_of(folder: Path, files: dict[str, str | bytes]) -> list[tuple[str, str]]:
    inspected = inspect_infra(a_workspace(folder, files), None, CATALOGUE)
    return [(fault.code, fault.file) for fault in inspected.faults]


def test_json_and_nickel_files_say_the_same(tmp_path: Path) -> None:
    of_json = a_workspace(tmp_path / "json", {"infra/a/servers.json": SERVERS, "infra/a/dag.json": DAG})
    of_nickel = a_workspace(tmp_path / "nickel", {"infra/a/servers.ncl": NICKEL_SERVERS, "infra/a/dag.ncl": NICKEL_DAG})

    first, second = (load_infra(workspace, None, CATALOGUE) for workspace in (of_json, of_nickel))

    assert first.dag is not None
    assert (first.name, first.dag, first.servers) == (second.name, second.dag, second.servers)
    assert first.files == ("infra/a/servers.json", "infra/a/dag.json")


def test_defaults_are_filled_in_and_the_composition_is_merged(tmp_path: Path) -> None:
    dag = {
        "formulas": [
            {"id": "db", "server": "cp-0", "nodes": [{"taskserv": "etcd"}]},
            {
                "id": "cp",
                "server": "cp-0",
                "nodes": [
                    {"component": {"name": "containerd"}, "on_error": "retry", "max_retries": 2},
                    {"taskserv": "os", "id": "base", "depends_on": ["containerd"], "timeout_s": 5},
                ],
            },
        ],
        "composition": {
            "formulas": [
                {"formula_id": "cp", "depends_on": ["db"], "parallel": True, "health_gate": {"check_cmd": "true", "retries": 2}}
            ]
        },
    }
    servers = {"servers": [{"hostname": "cp-0", "private_ip": "10.0.0.1", "ssh": {"become": "sudo"}, "labels": {"a": "b"}}]}
    files: dict[str, str | bytes] = {"infra/a/servers.json": json.dumps(servers), "infra/a/dag.json": json.dumps(dag)}

    infra = load_infra(a_workspace(tmp_path, files), "a", CATALOGUE)

    assert infra.dag is not None
    database, control = infra.dag.formulas
    assert (database.depends_on, database.parallel, database.health_gate, database.max_parallel) == ((), False, None, 4)
    assert control.depends_on == (FormulaDep(formula_id="db", condition=Condition.HEALTHY),)
    assert control.parallel
    assert control.health_gate == HealthGate(check_cmd="true", retries=2, timeout_ms=60_000)
    component, base = control.nodes
    assert (component.id, component.component, component.on_error, component.profile) == (
        "containerd",
        True,
        OnError.RETRY,
        "default",
    )
    assert (base.id, base.depends_on, base.timeout_s) == ("base", (NodeDep(node_id="containerd"),), 5)
    assert infra.servers[0].ssh.become == Become(method="sudo")
    assert infra.servers[0].address_for() == "10.0.0.1"


def test_a_missing_dag_is_no_dag_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    without = a_workspace(tmp_path / "a", {"infra/a/servers.json": SERVERS})
    broken = a_workspace(tmp_path / "b", {"infra/a/servers.json": SERVERS, "infra/a/dag.json": "{"})

    assert load_infra(without, None, CATALOGUE).dag is None
    with pytest.raises(ConfigError) as caught:
        load_infra(broken, None, CATALOGUE)
    assert [fault.code for fault in caught.value.faults] == ["syntax"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({"infra/a/dag.json": DAG}, [("missing_file", "infra/a/servers.json")], id="no servers"),
        pytest.param({"infra/a/servers.json/x": ""}, [("unreadable", "infra/a/servers.json")], id="a folder"),
        pytest.param(
            {"infra/a/servers.json": SERVERS, "infra/a/servers.ncl": NICKEL_SERVERS},
            [("two_sources", "infra/a/servers.json")],
            id="two files of one name",
        ),
        pytest.param({"infra/a/servers.json": SERVERS, "dag.json": DAG}, [("two_sources", "dag.json")], id="two places"),
        pytest.param({"infra/a b/servers.json": SERVERS}, [("bad_name", "")], id="a folder that can be no name"),
    ],
)
def test_files_in_the_wrong_place_are_faults(
    tmp_path: Path, files: dict[str, str | bytes], expected: list[tuple[str, str]]
) -> None:
    assert faults_of(tmp_path, files) == expected


@pytest.mark.parametrize("suffix", ["json", "ncl"])
def test_links_to_nothing_pipes_and_files_without_permission_are_faults(tmp_path: Path, suffix: str) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    for folder in (link, pipe):
        write(folder, {"infra/a/servers.json": SERVERS})
    (link / f"infra/a/dag.{suffix}").symlink_to("nowhere")
    os.mkfifo(pipe / f"infra/a/dag.{suffix}")

    assert faults_of(link, {}) == faults_of(pipe, {}) == [("unreadable", f"infra/a/dag.{suffix}")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path, {"infra/a/servers.json": SERVERS})
    (tmp_path / "infra/a/servers.json").chmod(0)

    assert faults_of(tmp_path, {}) == [("unreadable", "infra/a/servers.json")]


def test_one_infra_may_stand_at_the_workspace_root(tmp_path: Path) -> None:
    workspace = a_workspace(tmp_path, {"servers.json": SERVERS, "dag.json": DAG, "infra/.git/x": "", "infra/lib/x.ncl": ""})

    assert list_infras(workspace) == ("default",)
    assert infra_folder(workspace, "default") == tmp_path
    assert load_infra(workspace, "default", CATALOGUE).files == ("servers.json", "dag.json")


def test_of_several_infras_one_has_to_be_named(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"infra/prod/servers.json": SERVERS, "infra/test/servers.json": SERVERS}
    workspace = a_workspace(tmp_path / "a", files)
    with_default = a_workspace(tmp_path / "b", files, 'name = "x"\ndefault_infra = "test"\n')

    assert list_infras(workspace) == ("prod", "test")
    assert choose_infra(workspace, "prod") == "prod"
    assert choose_infra(with_default) == "test"
    with pytest.raises(UsageError, match='several infras: "prod", "test"'):
        choose_infra(workspace)


@pytest.mark.parametrize("name", ["prdo", "../a", "", "/etc"])
def test_an_infra_that_is_not_there_is_not_found(tmp_path: Path, name: str) -> None:
    workspace = a_workspace(tmp_path, {"infra/prod/servers.json": SERVERS})

    with pytest.raises(NotFoundError) as caught:
        choose_infra(workspace, name)
    assert "prod" in caught.value.hint


def test_a_workspace_without_infra_or_with_a_wrong_default_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no infra"):
        choose_infra(a_workspace(tmp_path / "a", {}))
    with pytest.raises(ConfigError, match="no such default infra"):
        choose_infra(a_workspace(tmp_path / "b", {"infra/a/servers.json": SERVERS}, 'name = "x"\ndefault_infra = "b"\n'))


def test_the_nearest_workspace_upward_is_found_even_a_broken_one(tmp_path: Path) -> None:
    inner = tmp_path / "a/b"
    write(tmp_path, {"workspace.toml": 'name = "x"\n', "a/b/c/d/x": ""})
    inner.joinpath("workspace.toml").symlink_to("nowhere")

    assert find_workspace(inner / "c/d") == inner
    assert find_workspace(tmp_path / "a") == tmp_path
    assert find_workspace(Path("/")) is None


@pytest.mark.parametrize(
    ("toml", "code", "line"),
    [
        pytest.param("", "missing_field", 0, id="no name"),
        pytest.param('name = "a b"\n', "bad_name", 1, id="a name that is none"),
        pytest.param('name = "x"\n\ndefault_infr = "a"\n', "unknown_field", 3, id="a misspelt field"),
        pytest.param('name = "x"\nname = \n', "syntax", 2, id="syntax"),
        pytest.param('name = "x"\n[secrets]\nname = "hunter2"\n', "bad_reference", 3, id="a secret in the clear"),
        pytest.param('name = "x"\n[params]\nday = 2026-01-01\n', "wrong_type", 3, id="a date"),
        pytest.param('name = "x"\n[params]\na = [nan]\n', "bad_number", 0, id="no number"),
        pytest.param('name = "x"\na = ' + "[" * 5_000, "too_deep", 0, id="too deep"),
        pytest.param("name = 5\n", "wrong_type", 1, id="a wrong type"),
    ],
)
def test_a_bad_workspace_file_is_refused_with_its_line(tmp_path: Path, toml: str, code: str, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        a_workspace(tmp_path, {}, toml)

    assert [(fault.code, fault.file, fault.line) for fault in caught.value.faults] == [(code, "workspace.toml", line)]
    assert "hunter2" not in repr(caught.value.faults)


def test_a_workspace_file_has_params_secrets_and_settings(tmp_path: Path) -> None:
    toml = (
        'name = "x"\n[params]\na = { b = [1] }\n[secrets]\npw = "env:PW"\nkey = "file:a/b"\n[settings.run]\nmax_parallel = 2\n'
    )

    workspace = a_workspace(tmp_path, {}, toml)

    assert dict(workspace.params) == {"a": {"b": [1]}}
    assert dict(workspace.secrets) == {"pw": "env:PW", "key": "file:a/b"}
    assert workspace.settings == {"run": {"max_parallel": 2}}
    assert workspace.path == str(tmp_path)


class Broken(dict[str, object]):
    """A catalogue with faults of its own."""

    faults = (Fault(code="bad_file", message="x", file="taskservs/os/taskserv.toml"),)


def test_faults_of_the_catalogue_are_faults_of_the_infra(tmp_path: Path) -> None:
    workspace = a_workspace(tmp_path, {"infra/a/servers.json": SERVERS})

    inspected = inspect_infra(workspace, None, Broken())  # type: ignore[arg-type]

    assert (inspected.infra, inspected.faults) == (None, Broken.faults)


def test_a_file_outside_of_a_workspace_is_checked_without_names(tmp_path: Path) -> None:
    write(tmp_path, {"a.json": DAG, "b.ncl": NICKEL_DAG, "c.json": DAG.replace('"os"', '"os", "x": 1')})

    dag, faults = inspect_dag_file(tmp_path / "a.json")
    assert (dag, faults) == inspect_dag_file(tmp_path / "b.ncl")
    assert dag is not None
    bad, (fault,) = inspect_dag_file(tmp_path / "c.json")
    assert (bad, fault.code, fault.file, fault.line) == (None, "unknown_field", str(tmp_path / "c.json"), 1)
    missing, (fault,) = inspect_dag_file(tmp_path / "d.json")
    assert (missing, fault.message) == (None, "does not exist")


@pytest.mark.slow
def test_reading_a_nickel_workspace_costs_little_more_than_starting_python(tmp_path: Path) -> None:
    """Processor time, the Nickel child's included: on a busy machine wall time measures the neighbours."""
    a_workspace(tmp_path, {"infra/a/servers.ncl": NICKEL_SERVERS, "infra/a/dag.ncl": NICKEL_DAG})
    load = (
        "import sys; from pathlib import Path; from provisioning.formats.workspace import load_workspace;"
        "from provisioning.formats.infra import inspect_infra;"
        "inspect_infra(load_workspace(Path(sys.argv[1])), None, {}); assert 'jsonschema' not in sys.modules"
    )

    def processor_s(script: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(processor_s(load) for _ in range(5)) - min(processor_s("pass") for _ in range(5)) < 0.25
