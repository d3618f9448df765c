from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from support.declared import write

from provisioning.core.faults import Fault
from provisioning.formats.nickel import NickelLimits, evaluate, frames
from provisioning.formats.schemas import contract_folder

QUICK = NickelLimits(wall_s=20.0, cpu_s=1, memory_bytes=256 * 1024 * 1024, output_bytes=10_000)
RECURSION = "let rec f = fun x => 1 + f (x + 1) in { a = f 1 }\n"
LOOP = "let rec f = fun n => if n == 0 then 0 else f (n - 1) in std.array.generate (fun i => f 100000) 100000\n"
FLOOD = '{ a = std.string.join "" (std.array.replicate 20000 "x") }\n'


def fault_of(folder: Path, source: str, limits: NickelLimits = QUICK) -> Fault:
    """Return the one fault of a Nickel file in `folder`."""
    write(folder, {"a.ncl": source})
    (evaluated,) = evaluate([folder / "a.ncl"], root=folder, limits=limits)
    (fault,) = evaluated.faults
    return fault


def test_a_file_evaluates_to_json(tmp_path: Path) -> None:
    write(tmp_path, {"a.ncl": 'let x = 1 in { a = x, b = [\'Tag, "%{"ü"}"], c = import "sub/b.json" }', "sub/b.json": "[null]"})

    (evaluated,) = evaluate([tmp_path / "a.ncl"], root=tmp_path)

    assert json.loads(evaluated.data) == {"a": 1, "b": ["Tag", "ü"], "c": [None]}
    assert evaluated.faults == ()


@pytest.mark.parametrize(
    ("source", "place", "message"),
    [
        pytest.param("{\n a = [,]\n}", (2, 7), "unexpected token", id="syntax"),
        pytest.param("{ a = nothing }", (1, 7), "unbound identifier `nothing`", id="unknown name"),
        pytest.param("{ a = a }", (1, 7), "infinite recursion", id="value that needs itself"),
        pytest.param('{ a | Number = "x" }', (1, 16), "contract broken by the value of `a`", id="own contract"),
        pytest.param('{ a = import "b.ncl" }', (1, 7), "import of b.ncl failed: could not find import", id="missing import"),
        pytest.param("{ a = fun x => x }", (1, 7), "non serializable term", id="function"),
    ],
)
def test_an_error_has_its_line_and_neither_colour_nor_folder(
    tmp_path: Path, source: str, place: tuple[int, int], message: str
) -> None:
    fault = fault_of(tmp_path, source)

    assert (fault.file, fault.line, fault.column) == ("a.ncl", *place)
    assert fault.message == message
    assert str(tmp_path) not in repr(fault)


def test_an_error_in_an_imported_file_is_placed_there(tmp_path: Path) -> None:
    write(tmp_path, {"sub/b.ncl": "\n\n{ c = nothing }"})

    fault = fault_of(tmp_path, 'import "sub/b.ncl"')

    assert (fault.file, fault.line) == ("sub/b.ncl", 3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param(RECURSION, "evaluation needed more than 256 MiB of memory", id="recursion without end"),
        pytest.param(FLOOD, "evaluation gave more than 10,000 bytes", id="output without end"),
        pytest.param(LOOP, "evaluation took more than 1 s of processor time", id="work without end"),
    ],
)
def test_a_runaway_is_stopped_and_said_so(tmp_path: Path, source: str, message: str) -> None:
    start = time.monotonic()

    fault = fault_of(tmp_path, source)

    assert (fault.code, fault.file, fault.message) == ("nickel_limit", "a.ncl", message)
    assert time.monotonic() - start < 20


def test_the_wall_clock_limit_stops_what_uses_no_processor(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.ncl")

    (evaluated,) = evaluate([tmp_path / "a.ncl"], root=tmp_path, limits=NickelLimits(wall_s=0.3))

    assert [fault.message for fault in evaluated.faults] == ["evaluation took longer than 0.3 s"]


def test_one_runaway_does_not_take_the_others_along(tmp_path: Path) -> None:
    write(tmp_path, {"a.ncl": "{ a = 1 }", "b.ncl": RECURSION, "c.ncl": "{ c = 3 }"})

    first, second, third = evaluate([tmp_path / name for name in ("a.ncl", "b.ncl", "c.ncl")], root=tmp_path, limits=QUICK)

    assert (json.loads(first.data), json.loads(third.data)) == ({"a": 1}, {"c": 3})
    assert [fault.code for fault in second.faults] == ["nickel_limit"]


def test_what_a_file_prints_does_not_end_up_in_the_result(tmp_path: Path) -> None:
    write(tmp_path, {"a.ncl": 'std.trace "ok 3\\n{}" { a = 1 }'})

    (evaluated,) = evaluate([tmp_path / "a.ncl"], root=tmp_path)

    assert json.loads(evaluated.data) == {"a": 1}


def test_a_name_with_quotes_and_interpolation_is_only_a_name(tmp_path: Path) -> None:
    odd = tmp_path / 'a"%{x}\\.ncl'
    odd.write_text("{ a = 1 }")

    assert json.loads(evaluate([odd], root=tmp_path)[0].data) == {"a": 1}


@pytest.mark.parametrize(
    "source",
    [
        pytest.param('import "/etc/hostname" as \'Text', id="absolute"),
        pytest.param('import "../outside.ncl"', id="upward"),
        pytest.param('import "sub/../../outside.ncl"', id="upward, in disguise"),
        pytest.param('import "link.ncl"', id="through a link"),
        pytest.param('import "\\x2fetc/hostname" as \'Text', id="escaped"),
        pytest.param('import # "here"\n \t"/etc/hostname" as \'Text', id="behind a comment"),
        pytest.param('{a=1-import"/etc/hostname" as \'Text}', id="without blanks"),
        pytest.param('"%{import "/etc/hostname" as \'Text}"', id="inside a text"),
        pytest.param('import "data.txt" as \'Nickel', id="indirectly, from a file of another name"),
        pytest.param('import "pipe"', id="a pipe"),
    ],
)
def test_nothing_outside_the_workspace_can_be_imported(tmp_path: Path, source: str) -> None:
    workspace = tmp_path / "workspace"
    write(tmp_path, {"outside.ncl": "{}", "workspace/sub/x": "", "workspace/data.txt": 'import "/etc/hostname" as \'Text'})
    (workspace / "link.ncl").symlink_to(tmp_path / "outside.ncl")
    os.mkfifo(workspace / "pipe")

    assert fault_of(workspace, source).code == "nickel_import"


def test_files_import_from_their_folder_the_workspace_and_our_contracts(tmp_path: Path) -> None:
    contracts = 'std.record.fields (import "provisioning/dag.ncl")'
    source = f'{{ a = import "../lib/x.ncl", b = import "y.ncl", c = import "lib/x.ncl", d = {contracts} }}'
    write(tmp_path, {"main/a.ncl": source, "main/y.ncl": "2", "lib/x.ncl": "1"})

    found = json.loads(evaluate([tmp_path / "main/a.ncl"], root=tmp_path)[0].data)

    assert (found["a"], found["b"], found["c"]) == (1, 2, 1)
    assert "Dag" in found["d"]


@pytest.mark.parametrize("name", ["dag", "servers"])
def test_the_lenient_contracts_have_the_names_of_the_strict_ones(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"a.ncl": f'std.record.fields (import "provisioning/{name}.ncl")'})

    strict, lenient = (evaluate([tmp_path / "a.ncl"], root=tmp_path, lenient=one)[0].data for one in (False, True))

    assert json.loads(strict) == json.loads(lenient)
    assert (contract_folder() / "provisioning" / f"{name}.ncl").is_file()


def test_an_import_with_a_name_that_no_file_can_have_is_a_fault(tmp_path: Path) -> None:
    for name in ("x" * 300, "x/" * 3_000 + "y"):
        fault = fault_of(tmp_path, f'import "{name}"\n', NickelLimits(wall_s=50.0))
        assert fault.code == "nickel"
        assert fault.message.isprintable()


def test_what_the_child_wrote_is_read_up_to_where_it_is_torn() -> None:
    whole = b"ok 2\n{}error 1\nx"
    assert frames(whole) == [("ok", b"{}"), ("error", b"x")]
    assert [len(frames(whole[:size])) for size in range(len(whole) + 1)] == [0] * 7 + [1] * 9 + [2]
    assert frames(whole + b"thread panicked: 1\n") == frames(whole)
    assert frames(b"ok -2\n{}") == frames(b"ok x\n") == frames(b"\xff 1\n1") == []
