"""Small bundles travel as their files; everything else as the archive that it is."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.remote import Heard, bundle_of, packed, unit_of

from provisioning.adapters.remote.contents import contents
from provisioning.adapters.remote.frames import netstrings
from provisioning.adapters.remote.link import RemoteLink

names = st.from_regex(r"[A-Za-z0-9._ '$\"-]{1,12}", fullmatch=True).filter(lambda name: name.strip(".") != "")


@given(files=st.dictionaries(names, st.binary(max_size=300), max_size=4))
def test_any_small_files_travel_byte_for_byte(files: dict[str, bytes]) -> None:
    expected = [word for name, data in files.items() for word in (name, "644", data)]

    assert contents(packed(files)) == netstrings(expected)


async def test_folders_modes_and_bytes_arrive(link: RemoteLink, tmp_path: Path) -> None:
    data = io.BytesIO()
    script = b"cd \"$PWD\"; stat -c '%n %a' conf/deep/a tool; od -An -tx1 conf/deep/a"
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, mode, content in (
            ("conf/deep/a", 0o644, b"\0\xff'$"),
            ("tool", 0o755, b""),
            ("install-web.sh", 0o755, script),
        ):
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = mode, len(content)
            archive.addfile(entry, io.BytesIO(content))
    heard = Heard()

    assert (await link.start(unit_of(), bundle_of("", data=data.getvalue()), heard)).ok

    assert heard.text.split("\n") == ["conf/deep/a 644", "tool 755", " 00 ff 27 24", ""]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(packed({"a": b"x" * 700_000}), id="too much when unpacked"),
        pytest.param(packed({"../a": b""}), id="a way out of the folder"),
        pytest.param(packed({"/a": b""}), id="an absolute name"),
        pytest.param(packed({"a": b"text"})[:-9], id="a damaged archive"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"no archive at all", id="something else"),
    ],
)
def test_everything_else_is_left_to_tar(data: bytes) -> None:
    assert contents(data) is None


@pytest.mark.parametrize("type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_what_is_no_plain_file_is_left_to_tar(type: bytes) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        entry = tarfile.TarInfo("odd")
        entry.type, entry.linkname = type, "/etc/passwd"
        archive.addfile(entry)

    assert contents(data.getvalue()) is None
