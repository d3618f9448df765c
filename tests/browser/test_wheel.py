"""Who installs a wheel or an sdist has the pages without Node."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Collection
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PAGES = "provisioning/api/ui/"
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def built() -> None:
    if not (ROOT / PAGES / "index.html").is_file() or not (ROOT / "web" / "node_modules").is_dir():
        pytest.skip("the web UI is not built (make ui, with Node)")


def build(kind: str, folder: Path, source: Path = ROOT, **environment: str) -> Path:
    """Build in a process, as pip does, with what is installed."""
    call = f"import sys, hatchling.build; print(hatchling.build.build_{kind}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", call, str(folder)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
        env=environment or None,
    )
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.split()[-1]


def has_pages(names: Collection[str], index: str, prefix: str = "") -> None:
    """Check that everything that the first page names is there."""
    named = re.findall(r'(?:src|href)="/([^"]+)"', index)
    assert any(name.endswith(".js") for name in named)
    assert any(name.endswith(".css") for name in named)
    assert {f"{prefix}{PAGES}{name}" for name in named} <= set(names)


def test_a_wheel_contains_the_pages_and_the_contract(tmp_path: Path) -> None:
    with ZipFile(build("wheel", tmp_path)) as wheel:
        has_pages(wheel.namelist(), wheel.read(f"{PAGES}index.html").decode())
        assert "provisioning/_schemas/openapi.json" in wheel.namelist()
        assert not [name for name in wheel.namelist() if name.startswith("web/")]


@pytest.mark.soak
def test_a_wheel_from_an_sdist_has_the_pages_where_there_is_no_node(tmp_path: Path) -> None:
    sdist = build("sdist", tmp_path)
    with tarfile.open(sdist) as archive:
        assert not [name for name in archive.getnames() if "node_modules" in name]
        archive.extractall(tmp_path / "unpacked", filter="data")
    source = next((tmp_path / "unpacked").iterdir())
    wheel = build("wheel", tmp_path, source, PATH=str(tmp_path), HOME=str(tmp_path))
    assert shutil.which("node", path=str(tmp_path)) is None
    with ZipFile(wheel) as made:
        has_pages(made.namelist(), made.read(f"{PAGES}index.html").decode())
