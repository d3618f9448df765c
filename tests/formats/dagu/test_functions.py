"""What `functions.toml` may say, and what is said of the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provisioning.core.dagu.functions import Function
from provisioning.errors import ConfigError
from provisioning.formats.dagu.functions import load_functions, read_functions

FULL = """\
[backup]
command = "pg_dump $1 | gzip"
working_dir = "scripts"
description = "dumps"

[backup.env]
RETENTION = 7
RATE = 1.5
DRY = true
NAME = "it's"

["sync.all"]
command = ["rsync", "-a", ""]
"""


def read(text: str | bytes) -> tuple[dict[str, Function], list[tuple[str, str, int]]]:
    data = text.encode() if isinstance(text, str) else text
    functions, faults = read_functions(data, file="functions.toml", folder=Path("/dags"))
    return functions, [(fault.code, fault.path, fault.line) for fault in faults]


def test_everything_a_function_says_is_read() -> None:
    functions, faults = read(FULL)

    assert faults == []
    assert functions == {
        "backup": Function(
            id="backup",
            command="pg_dump $1 | gzip",
            working_dir="/dags/scripts",
            env={"RETENTION": "7", "RATE": "1.5", "DRY": "true", "NAME": "it's"},
        ),
        "sync.all": Function(id="sync.all", argv=("rsync", "-a", "")),
    }


@pytest.mark.parametrize(("where", "becomes"), [("/srv", "/srv"), ("../x", "/dags/../x"), ("~/x", "~/x"), ("", "")])
def test_folders_are_relative_to_the_file(where: str, becomes: str) -> None:
    functions, _ = read(f'[a]\ncommand = "x"\nworking_dir = "{where}"')

    assert functions["a"].working_dir == os.path.expanduser(becomes)  # noqa: PTH111 - what the reader must come to


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param("a = 1", [("wrong_type", "$.a", 1)], id="no table"),
        pytest.param("[a]", [("missing_key", "$.a", 1)], id="no command"),
        pytest.param('[a]\ncommand = " "', [("wrong_type", "$.a.command", 2)], id="empty command"),
        pytest.param("[a]\ncommand = []", [("wrong_type", "$.a.command", 2)], id="no words"),
        pytest.param('[a]\ncommand = ["", "x"]', [("wrong_type", "$.a.command", 2)], id="no program"),
        pytest.param('[a]\ncommand = ["x", 1]', [("wrong_type", "$.a.command", 2)], id="a word that is none"),
        pytest.param('[a]\ncommand = "x\\u0000"', [("wrong_type", "$.a.command", 2)], id="NUL"),
        pytest.param('[a]\ncommand = "x"\ncomand = "y"', [("unknown_key", "$.a.comand", 3)], id="unknown key"),
        pytest.param('["../x"]\ncommand = "x"', [("bad_name", '$["../x"]', 1)], id="name"),
        pytest.param('["a b"]\ncommand = "x"', [("bad_name", '$["a b"]', 1)], id="name with a blank"),
        pytest.param('[a]\ncommand = "x"\nenv = 1', [("wrong_type", "$.a.env", 3)], id="env"),
        pytest.param('[a]\ncommand = "x"\n[a.env]\nB-C = "1"', [("bad_name", "$.a.env.B-C", 4)], id="variable"),
        pytest.param('[a]\ncommand = "x"\nenv = {B = []}', [("wrong_type", "$.a.env.B", 3)], id="value"),
        pytest.param('[a]\ncommand = "x"\nworking_dir = 1', [("wrong_type", "$.a.working_dir", 3)], id="folder"),
        pytest.param('[a]\ncommand = "x"\nworking_dir = "~no-such-user"', [("bad_path", "$.a.working_dir", 3)], id="nobody"),
        pytest.param('[a]\ncommand = "x"\ndescription = 1', [("wrong_type", "$.a.description", 3)], id="description"),
        pytest.param("[a\n", [("syntax", "", 1)], id="no TOML"),
        pytest.param(b"\n[a]\n\xff", [("encoding", "", 3)], id="bytes that are no text"),
        pytest.param(b"#" * 1024 * 1024 + b"#", [("too_large", "", 0)], id="size"),
    ],
)
def test_each_fault_says_where_and_what(text: str | bytes, faults: list[tuple[str, str, int]]) -> None:
    assert read(text) == ({}, faults)


def test_all_faults_are_told_at_once_and_the_rest_is_read() -> None:
    functions, faults = read('[a]\ncommand = 1\nenv = 2\n[b]\ncommand = "x"\n[c]\ncomand = "x"\ncommand = "y"')

    assert list(functions) == ["b"]
    assert faults == [("wrong_type", "$.a.command", 2), ("wrong_type", "$.a.env", 3), ("unknown_key", "$.c.comand", 7)]


def test_a_key_is_looked_for_in_its_own_table() -> None:
    assert read('[a]\ncommand = "x"\n[b]\ncommand = 1')[1] == [("wrong_type", "$.b.command", 4)]


def test_a_folder_without_the_file_has_no_functions(tmp_path: Path) -> None:
    assert load_functions(tmp_path) == {}


def test_a_folder_s_file_is_read_or_refused_with_all_faults(tmp_path: Path) -> None:
    (tmp_path / "functions.toml").write_text(FULL)
    assert list(load_functions(tmp_path)) == ["backup", "sync.all"]
    (tmp_path / "functions.toml").write_text("[a]\n[b]\n")
    with pytest.raises(ConfigError, match='function "a" has no command') as refused:
        load_functions(tmp_path)

    assert [fault.line for fault in refused.value.faults] == [1, 2]


def test_what_is_there_but_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "functions.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: is a directory"):
        load_functions(tmp_path)
