"""What the second server costs: a profile is read, compiled and packed once for all of them."""

from __future__ import annotations

import asyncio
import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.bundles import DictSecrets, contents, request_for
from support.cost import counted

from provisioning.adapters.bundle import KEPT_BYTES, TarBundles
from provisioning.adapters.render import Compiled, Renderer
from provisioning.core.hosts import Bundle
from provisioning.errors import ConfigError

SCRIPT = "install-redis.sh"
TEMPLATE = "{% for n in range(3) %}\nHOST{{ n }}={{ server.hostname | sh }}\n{% endfor %}\n{% if params %}P=1{% endif %}\n"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    folder = tmp_path / "redis" / "default"
    folder.mkdir(parents=True)
    (folder / SCRIPT).write_text("true\n")
    (folder / "env-redis.j2").write_text(TEMPLATE)
    return folder


def built(bundles: TarBundles, profile: Path, host: str) -> Bundle:
    return asyncio.run(bundles.build(request_for(profile, server={"hostname": host})))[0]


def rendered(profile: Path, compiled: Compiled, text: str) -> int:
    """Return how many lines of Python rendering takes."""
    renderer = Renderer(request_for(profile), DictSecrets(), {"env-redis.j2": text.encode()}, compiled)
    with counted() as cost:
        renderer.render("env-redis.j2")
    return cost.lines


def test_a_template_is_compiled_once_however_many_servers_it_is_rendered_for(profile: Path) -> None:
    compiled = Compiled()
    rendered(profile, Compiled(), TEMPLATE)  # jinja2 makes its lexer
    first, second = (rendered(profile, compiled, TEMPLATE) for _ in range(2))
    assert second * 10 < first
    assert rendered(profile, compiled, TEMPLATE + "more") > first  # another text is another template


@pytest.mark.parametrize("name", [SCRIPT, "env-redis.j2"])
def test_every_server_of_a_run_gets_the_files_as_they_were_when_first_needed(profile: Path, name: str) -> None:
    bundles = TarBundles(DictSecrets())
    first = contents(built(bundles, profile, "web-0").data)
    (profile / name).write_text("edited\n")
    assert contents(built(bundles, profile, "web-0").data) == first
    assert contents(built(TarBundles(DictSecrets()), profile, "web-0").data)[name.removesuffix(".j2")] == "edited\n"


def test_a_profile_that_was_refused_is_read_again(profile: Path) -> None:
    bundles = TarBundles(DictSecrets())
    (profile / SCRIPT).unlink()
    with pytest.raises(ConfigError):
        built(bundles, profile, "web-0")
    (profile / SCRIPT).write_text("true\n")
    assert contents(built(bundles, profile, "web-0").data)[SCRIPT] == "true\n"


def test_what_is_too_big_to_be_kept_is_the_same_bundle_every_time(profile: Path) -> None:
    (profile / "image").write_bytes(b"\0" * (KEPT_BYTES + 1))
    bundles = TarBundles(DictSecrets())
    assert built(bundles, profile, "web-0") == built(bundles, profile, "web-0")


@pytest.mark.parametrize(
    "files",
    [
        {"a": b"", "b/c": b"1" * 512, "d": b"2" * 513},
        {"x" * 150: b"long name", "ünï\u2028": b"\0\xff"},
        {"big": b"3" * 10_240},
    ],
)
def test_archives_are_byte_for_byte_what_the_standard_library_writes(profile: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (profile / name).parent.mkdir(exist_ok=True)
        (profile / name).write_bytes(data)
    packed = gzip.decompress(built(TarBundles(DictSecrets()), profile, "web-0").data)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = [(member, archive.extractfile(member)) for member in archive.getmembers()]
        again = io.BytesIO()
        with tarfile.open(fileobj=again, mode="w", format=tarfile.PAX_FORMAT) as other:
            for member, file in members:
                plain = tarfile.TarInfo(member.name)
                plain.size, plain.mode = member.size, member.mode
                other.addfile(plain, file)
    assert packed == again.getvalue()
    assert {member.name for member, _file in members} == {SCRIPT, "env-redis", *files}
