from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.bundles import build, request_for

from provisioning.core.params import fill_params
from provisioning.formats.infra import inspect_infra
from provisioning.formats.scaffold import taskserv_files, workspace_files
from provisioning.formats.taskserv import catalogue_folders, load_catalogue, load_taskserv
from provisioning.formats.workspace import load_workspace

NAMES = ["hello", "my-service", "a.b_c", "9lives", "x" * 128]


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def unpacked(folder: Path, target: Path) -> Path:
    taskserv, _ = load_taskserv(folder)
    bundle, _ = build(request_for(folder / "default", params=fill_params(taskserv.params, {"greeting": "it's $HOME"})))
    with tarfile.open(fileobj=io.BytesIO(bundle.data), mode="r:gz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.2 has no filters yet
        archive.extractall(target)
    return target


@pytest.mark.parametrize("name", ["demo", "9.a-b_c"])
def test_a_new_workspace_is_valid_as_it_is(tmp_path: Path, name: str) -> None:
    write(tmp_path, workspace_files(name))
    workspace = load_workspace(tmp_path)
    inspected = inspect_infra(workspace, None, load_catalogue(catalogue_folders(tmp_path), tmp_path))
    assert inspected.faults == ()
    assert inspected.infra is not None
    assert inspected.infra.dag is not None
    assert [formula.id for formula in inspected.infra.dag.formulas] == ["base", "web"]


def test_what_runs_leave_behind_and_secrets_are_not_for_git() -> None:
    assert workspace_files("demo")[".gitignore"].split() == [".provisioning/", "secrets/"]


@pytest.mark.parametrize("name", NAMES)
def test_a_new_taskserv_is_valid_as_it_is(tmp_path: Path, name: str) -> None:
    taskserv, faults = load_taskserv(write(tmp_path / name, taskserv_files(name)))
    assert faults == []
    assert (taskserv.name, list(taskserv.profiles)) == (name, ["default"])


@pytest.mark.parametrize("name", NAMES[:4])
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing_in_a_new_taskserv(tmp_path: Path, name: str) -> None:
    folder = unpacked(write(tmp_path / name, taskserv_files(name)), tmp_path / "bundle")
    checked = subprocess.run(["shellcheck", f"install-{name}.sh"], cwd=folder, capture_output=True, text=True, check=False)
    assert (checked.stdout, checked.returncode) == ("", 0)


def test_a_new_taskserv_installs_checks_and_removes_itself(tmp_path: Path) -> None:
    files = {path: text.replace("/etc/", f"{tmp_path}/etc/") for path, text in taskserv_files("hello").items()}
    folder = unpacked(write(tmp_path / "hello", files), tmp_path / "bundle")

    def run(operation: str) -> int:
        return subprocess.run(
            ["bash", "./install-hello.sh", operation], cwd=folder, capture_output=True, check=False
        ).returncode

    assert [run(operation) for operation in ("install", "install", "status", "remove", "remove")] == [0, 0, 0, 0, 0]
    assert [run("status"), run("explode")] == [1, 1]
