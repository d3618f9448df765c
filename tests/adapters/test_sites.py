"""What travels of a workspace: the same bytes for the same workspace, no secrets, and nothing that leads out of its folder."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from provisioning.adapters import sites
from provisioning.adapters.sites import PackedSite, SiteFolder, address
from provisioning.core.declare import Infra, Profile, Server, SshLogin, Taskserv, Workspace
from provisioning.errors import ConfigError, StoreError

KEYS = b"cp-0 ssh-ed25519 AAAA\n"


def infra(folder: Path) -> Infra:
    """A workspace with two taskservs, of which one has two profiles."""
    found = {}
    for name, profiles in (("redis", ("default", "large")), ("nginx", ("default",))):
        home = folder / "taskservs" / name
        for profile in profiles:
            (home / profile / "files").mkdir(parents=True, exist_ok=True)
            script = home / profile / f"install-{name}.sh"
            script.write_text(f"#!/bin/bash\necho {name} {profile}\n", "utf-8")
            script.chmod(0o755)
            (home / profile / "files" / "plain.conf").write_text("a = 1\n", "utf-8")
        made = {one: Profile(name=one, path=str(home / one), files_digest="d") for one in profiles}
        found[name] = Taskserv(name=name, path=str(home), profiles=made, idempotent=True)
    server = Server(hostname="cp-0", address="192.0.2.1", site="east", ssh=SshLogin(user="deploy"))
    workspace = Workspace(name="shop", path=str(folder), params={"n": 1}, secrets={"token": "env:TOKEN"})
    return Infra(workspace=workspace, name="main", servers=(server,), dag=None, taskservs=found)


def packed(folder: Path) -> bytes:
    return sites.pack(infra(folder), {("redis", "large")}, lineage="l-1", known_hosts=KEYS)


def test_a_package_has_what_is_needed_and_nothing_else(tmp_path: Path) -> None:
    data = packed(tmp_path / "one")
    site = SiteFolder(tmp_path / "kept").put(address(data), data)

    assert (site.workspace.name, site.workspace.params, site.lineage) == ("shop", {"n": 1}, "l-1")
    assert site.servers == infra(tmp_path / "one").servers
    assert site.known_hosts.read_bytes() == KEYS
    assert {name: list(one.profiles) for name, one in site.taskservs.items()} == {"redis": ["large"]}
    profile = Path(site.taskservs["redis"].profiles["large"].path)
    assert (profile / "files" / "plain.conf").read_text("utf-8") == "a = 1\n"
    assert (profile / "install-redis.sh").stat().st_mode & 0o100
    assert site.workspace.secrets == {"token": "env:TOKEN"}  # the reference, not the value


def test_the_same_workspace_elsewhere_is_the_same_package(tmp_path: Path) -> None:
    assert packed(tmp_path / "one") == packed(tmp_path / "two")


def test_what_was_unpacked_is_found_again_and_what_was_damaged_is_not(tmp_path: Path) -> None:
    data, folder = packed(tmp_path / "one"), SiteFolder(tmp_path / "kept")
    made = folder.put(address(data), data)
    assert folder.find(address(data)) == made
    (Path(made.folder) / "site.json").write_text("{", "utf-8")
    assert folder.find(address(data)) is None
    assert folder.put(address(data), data) == made


def test_two_workers_on_a_machine_unpack_the_same_package_at_the_same_time(tmp_path: Path) -> None:
    data = packed(tmp_path / "one")
    for round_ in range(20):
        kept = tmp_path / f"kept-{round_}"
        together = Barrier(4)

        def put(kept: Path = kept, together: Barrier = together) -> tuple[PackedSite, int]:
            together.wait(10)
            made = SiteFolder(kept).put(address(data), data)
            return made, Path(made.folder).stat().st_ino

        with ThreadPoolExecutor(4) as threads:
            made = [one.result() for one in [threads.submit(put) for _ in range(4)]]
        assert made == made[:1] * 4, "what one of them has begun to use was taken away by another"
        assert [path.name for path in kept.iterdir() if path.name != ".lock"] == [Path(made[0][0].folder).name]


@pytest.mark.parametrize("digest", ["", "sha256:../../etc", "md5:00", "sha256:" + "0" * 63])
def test_what_is_no_digest_reaches_no_path(tmp_path: Path, digest: str) -> None:
    with pytest.raises(StoreError, match="no digest"):
        SiteFolder(tmp_path).find(digest)


def test_another_package_than_the_one_that_was_asked_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not sha256"):
        SiteFolder(tmp_path / "kept").put("sha256:" + "0" * 64, packed(tmp_path / "one"))


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "files/../../out"])
def test_a_path_that_leads_out_writes_nothing(tmp_path: Path, path: str) -> None:
    line, _, rest = gzip.decompress(packed(tmp_path / "one")).partition(b"\n")
    head = json.loads(line)
    head["files"][0][0] = path
    data = gzip.compress(json.dumps(head).encode() + b"\n" + rest, mtime=0)
    with pytest.raises(StoreError, match="leads out"):
        SiteFolder(tmp_path / "kept").put(address(data), data)
    assert not (tmp_path / "out").exists()
    assert not [path for path in (tmp_path / "kept").iterdir() if path.name != ".lock"]


def test_a_package_of_a_newer_version_says_which_side_is_older(tmp_path: Path) -> None:
    line, _, rest = gzip.decompress(packed(tmp_path / "one")).partition(b"\n")
    data = gzip.compress(json.dumps({**json.loads(line), "version": 2}).encode() + b"\n" + rest, mtime=0)
    with pytest.raises(StoreError, match="update the older side"):
        SiteFolder(tmp_path / "kept").put(address(data), data)


def test_what_is_too_large_to_travel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "MOST_BYTES", 10)
    with pytest.raises(ConfigError, match="travel to workers"):
        packed(tmp_path / "one")


def test_servers_keep_everything_that_is_said_of_them(tmp_path: Path) -> None:
    whole = infra(tmp_path / "one")
    server = replace(whole.servers[0], labels={"rack": "a b"}, private_ip="10.0.0.1")
    data = sites.pack(replace(whole, servers=(server,)), set(), lineage="", known_hosts=b"")
    assert SiteFolder(tmp_path / "kept").put(address(data), data).servers == (server,)
