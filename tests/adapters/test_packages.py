"""Packages on the disk: what of a folder travels, what is kept, and what a run finds."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from provisioning.adapters.packages import LOOKED_AT_MOST, UNUSED_S, PackageFolder, folder_members
from provisioning.core.dagu.package import BYTES_MOST, FILES_MOST, Member, Package, address, pack
from provisioning.errors import ConfigError, StoreError, TooLarge


def nothing(_name: str) -> bool:
    return False


def package(**files: bytes) -> Package:
    members = [Member(path=f"dags/{name}", data=data, executable=name == "run") for name, data in files.items()]
    dag = Member(path="dags/etl.yaml", data=b"steps: [echo]\n")
    return Package(name="etl", file=dag.path, members=tuple(sorted((dag, *members), key=lambda one: one.path)))


# ---------------------------------------------------------------- what travels


def test_files_travel_by_path_with_whether_they_can_be_run(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "run.sh").write_bytes(b"echo")
    (tmp_path / "b" / "run.sh").chmod(0o700)
    (tmp_path / "a.txt").write_bytes(b"a")
    (tmp_path / ".env").write_bytes(b"A=1")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_bytes(b"secret")

    found = folder_members(tmp_path, lambda name: name == "a.txt")

    assert [(one.path, one.data, one.executable) for one in found] == [
        ("dags/.env", b"A=1", False),
        ("dags/b/run.sh", b"echo", True),
    ]


def test_what_dagignore_names_stays(tmp_path: Path) -> None:
    (tmp_path / ".dagignore").write_text("*.csv\ndata\n", "utf-8")
    (tmp_path / "data").mkdir()
    for name in ("x.csv", "data/y", "z"):
        (tmp_path / name).write_bytes(b"")

    assert [one.path for one in folder_members(tmp_path, nothing)] == ["dags/z"]


def test_a_link_inside_the_folder_travels_as_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real")

    assert [(one.path, one.data) for one in folder_members(tmp_path, nothing)] == [("dags/link", b"x"), ("dags/real", b"x")]


@pytest.mark.parametrize("kind", ["out", "folder", "nowhere", "loop", "pipe", "socket"])
def test_what_leads_elsewhere_or_is_no_file_is_named_and_never_left_out(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "dags"
    folder.mkdir()
    odd = folder / "odd"
    if kind == "pipe":
        os.mkfifo(odd)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(odd))
    else:
        (tmp_path / "secret").write_bytes(b"x")
        (folder / "inside").mkdir()
        odd.symlink_to({"out": "../secret", "folder": "inside", "nowhere": "gone", "loop": "odd"}[kind])

    with pytest.raises(ConfigError, match='"odd" cannot travel') as caught:
        folder_members(folder, nothing)
    assert ".dagignore" in caught.value.hint


def test_more_than_may_travel_is_refused_with_how_much_it_is(tmp_path: Path) -> None:
    many, big = tmp_path / "many", tmp_path / "big"
    for folder in (many, big):
        folder.mkdir()
    for number in range(FILES_MOST + 1):
        (many / str(number)).touch()
    with (big / "table").open("wb") as file:
        file.truncate(BYTES_MOST + 1)
    with pytest.raises(TooLarge, match=r"1,0\d\d files"):
        folder_members(many, nothing)
    with pytest.raises(TooLarge, match=r"8\.0 MiB in all"):
        folder_members(big, nothing)


def test_a_folder_without_an_end_is_not_walked_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stays at home counts as well: it is looked at."""
    monkeypatch.setattr("provisioning.adapters.packages.LOOKED_AT_MOST", 50)
    for number in range(60):
        (tmp_path / f".hidden{number}").touch()

    assert LOOKED_AT_MOST > 10_000
    with pytest.raises(TooLarge, match="more than 50 files"):
        folder_members(tmp_path, nothing)


# ---------------------------------------------------------------- what is kept


def test_what_is_kept_is_found_by_its_digest_and_damage_is_noticed(tmp_path: Path) -> None:
    kept = PackageFolder(tmp_path)
    digest = kept.put(pack(package(run=b"x")))
    assert kept.get(digest) == pack(package(run=b"x"))
    assert kept.digests() == [digest]

    path = next(tmp_path.rglob("*.package"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert kept.get(digest) is None
    assert kept.get(address(b"never")) is None


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    packed = [pack(package(run=bytes([number]) * 1000)) for number in range(4)]
    kept = PackageFolder(tmp_path, kept_bytes=2 * len(packed[0]))
    digests = []
    for number, data in enumerate(packed):
        digests.append(kept.put(data))
        for path in tmp_path.rglob("*.package"):
            age = 1000 * (4 - number) if path.stem == digests[-1][7:] else 10_000
            os.utime(path, (path.stat().st_mtime - age,) * 2)

    assert kept.get(digests[-1]) is not None
    assert len(kept.digests()) == 2


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:../../x", "md5:" + "0" * 64, "sha256:" + "A" * 64])
def test_what_is_no_digest_never_becomes_a_path(tmp_path: Path, digest: str) -> None:
    with pytest.raises(StoreError, match="no digest"):
        PackageFolder(tmp_path).get(digest)


# ---------------------------------------------------------------- what a run finds


def test_a_run_finds_the_files_as_they_were_and_keeps_what_it_adds(tmp_path: Path) -> None:
    folder, whole = PackageFolder(tmp_path), package(run=b"echo", data=b"x")
    assert folder.unpacked(whole.digest, "r1") is None
    where = folder.lay_out(whole, whole.digest, "r1")

    assert (where / "run").read_bytes() == b"echo"
    assert (where / "run").stat().st_mode & 0o777 == 0o700
    assert (where / "data").stat().st_mode & 0o777 == 0o600
    (where / "added").touch()
    assert folder.unpacked(whole.digest, "r1") == where
    assert folder.lay_out(whole, whole.digest, "r1") == where
    assert (where / "added").exists()
    assert not (folder.lay_out(whole, whole.digest, "r2") / "added").exists()


def test_what_broke_while_it_was_laid_out_is_not_there(tmp_path: Path) -> None:
    folder, wrong = PackageFolder(tmp_path), package(**{"x" * 300: b""})
    with pytest.raises(StoreError, match="laying out"):
        folder.lay_out(wrong, wrong.digest, "r1")

    assert folder.unpacked(wrong.digest, "r1") is None
    assert list(tmp_path.rglob("*.yaml")) == []


def test_folders_of_runs_that_nothing_has_used_for_a_week_are_removed(tmp_path: Path) -> None:
    now = [0.0]
    folder, whole = PackageFolder(tmp_path, now=lambda: now[0]), package()
    old, used = (folder.lay_out(whole, whole.digest, run) for run in ("old", "used"))
    now[0] = old.stat().st_mtime + UNUSED_S + 60
    for path in (old, old.parent, old.parent.parent):
        os.utime(path, (0, 0))
    os.utime(used.parent, (now[0], now[0]))
    folder.lay_out(whole, whole.digest, "new")

    assert not old.exists()
    assert used.exists()
