"""Bundles that come in halves, and archives that want out of their folder: nothing of them is executed or written."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.real import RealWorkspace, formula
from support.remote import Heard, bundle_of, unit_of
from support.ssh import declared, ssh_hosts
from support.taps import tapped

from provisioning.core.hosts import Bundle
from provisioning.errors import HostError

pytestmark = pytest.mark.sshd

Say = Callable[[str], None]
SEED = 20260107
PADDING_BYTES = 300_000


@pytest.fixture
def workspace(tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers]) -> RealWorkspace:
    """A taskserv whose script and data are large, and which checks that it has all of its data."""
    made = RealWorkspace(tmp_path / "workspace", throwaway_servers("one"))
    dice = random.Random(SEED)
    noise = "".join(f"# {dice.getrandbits(256):064x}\n" for _ in range(PADDING_BYTES // 67))
    check = f"test $(wc -c <data) = {PADDING_BYTES} || exit 9\n{noise}"
    made.taskserv("web", check, toml="idempotent = true\n")
    (made.folder / "taskservs/web/default/data").write_bytes(dice.randbytes(PADDING_BYTES))
    made.dag(formula("a", "one", "web"))
    return made


def assert_whole(workspace: RealWorkspace) -> None:
    counts = workspace.counts("begin"), workspace.counts("end")
    assert counts[0] == counts[1], "what began was whole: it came to its last line"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rounds", [4, pytest.param(60, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_an_upload_that_is_cut_midway_is_sent_again_and_run_once(workspace: RealWorkspace, rounds: int, say: Say) -> None:
    one = workspace.servers.server("one")
    dice = random.Random(SEED)
    with tapped(one.address, one.port) as tap:
        workspace.change_server("one", port=tap.port)
        known = workspace.folder / ".provisioning" / "known_hosts"
        known.write_text(known.read_text("utf-8").replace(f":{one.port} ", f":{tap.port} "), "utf-8")
        cut = 0
        for number in range(1, rounds + 1):
            tap.cut_after, tap.cuts, before = dice.randrange(4_000, 2 * PADDING_BYTES), 1, tap.connections

            ended = workspace.run("taskserv", "create", "--all", *(("--reset",) if number > 1 else ()))

            assert ended.code == 0, (number, tap.cut_after, ended.err)
            cut += tap.connections - before > 1
            assert workspace.counts("begin") == {"a/web": number}, (number, tap.cut_after)
            assert_whole(workspace)
    assert cut >= rounds * 2 // 3, "most cuts were in the upload"
    say(f"{rounds} uploads of 0.6 MB, {cut} cut midway, seed {SEED}: {rounds} runs, none of half a bundle")


@pytest.mark.timeout(600)
def test_an_upload_that_never_arrives_leaves_nothing_to_execute(workspace: RealWorkspace) -> None:
    one = workspace.servers.server("one")
    with tapped(one.address, one.port) as tap:
        workspace.change_server("one", port=tap.port)
        known = workspace.folder / ".provisioning" / "known_hosts"
        known.write_text(known.read_text("utf-8").replace(f":{one.port} ", f":{tap.port} "), "utf-8")
        tap.cut_after, tap.cuts = PADDING_BYTES // 2, 1_000_000

        ended = workspace.run("taskserv", "create", "--all")

        assert ended.code == 7, ended.err
        assert workspace.begun() == []
        tap.cuts = 0
        assert workspace.run("taskserv", "create", "--all").code == 0
    assert workspace.counts("end") == {"a/web": 1}


# ---------------------------------------------------------------- archives that want out


INSIDE = {"an absolute name", "a symlink in the place of the script", "a device", "a pipe", "a mode for root"}
"""These stay in the bundle's folder, which nobody else may enter: tar takes the root off names, and nothing follows a link."""


def archive(*entries: tarfile.TarInfo, script: str = "touch executed; echo ran\n") -> Bundle:
    """Return a bundle with a good script behind bad company."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as packed:
        for entry in entries:
            content = b"bad\n" * (entry.size // 4)
            packed.addfile(entry, io.BytesIO(content) if entry.isreg() else None)
        good = tarfile.TarInfo("install-web.sh")
        good.size = len(script)
        packed.addfile(good, io.BytesIO(script.encode()))
    return Bundle(data=data.getvalue(), digest="d1", entry="install-web.sh")


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    made.size = 4 if kind == tarfile.REGTYPE else 0
    return made


def slips(outside: Path) -> dict[str, list[tarfile.TarInfo]]:
    """Return the ways out of a folder that archives know; `outside` is where they want to write."""
    up = "../" * 40 + str(outside).lstrip("/")
    return {
        "an absolute name": [entry(f"{outside}/slip")],
        "a name that climbs": [entry(f"{up}/slip")],
        "a name that climbs in its middle": [entry("here/x"), entry(f"here/{up}/slip")],
        "one step up": [entry("../slip")],
        "a symlink, then through it": [entry("way", tarfile.SYMTYPE, str(outside)), entry("way/slip")],
        "a symlink that climbs": [entry("way", tarfile.SYMTYPE, up), entry("way/slip")],
        "a symlink to a symlink": [
            entry("a", tarfile.SYMTYPE, "b"),
            entry("b", tarfile.SYMTYPE, str(outside)),
            entry("a/slip"),
        ],
        "a symlink in the place of the script": [entry("install-web.sh", tarfile.SYMTYPE, f"{outside}/slip")],
        "a hard link": [entry("way", tarfile.LNKTYPE, f"{outside}/there"), entry("way")],
        "a hard link that climbs": [entry("way", tarfile.LNKTYPE, f"{up}/there"), entry("way")],
        "a device": [entry("null", tarfile.CHRTYPE)],
        "a pipe": [entry("pipe", tarfile.FIFOTYPE)],
        "the claim": [entry("../claim"), entry("../result")],
        "a mode for root": [entry("suid", mode=0o6755)],
    }


async def test_no_archive_writes_outside_of_its_folder(
    tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers], say: Say
) -> None:
    servers = throwaway_servers("one")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "there").write_text("untouched")
    refused = []
    async with ssh_hosts(servers) as hosts:
        link = await hosts.link(declared(servers, "one"))
        for number, (name, entries) in enumerate(slips(outside).items()):
            try:
                await link.start(unit_of(run=f"run-{number}", fresh=True), archive(*entries), Heard())
            except HostError:
                refused.append(name)

            assert [path.name for path in outside.iterdir()] == ["there"], name
            assert (outside / "there").read_text() == "untouched", name
            assert (outside / "there").stat().st_nlink == 1, name
        assert (await link.start(unit_of(run="good"), bundle_of("exit 0"), Heard())).ok
    say(f"{len(slips(outside))} archives, {len(refused)} refused, the rest unpacked inside, 0 files outside")
    assert set(refused) == set(slips(outside)) - INSIDE
