"""The workspaces `etcd` and `postgres-ha` without servers: valid, and true to what their README says."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from provisioning.core.declare import Infra
from provisioning.formats.infra import inspect_infra
from provisioning.formats.taskserv import catalogue_folders, load_catalogue
from provisioning.formats.workspace import load_workspace

WORKSPACES = Path(__file__).resolve().parents[2] / "workspaces"
NAMES = ("etcd", "postgres-ha")


def inspected(folder: Path) -> Infra:
    catalogue = load_catalogue(catalogue_folders(folder, "default", {}), folder)
    found = inspect_infra(load_workspace(folder), None, catalogue)
    assert found.faults == ()
    assert found.infra is not None
    return found.infra


@pytest.mark.parametrize("name", NAMES)
def test_it_is_valid_and_every_formula_has_a_gate(name: str) -> None:
    infra = inspected(WORKSPACES / name)
    assert infra.dag is not None
    assert len(infra.servers) == 3
    assert all(formula.health_gate for formula in infra.dag.formulas)


@pytest.mark.parametrize("name", NAMES)
def test_addresses_stand_in_servers_json_and_nowhere_else(name: str, tmp_path: Path) -> None:
    copy = tmp_path / name
    shutil.copytree(WORKSPACES / name, copy)
    text = (copy / "servers.json").read_text("utf-8").replace("192.0.2.1", "198.51.100.1")
    declared = json.loads(text)["servers"]
    last = declared[-1]
    declared += [{**last, "hostname": f"more-{number}", "address": f"198.51.100.2{number}"} for number in range(2)]
    (copy / "servers.json").write_text(json.dumps({"servers": declared}), "utf-8")

    infra = inspected(copy)

    assert infra.dag is not None
    assert {formula.server for formula in infra.dag.formulas} == {server["hostname"] for server in declared}
    assert "192.0.2" not in repr(infra)
    assert "more-1" in repr([node.params for formula in infra.dag.formulas for node in formula.nodes])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_make_secrets_makes_what_is_referred_to_and_never_changes_it(name: str, tmp_path: Path) -> None:
    copy = tmp_path / name
    shutil.copytree(WORKSPACES / name, copy, ignore=shutil.ignore_patterns("secrets"))
    made = [made_secrets(copy), made_secrets(copy)]
    assert made[0] == made[1]
    referred = {f"file:secrets/{file}" for file in made[0]}
    assert referred == set(load_workspace(copy).secrets.values())
    assert all((copy / "secrets" / file).stat().st_mode & 0o077 == 0 for file in made[0])


def made_secrets(folder: Path) -> dict[str, str]:
    subprocess.run(["bash", "./make-secrets"], cwd=folder, check=True, capture_output=True)
    return {path.name: path.read_text("utf-8") for path in (folder / "secrets").iterdir()}
