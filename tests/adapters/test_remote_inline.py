"""Small bundles travel as a function of bash, and what it writes is what is in the archive."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.remote import bundle_of, packed

from provisioning.adapters.remote.inline import write_files

contents = st.binary(max_size=300).map(lambda data: data.replace(b"\0", b""))
names = st.from_regex(r"[A-Za-z0-9._ '$\"-]{1,12}", fullmatch=True).filter(lambda name: name.strip(".") != "")


def written(tmp_path: Path, function: str) -> dict[str, bytes]:
    """Run the function; return the files."""
    folder = Path(tmp_path)
    subprocess.run(["bash", "-c", f'{function}\nwrite_files "$1"', "bash", folder], check=True, timeout=20)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@given(files=st.dictionaries(names, contents, max_size=4))
def test_any_small_files_arrive_byte_for_byte(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    function = write_files(bundle_of("", data=packed(files), entry=""))

    assert function
    assert function.isascii()
    assert written(tmp_path_factory.mktemp("files"), function) == files


def test_folders_and_modes_are_kept(tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, mode in (("conf/deep/a", 0o644), ("tool", 0o755), ("install-web.sh", 0o755)):
            entry = tarfile.TarInfo(name)
            entry.mode = mode
            archive.addfile(entry, io.BytesIO())
        folder = tarfile.TarInfo("empty")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)

    files = written(tmp_path, write_files(bundle_of("", data=data.getvalue())))

    assert set(files) == {"conf/deep/a", "tool", "install-web.sh"}
    assert (tmp_path / "empty").is_dir()
    assert (tmp_path / "tool").stat().st_mode & 0o111
    assert not (tmp_path / "conf" / "deep" / "a").stat().st_mode & 0o111


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(packed({"a": b"\0"}), id="a NUL byte, which no shell can hold"),
        pytest.param(packed({"a": b"x" * 70_000}), id="too much"),
        pytest.param(packed({"../a": b""}), id="a way out of the folder"),
        pytest.param(packed({"/a": b""}), id="an absolute name"),
        pytest.param(packed({"a": b"text"})[:-9], id="a damaged archive"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"no archive at all", id="something else"),
    ],
)
def test_everything_else_is_left_to_tar(data: bytes) -> None:
    assert write_files(bundle_of("", data=data)) == ""


def test_links_are_left_to_tar() -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        entry = tarfile.TarInfo("link")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)

    assert write_files(bundle_of("", data=data.getvalue())) == ""


def test_a_file_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    function = write_files(bundle_of("echo"))

    command = ["bash", "-c", f'{function}\nwrite_files "$1"', "bash", str(tmp_path / "missing")]

    assert subprocess.run(command, check=False, timeout=20).returncode != 0
