"""Targets: the files of a workspace, and what is typed in their place."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
import yaml
from fuzz.documents import SERVERS, dags, servers, specs, taskservs, user_files, workspaces
from fuzz.shapes import drawn_well, seemly
from fuzz.target import Check, Target
from fuzz.words import as_json, as_toml, changed, files, hostile, values
from hypothesis import strategies as st
from support.declared import CATALOGUE

from provisioning import userfile
from provisioning.codec import decode, encode
from provisioning.core.compile import compile_plan
from provisioning.core.declare import Dag, Infra, Node, ParamSpec, Profile, Server, Taskserv, Workspace
from provisioning.core.faults import Fault, Severity
from provisioning.core.inputs import input_digest
from provisioning.core.model import Workflow
from provisioning.core.params import PARAM_TYPES, fill_params, fits, param_faults
from provisioning.core.plan import Selection
from provisioning.core.planner import make_plan
from provisioning.core.resources import ResourceBook
from provisioning.core.shown import step
from provisioning.errors import ConfigError
from provisioning.formats.dagdoc import read_dag
from provisioning.formats.draw.picture import picture
from provisioning.formats.export import dump_dag
from provisioning.formats.infra import Inspected, inspect_infra
from provisioning.formats.jsontext import locate, parse_json
from provisioning.formats.taskserv import load_taskserv
from provisioning.formats.taskserv_toml import read_declaration
from provisioning.formats.tomltext import parse_toml
from provisioning.formats.workspace import load_workspace
from provisioning.settings import described, resolve
from provisioning_cli.server import ssh_arguments


def json_text(_folder: Path) -> Check:
    """JSON as text: what is read is what Python reads, and every place that is named is the place of that value."""

    def check(data: bytes) -> str:
        parsed = parse_json(data)
        seemly(parsed.faults)
        if parsed.faults:
            lines = data.decode("utf-8", "replace").split("\n")
            for fault in parsed.faults:
                assert fault.line <= len(lines), fault
                assert fault.column <= len(lines[fault.line - 1]) + 1, fault
            return f"refused: {parsed.faults[0].code}"
        assert parsed.value == json.loads(data)
        _well_located(parsed.text, parsed.value)
        return "accepted"

    return check


def _well_located(text: str, value: object) -> None:
    paths = dict(list(_paths(value, "$"))[:40])
    lines = text.split("\n")
    for path, (line, column) in locate(text, paths).items():
        at = sum(len(one) + 1 for one in lines[: line - 1]) + column - 1
        assert json.JSONDecoder().raw_decode(text, at)[0] == paths[path], path


def _paths(value: object, path: str) -> Any:
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        if not isinstance(key, str) or len(key) < 60:  # longer ones are cut, and may be alike
            yield from _paths(one, path + step(key))


def toml_text(_folder: Path) -> Check:
    """TOML as text: a document, the same as Python's, or one fault with a place in it."""

    def check(data: bytes) -> str:
        text = data.decode("utf-8", "replace")
        parsed = parse_toml(text)
        if isinstance(parsed, Fault):
            assert 1 <= parsed.line <= text.count("\n") + 1, parsed
            return f"refused: {parsed.code}"
        assert repr(parsed) == repr(tomllib.loads(text))
        return "accepted"

    return check


def workspace_file(folder: Path) -> Check:
    """`workspace.toml` with its settings: what is accepted comes back when it is written anew."""
    (folder / "again").mkdir()

    def check(data: bytes) -> str:
        (folder / "workspace.toml").write_bytes(data)
        try:
            read = load_workspace(folder)
            resolve(environment={}, workspace=read.settings)
        except ConfigError as error:
            seemly(error.faults)
            raise
        facts = {"name": read.name, "params": dict(read.params), "settings": dict(read.settings), "secrets": dict(read.secrets)}
        if read.default_infra is not None:
            facts["default_infra"] = read.default_infra
        (folder / "again" / "workspace.toml").write_text(tomli_w.dumps(facts), "utf-8")
        again = load_workspace(folder / "again")
        assert (again.params, again.settings, again.secrets) == (read.params, read.settings, read.secrets)
        assert encode(read)
        return "accepted"

    return check


def user_file(folder: Path) -> Check:
    """The user's `config.toml`, under settings of the environment."""

    def check(example: tuple[bytes, Mapping[str, str]]) -> str:
        data, environment = example
        path = folder / "config.toml"
        path.write_bytes(data)
        read = userfile.read(path)
        resolved = resolve(environment=environment, user=read.settings)
        assert resolved.run.max_parallel >= 1
        userfile.write(read)
        again = userfile.read(path)
        assert (again.active or None, again.workspaces, again.settings) == (read.active or None, read.workspaces, read.settings)
        return "accepted"

    return check


environments = st.dictionaries(
    st.sampled_from([one.variable for one in described()]),
    st.sampled_from(("1", "99", "4096", "0.5", "", "1e5", "nan", "inf", "-1", "0x10", "1_0", "\u0661", "9" * 400)) | hostile,
    max_size=2,
)


def _workspace(folder: Path) -> Workspace:
    (folder / "workspace.toml").write_text('name = "test"\n', "utf-8")
    return load_workspace(folder)


def _judged(inspected: Inspected) -> Infra | str:
    seemly(inspected.faults)
    for fault in inspected.faults:
        assert fault.file, fault
    if inspected.infra is None:
        return f"refused: {next(fault.code for fault in inspected.faults if fault.severity is Severity.ERROR)}"
    return inspected.infra


def servers_file(folder: Path) -> Check:
    """`servers.json`: nothing of it is an option of the program that logs in."""
    workspace = _workspace(folder)

    def check(data: bytes) -> str:
        (folder / "servers.json").write_bytes(data)
        infra = _judged(inspect_infra(workspace, None, CATALOGUE))
        if isinstance(infra, str):
            return infra
        for server in infra.servers:
            _logs_in_there(infra, server, folder)
        assert decode(encode(infra.servers), tuple[Server, ...]) == infra.servers
        return "accepted"

    return check


def _logs_in_there(infra: Infra, server: Server, folder: Path) -> None:
    from provisioning.operations import Project

    words = ssh_arguments(Project(infra=infra, folder=folder), server, ("true",))
    cut = words.index("--")
    options = words[1:cut]
    assert [word for word in options[::2] if word not in {"-p", "-i", "-J", "-o"}] == []
    assert words[cut + 2 :] == ["true"]
    assert not any(char in "".join(options + words[cut:]) for char in "\0\n")


def dag_file(folder: Path) -> Check:
    """`dag.json`: what is accepted can be planned, compiled, written in every notation, read back and drawn."""
    workspace = _workspace(folder)
    declared = [{"hostname": name, "public_ip": "192.0.2.1"} for name in SERVERS]
    (folder / "servers.json").write_bytes(as_json({"servers": declared}))

    def check(data: bytes) -> str:
        (folder / "dag.json").write_bytes(data)
        infra = _judged(inspect_infra(workspace, None, CATALOGUE))
        if isinstance(infra, str):
            return infra
        dag = infra.dag or Dag()
        _comes_back(dag)
        book = ResourceBook(lineage="x")
        plan = make_plan(infra, Selection(everything=True), book) if dag.formulas else None
        if plan is not None:
            compiled = compile_plan(plan, infra)
            assert decode(encode(compiled), Workflow) == compiled
        drawn_well(picture(dag, plan, book))
        return "accepted"

    return check


def _comes_back(dag: Dag) -> None:
    assert read_dag(json.loads(dump_dag(dag, "json"))).dag == dag
    assert read_dag(yaml.safe_load(dump_dag(dag, "yaml"))).dag == dag
    try:
        text = dump_dag(dag, "toml")
    except ConfigError:
        return  # it holds a null
    assert read_dag(tomllib.loads(text)).dag == dag


def taskserv_file(folder: Path) -> Check:
    """`taskserv.toml`: what is accepted has defaults that fit, and a digest."""
    script = folder / "os" / "default" / "install-os.sh"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/bash\n", "utf-8")

    def check(data: bytes) -> str:
        (folder / "os" / "taskserv.toml").write_bytes(data)
        read, faults = load_taskserv(folder / "os")
        seemly(faults)
        node = Node(id="os", taskserv="os")
        if faults:
            return f"refused: {faults[0].code}"
        needed = {name: "" for name, spec in read.params.items() if spec.required}
        assert set(fill_params(read.params, needed)) == set(read.params)
        assert len(input_digest(read, node, {})) == 64
        assert encode(read)
        return "accepted"

    return check


def declaration_text(_folder: Path) -> Check:
    """The text of `taskserv.toml` where names are odd: each fault has a line of it."""

    def check(data: bytes) -> str:
        text = data.decode("utf-8", "replace")
        _read, faults = read_declaration(text, "os", "taskserv.toml")
        seemly(faults)
        assert all(fault.line <= text.count("\n") + 1 for fault in faults)
        return f"refused: {faults[0].code}" if faults else "accepted"

    return check


def params_given(_folder: Path) -> Check:
    """Params as a node gives them: accepted ones fit their types, and their order does not change the digest."""

    def check(example: tuple[dict[str, ParamSpec], dict[str, object]]) -> str:
        declared, given = example
        faults = param_faults("os", declared, given)
        seemly(faults)
        if faults:
            return f"refused: {faults[0].code}"
        filled = fill_params(declared, given)
        assert all(fits(spec.type, filled[name]) for name, spec in declared.items() if name in given)
        made = Taskserv(
            name="os", path="", params=declared, profiles={"default": Profile(name="default", path="", files_digest="0")}
        )
        turned = dict(random.Random(0).sample(list(given.items()), len(given)))
        digests = {input_digest(made, Node(id="os", taskserv="os", params=one), {}) for one in (given, turned)}
        assert len(digests) == 1
        return "accepted"

    return check


names = st.sampled_from(("text", "n", "_x"))
declared_params = st.dictionaries(
    names, st.builds(ParamSpec, type=st.sampled_from(tuple(PARAM_TYPES)), required=st.booleans()), max_size=3
)
given_params = st.dictionaries(names | hostile, values, max_size=3)
odd_declarations = changed(taskservs | st.fixed_dictionaries({"params": st.dictionaries(hostile, specs, max_size=3)}), 4).map(
    as_toml
)

TARGETS = (
    Target(name="json-text", examples=files(dags() | servers() | values, as_json), prepare=json_text, quick=100),
    Target(name="toml-text", examples=files(workspaces | taskservs, as_toml), prepare=toml_text, quick=50),
    Target(name="workspace-file", examples=files(workspaces, as_toml), prepare=workspace_file, quick=60),
    Target(name="user-file", examples=st.tuples(files(user_files, as_toml), environments), prepare=user_file, quick=60),
    Target(name="servers-file", examples=files(servers(), as_json), prepare=servers_file, quick=60),
    Target(name="dag-file", examples=files(dags(), as_json), prepare=dag_file, quick=60),
    Target(name="taskserv-file", examples=files(taskservs, as_toml), prepare=taskserv_file, quick=60),
    Target(name="taskserv-text", examples=odd_declarations, prepare=declaration_text, quick=60),
    Target(name="params", examples=st.tuples(declared_params, given_params), prepare=params_given, quick=60),
)
