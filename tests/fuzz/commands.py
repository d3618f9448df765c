"""Targets: the command line itself, its JSON, and the shells that ask it for completions."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from fuzz.documents import TASKSERVS, books, dags, servers, workspaces
from fuzz.shapes import no_crash
from fuzz.stored import called
from fuzz.target import Check, Target
from fuzz.words import TEXTS, as_json, as_toml, changed, hostile
from hypothesis import strategies as st
from support.faked import FakedWorkspace

from provisioning_cli.context import App
from provisioning_cli.main import NAME, call, completion_variable

FORMULAS = (
    {"id": "f0", "server": "cp-0", "nodes": [{"taskserv": {"name": "os"}}, {"taskserv": {"name": "etcd"}}]},
    {
        "id": "f1",
        "server": "web-0",
        "nodes": [{"taskserv": {"name": "docker"}}],
        "depends_on": ["f0"],
        "health_gate": {"check_cmd": "a"},
    },
)
COMMANDS = (
    *(
        "workspace list",
        "workspace show",
        "workspace validate",
        "workspace use",
        "server list",
        "server show",
        "server ssh -o json",
    ),
    *("taskserv create", "taskserv create --check", "taskserv list", "taskserv show", "taskserv generate", "taskserv validate"),
    *(
        "dag show",
        "dag validate",
        "dag export",
        "dag plan",
        "dag list",
        "run list",
        "run show",
        "run logs",
        "run retry",
        "run cancel",
    ),
    *("run pause", "run resume", "run signal", "run approve", "run continue", "queue list"),
    *("deadletter list", "deadletter show", "deadletter replay", "deadletter purge"),
    *(
        "state show",
        "state reset",
        "state forget",
        "state import",
        "state history",
        "state unlock",
        "completion",
        "nothing",
        "",
    ),
)
OPTIONS = (
    *(
        "--all",
        "--only",
        "--check",
        "--reset",
        "--reset-prerequisites",
        "--update",
        "--upload",
        "--keep-going",
        "--cmd",
        "--server",
        "--limit",
    ),
    *(
        "--max-parallel",
        "--status",
        "--format",
        "--attempt",
        "--tail",
        "--why",
        "--path",
        "--from",
        "--payload",
        "--before",
        "--older-than",
        "--overwrite",
        "--infra",
        "--dags",
        "--label",
        "-h",
        "--help",
        "--",
        "-",
        "-z",
        "--format=svg",
    ),
)
KNOWN = (
    "os",
    "etcd",
    "cp-0",
    "f0",
    "f0/os",
    "last",
    "f1/gate",
    "json",
    "svg",
    "failed",
    "1",
    "0",
    "dag.json",
    "etl.yaml",
    "bash",
    "install",
    "remove",
    "default",
)
harmless = [text for text in TEXTS if "\0" not in text and not text.startswith(("/", "~", "-w")) and ".." not in text]
"""Words that are no way out of the folder the program is called in: some commands write where they are told to."""
words = st.sampled_from(OPTIONS) | st.sampled_from(KNOWN) | st.sampled_from(harmless)


def command_line(folder: Path) -> Check:
    """Any words after any command: an exit code of ours and, as `-o json` asks, JSON on standard output."""
    workspace = FakedWorkspace(folder / "workspace")
    workspace.dag(*FORMULAS)
    workspace.taskserv(*TASKSERVS)
    assert workspace.run("taskserv", "create", "--all").code == 0

    def check(example: tuple[str, list[str]]) -> str:
        command, rest = example
        arguments = ["-o", "json", "-w", str(workspace.folder), *command.split(), *rest]
        return called(arguments, App(lambda _folder, _infra: workspace.project()))

    return check


DOCUMENT_COMMANDS = (
    *(
        ("workspace", "show"),
        ("workspace", "validate"),
        ("server", "list"),
        ("server", "show", "cp-0"),
        ("taskserv", "list"),
        ("dag", "show"),
    ),
    *(
        ("dag", "plan"),
        ("dag", "export"),
        ("dag", "export", "--format", "workflow"),
        ("dag", "show", "--format", "svg"),
        ("state", "show"),
    ),
    *(
        ("state", "history"),
        ("taskserv", "create", "--all", "--check"),
        ("taskserv", "show", "os"),
        ("dag", "validate"),
        ("server", "ssh", "cp-0"),
    ),
)


def json_results(folder: Path) -> Check:
    """`-o json` of every reading command over any workspace: JSON, whatever the files say."""
    workspace = FakedWorkspace(folder / "workspace")
    workspace.taskserv(*TASKSERVS)
    root = workspace.folder
    (root / ".provisioning").mkdir()

    def check(example: tuple[Any, Any, Any, Any, tuple[str, ...]]) -> str:
        of_workspace, of_servers, of_dag, book, words = example
        (root / "workspace.toml").write_bytes(as_toml(of_workspace))
        (root / "servers.json").write_bytes(as_json(of_servers))
        (root / "dag.json").write_bytes(as_json(of_dag))
        (root / ".provisioning" / "state.json").write_bytes(as_json(book))
        return called(["-w", str(root), "-o", "json", *words])

    return check


plain_workspaces = workspaces.map(lambda made: {**made, "default_infra": None, "name": "test"})
all_servers = servers().map(lambda made: {"servers": [*made["servers"], *_missing(made["servers"])]})


def _missing(there: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {one["hostname"] for one in there}
    return [{"hostname": name, "public_ip": "192.0.2.1"} for name in ("cp-0", "etcd-0", "web-0") if name not in names]


# ---------------------------------------------------------------- completion

SHELLS = (
    "bash_complete",
    "zsh_complete",
    "fish_complete",
    "nushell_complete",
    "bash_source",
    "x_complete",
    "complete",
    "_",
    "nushell_source",
)
spans = (
    st.lists(words, max_size=5).map(json.dumps)
    | st.sampled_from(("", "[", "{}", "1", "null", '"x"', "[1]", "[null, {}]", "[" * 3000))
    | hostile
)
lines = st.lists(words, max_size=5).map(lambda said: " ".join(["provisioning", *said]))


def completion(folder: Path) -> Check:
    """What a shell asks when somebody presses tab: names or nothing, never an error on the line that is being typed."""
    workspace = FakedWorkspace(folder / "workspace")
    workspace.dag(*FORMULAS)
    os.chdir(workspace.folder)

    def check(example: tuple[str, str, str, str]) -> str:
        shell, line, at, spoken = example
        asked = {completion_variable(NAME): shell, "COMP_WORDS": line, "COMP_CWORD": at, "PROVISIONING_SPANS": spoken}
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        os.environ.update({name: value for name, value in asked.items() if "\0" not in value})
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = call([], App())
        finally:
            for name in asked:
                os.environ.pop(name, None)
        out.seek(0)
        said = out.read()
        no_crash(said + err.getvalue())
        if shell == "nushell_complete" and code == 0:
            assert isinstance(json.loads(said), list)
        return "accepted" if code == 0 else f"refused: exit {code}"

    return check


TARGETS = (
    Target(
        name="command-line",
        examples=st.tuples(st.sampled_from(COMMANDS), st.lists(words, max_size=4)),
        prepare=command_line,
        quick=60,
        limit_s=10,
    ),
    Target(
        name="json-results",
        examples=st.tuples(
            changed(plain_workspaces, 1),
            changed(all_servers, 1),
            changed(dags(), 1),
            books | changed(books, 1),
            st.sampled_from(DOCUMENT_COMMANDS),
        ),
        prepare=json_results,
        quick=40,
        limit_s=10,
    ),
    Target(
        name="completion",
        examples=st.tuples(st.sampled_from(SHELLS), lines, st.sampled_from(("0", "1", "2", "99", "-1", "", "x")), spans),
        prepare=completion,
        quick=50,
        limit_s=10,
    ),
)
