from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.bundles import request_for

from provisioning.adapters.bundle import TarBundles
from provisioning.adapters.secrets import ReferenceSecrets
from provisioning.core.declare import Infra
from provisioning.core.inputs import merged_params
from provisioning.formats.infra import inspect_infra
from provisioning.formats.taskserv import catalogue_folders, load_catalogue
from provisioning.formats.workspace import load_workspace

FOLDER = Path(__file__).resolve().parents[2] / "workspaces" / "kubernetes"


@pytest.fixture(scope="module")
def infra() -> Infra:
    inspected = inspect_infra(load_workspace(FOLDER), None, load_catalogue(catalogue_folders(FOLDER, "lab", {}), FOLDER))
    assert inspected.faults == ()
    assert inspected.infra is not None
    return inspected.infra


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the workspace after `make-secrets` has run twice."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    copy = tmp_path_factory.mktemp("kubernetes")
    shutil.copy(FOLDER / "make-secrets", copy)
    subprocess.run(["bash", "./make-secrets"], cwd=copy, check=True, capture_output=True)
    before = {path.name: path.read_text() for path in (copy / "secrets").iterdir()}
    subprocess.run(["bash", "./make-secrets"], cwd=copy, check=True, capture_output=True)
    assert {path.name: path.read_text() for path in (copy / "secrets").iterdir()} == before
    return copy


def test_it_is_a_highly_available_cluster(infra: Infra) -> None:
    roles = [server.labels["role"] for server in infra.servers]
    assert {role: roles.count(role) for role in roles} == {"loadbalancer": 1, "controlplane": 3, "worker": 2}


def test_the_first_control_plane_waits_for_a_quorum_and_the_load_balancer(infra: Infra) -> None:
    assert infra.dag is not None
    formulas = {formula.id: formula for formula in infra.dag.formulas}
    assert [dep.formula_id for dep in formulas["cp-0"].depends_on] == ["lb-0", "etcd-2"]
    gate = formulas["cp-0"].health_gate
    assert gate is not None
    assert (gate.retries, gate.timeout_ms) == (10, 180_000)
    assert formulas["etcd-2"].health_gate is not None


def test_every_node_renders_with_the_secrets_that_are_made(infra: Infra, secrets: Path) -> None:
    import asyncio

    assert infra.dag is not None
    servers = {server.hostname: server for server in infra.servers}
    bundles = TarBundles(ReferenceSecrets(secrets))
    for formula in infra.dag.formulas:
        for node in formula.nodes:
            taskserv, server = infra.taskservs[node.taskserv], servers[formula.server]
            request = request_for(
                Path(taskserv.profiles[node.profile].path),
                params=merged_params(taskserv, node, infra.workspace.params),
                secrets=infra.workspace.secrets,
                server={"hostname": server.hostname, "address": server.address_for(), "private_ip": server.private_ip},
            )
            bundle, _ = asyncio.run(bundles.build(request))
            assert bundle.entry == f"install-{node.taskserv}.sh"


def test_the_secrets_have_the_form_that_kubeadm_wants(secrets: Path) -> None:
    assert re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}\n", (secrets / "secrets" / "bootstrap-token").read_text())
    assert re.fullmatch(r"[0-9a-f]{64}\n", (secrets / "secrets" / "certificate-key").read_text())
    assert {path.stat().st_mode & 0o777 for path in (secrets / "secrets").iterdir()} == {0o600}
