"""Documents as large, as deep and as tangled as they get: checked, or refused, in seconds of processor time, in a gigabyte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(600)  # on a machine with much else to do
COUNT = 100_000
MEMORY_MIB = 1024
FEWER = pytest.mark.parametrize("count", [COUNT // 20, pytest.param(COUNT, marks=pytest.mark.soak)])


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What `dag validate` said of a file, and what that took."""

    code: int
    document: Any
    cpu_s: float
    peak_mib: float


def checked(folder: Path, data: bytes) -> Checked:
    """Run `dag validate` on a file, as a process of its own."""
    file, printed = folder / "dag.json", folder / "printed.json"
    file.write_bytes(data)
    code = "from provisioning_cli.main import main; main()"
    with printed.open("wb") as out:
        child = subprocess.Popen([sys.executable, "-c", code, "dag", "validate", str(file), "-o", "json"], stdout=out)
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return Checked(
        code=child.returncode,
        document=json.loads(printed.read_bytes()),
        cpu_s=used.ru_utime + used.ru_stime,
        peak_mib=used.ru_maxrss / 1024,
    )


def formulas(count: int, needs: Callable[[int], list[str]]) -> Iterator[dict[str, object]]:
    """Yield many formulas; `needs` says what each waits for."""
    for number in range(count):
        yield {
            "id": f"formula-{number}",
            "server": f"server-{number}",
            "nodes": [{"taskserv": "os"}],
            "depends_on": needs(number),
        }


def test_ten_megabytes_with_a_hundred_thousand_formulas_are_valid(tmp_path: Path, say: Callable[[str], None]) -> None:
    document = {"formulas": list(formulas(COUNT, lambda number: [f"formula-{number - 1}"] if number else []))}
    data = json.dumps(document, indent=0).encode()
    assert len(data) > 10_000_000

    found = checked(tmp_path, data)

    assert (found.code, found.document["valid"]) == (0, True)
    assert found.cpu_s < 10
    assert found.peak_mib < MEMORY_MIB
    say(f"{len(data):,} bytes, {COUNT:,} formulas: {found.cpu_s:.1f} s of processor time, {found.peak_mib:.0f} MiB")


@FEWER
@pytest.mark.parametrize(
    "which",
    ["a cycle", "themselves", "nothing that is there", pytest.param("nothing, by a hair", marks=pytest.mark.soak)],
)
def test_many_thousand_faulty_edges_are_reported_in_bounded_messages(tmp_path: Path, which: str, count: int) -> None:
    needs: dict[str, Callable[[int], list[str]]] = {
        "a cycle": lambda number: [f"formula-{(number + 1) % count}"],
        "themselves": lambda number: [f"formula-{number}"],
        "nothing that is there": lambda number: [f"formula-that-nobody-has-written-{number}"],
        "nothing, by a hair": lambda number: [f"formula-x{number}"],  # `core/test_suggest.py` bounds that at other sizes
    }

    found = checked(tmp_path, json.dumps({"formulas": list(formulas(count, needs[which]))}).encode())

    assert (found.code, found.document["valid"]) == (3, False)
    assert all(fault["message"].count("formula-") <= 22 for fault in found.document["faults"])
    assert found.cpu_s < 60 * count / COUNT
    assert found.peak_mib < MEMORY_MIB


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"[" * 1_000_000, "too_deep", id="a million lists"),
        pytest.param(b'{"formulas":' * 1_000_000, "too_deep", id="a million objects"),
        pytest.param(b'{"formulas": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}", "too_deep", id="a million lists, closed"),
        pytest.param(b'{"formulas": [], "a": 1, "a": 2}', "duplicate_key", id="a key twice"),
        pytest.param(b'{"formulas": 1' + b" " * 1_000_000 + b"}" + b" " * 1_000_000, "wrong_type", id="a million blanks"),
        pytest.param(b'{"formulas": [1' + b"\n" * 1_000_000 + b"]}" + b"\n" * 1_000_000, "wrong_type", id="a million lines"),
        pytest.param(b'{"formulas": ["' + b"\\\\" * 1_000_000 + b'"]}', "wrong_type", id="a million backslashes"),
    ],
)
def test_what_is_too_deep_or_says_nothing_at_length_is_refused_at_once(tmp_path: Path, data: bytes, code: str) -> None:
    found = checked(tmp_path, data)

    assert found.code == 3
    assert found.document["faults"][0]["code"] == code
    assert found.cpu_s < 3
    assert found.peak_mib < MEMORY_MIB  # of the process that it was forked from, at least


@FEWER
def test_very_many_unknown_keys_are_refused_in_bounded_memory(tmp_path: Path, count: int) -> None:
    document = {"formulas": [], **{f"key-{number}": 0 for number in range(10 * count)}}

    found = checked(tmp_path, json.dumps(document).encode())

    assert (found.code, found.document["valid"]) == (3, False)
    assert found.peak_mib < MEMORY_MIB
