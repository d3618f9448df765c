"""Definitions as they travel: whole, or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.dagu.package import (
    BYTES_MOST,
    FILES_MOST,
    Member,
    Package,
    WrongPackage,
    address,
    ignored,
    pack,
    patterns_of,
    unpack,
    wrong_path,
)

ETL = Member(path="dags/etl.yaml", data=b"steps: [echo]\n")


def package(*members: Member, **fields: object) -> Package:
    made = Package(name="etl", file=ETL.path, members=tuple(sorted((ETL, *members), key=lambda one: one.path)))
    return replace(made, **fields)  # type: ignore[arg-type]


parts = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda part: part not in {".", ".."} and part.isprintable()
)
members = st.builds(
    lambda path, data, executable: Member(path="dags/x/" + "/".join(path), data=data, executable=executable),
    st.lists(parts, min_size=1, max_size=3),
    st.binary(max_size=200),
    st.booleans(),
)


def apart(found: Sequence[Member]) -> list[Member]:
    """Those of which none is a folder of another."""
    paths = {one.path for one in found}
    return [one for one in found if not any(other.startswith(f"{one.path}/") for other in paths)]


@given(st.lists(members, max_size=6, unique_by=lambda one: one.path), st.lists(st.sampled_from("abc"), unique=True))
def test_what_is_packed_comes_out_again(found: list[Member], known: list[str]) -> None:
    whole = package(*apart(found), known=tuple(known), default_type="graph")

    assert unpack(pack(whole)) == whole
    assert address(pack(whole)) == whole.digest


@given(st.lists(members, max_size=3, unique_by=lambda one: one.path), st.integers(0, 3), st.binary(min_size=1, max_size=5))
def test_another_content_has_another_digest(found: list[Member], at: int, more: bytes) -> None:
    whole = package(*apart(found))
    index = at % len(whole.members)
    changed = replace(whole.members[index], data=whole.members[index].data + more)
    others = tuple(changed if one is whole.members[index] else one for one in whole.members)

    assert replace(whole, members=others).digest != whole.digest
    assert replace(whole, default_type="graph").digest != whole.digest
    assert replace(whole, known=("other",)).digest != whole.digest


def test_moving_bytes_from_one_file_to_the_next_is_another_digest() -> None:
    one = package(Member(path="dags/a", data=b"xy"), Member(path="dags/b", data=b""))
    other = package(Member(path="dags/a", data=b"x"), Member(path="dags/b", data=b"y"))

    assert one.digest != other.digest


@given(st.binary(max_size=300))
def test_bytes_that_are_no_package_are_refused(data: bytes) -> None:
    with pytest.raises(WrongPackage):
        unpack(data)
    with pytest.raises(WrongPackage):
        unpack(data + b"\n")


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_package_is_refused_or_has_another_digest(at: int, byte: int) -> None:
    whole = package(Member(path="dags/run.sh", data=b"echo " * 20, executable=True))
    data = bytearray(pack(whole))
    data[at % len(data)] = byte
    try:
        read = unpack(bytes(data))
    except WrongPackage:
        return
    assert (read.digest == whole.digest) is (read == whole)


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../x", "dags/../../x", "dags//x", "dags/.", "dags/x/", "dags/\0", "dags/" + "x" * 256, "dags/a\nb"],
)
def test_paths_that_could_lead_elsewhere_are_refused_on_both_sides(path: str) -> None:
    wrong = package(Member(path=path, data=b""))
    head = {"version": 1, "name": "etl", "file": ETL.path, "default_type": "chain", "known": [], "files": [[path, 0, False]]}
    files = sorted([*head["files"], [ETL.path, len(ETL.data), False]])  # type: ignore[misc]
    line = json.dumps({**head, "files": files}).encode()

    assert wrong_path(path)
    with pytest.raises(WrongPackage, match="cannot be"):
        pack(wrong)
    with pytest.raises(WrongPackage, match="cannot be"):
        unpack(line + b"\n" + ETL.data)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (package(name="../x"), "no name of a DAG"),
        (package(file="dags/other.yaml"), "has no file"),
        (package(members=(ETL, ETL)), "doubled"),
        (package(Member(path="dags/a", data=b""), Member(path="dags/a/b", data=b"")), "a file and a folder"),
        (package(*(Member(path=f"dags/{number}", data=b"") for number in range(FILES_MOST))), "1,001 files"),
        (package(Member(path="dags/big", data=bytes(BYTES_MOST))), "8.0 MiB in all, at most 1,000 files and 8 MiB travel"),
    ],
)
def test_what_is_too_much_or_cannot_be_does_not_travel(wrong: Package, message: str) -> None:
    with pytest.raises(WrongPackage, match=message):
        pack(wrong)


def test_more_than_may_travel_is_refused_before_it_is_read() -> None:
    with pytest.raises(WrongPackage, match="larger than 8 MiB"):
        unpack(bytes(10 * 2**20))


@pytest.mark.parametrize(
    ("path", "patterns", "stays"),
    [
        ("run.sh", (), False),
        (".env", (), False),
        (".env.local", (), False),
        (".git/config", (), True),
        ("scripts/.cache/x", (), True),
        ("data/big.csv", ("data",), True),
        ("data/big.csv", ("*.csv",), True),
        ("data/big.csv", ("data/*.csv",), True),
        ("more/data/big.csv", ("data/*.csv",), False),
        ("data/big.csv", ("/data/",), True),
        ("database", ("data",), False),
    ],
)
def test_what_stays_at_home(path: str, patterns: tuple[str, ...], *, stays: bool) -> None:
    assert ignored(path, patterns) is stays


def test_patterns_are_lines_without_comments() -> None:
    assert patterns_of("# big\n\n  *.csv \r\ndata/\n") == ("*.csv", "data/")
