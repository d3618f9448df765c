"""The functions of lib.sh that install packages, on a Debian whose apt and dpkg are scripts of ours."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from provisioning.profiles import SHIPPED

LIB = SHIPPED / "_lib" / "lib.sh"
TOOLS = {
    "dpkg-query": 'test -e "$STORE/${!#}" && echo "ii "',
    "dpkg": "true",
    "sync": "true",
    "systemctl": 'echo "$1" >>"$STORE/../said"',
    "apt-get": """
        echo apt-get >>"$STORE/../said"
        for word in "$@"; do case $word in web-*) touch "$STORE/$word" ;; esac; done
    """,
}


def installed(folder: Path, *present: str, call: str) -> tuple[Sequence[str], set[str]]:
    """Call a function where these packages are there; return what it called, and the packages there are then."""
    tools, store = folder / "tools", folder / "store"
    for made in (tools, store, folder / "own"):
        made.mkdir()
    for name, body in TOOLS.items():
        (tools / name).write_text(f"#!/usr/bin/env bash\n{body}\n", "utf-8")
        (tools / name).chmod(0o755)
    for package in present:
        (store / package).touch()
    text = LIB.read_text("utf-8").replace("/var/lib/provisioning-services", str(folder / "own"))
    script = f"set -euo pipefail\nPATH={tools}:$PATH\nexport STORE={store}\n{text}\n{call}\n"
    subprocess.run(["bash", "-c", script], check=True, capture_output=True, timeout=50)
    said = folder / "said"
    return said.read_text("utf-8").split() if said.exists() else [], {path.name for path in store.iterdir()}


@pytest.mark.parametrize("present", [(), ("web-server",), ("web-client",)])
def test_a_package_is_installed_whichever_of_its_companions_are_there(tmp_path: Path, present: tuple[str, ...]) -> None:
    """A loss of power between the two may leave either of them."""
    said, packages = installed(tmp_path, *present, call="apt_install_stopped web.service web-server web-client")

    assert packages == {"web-server", "web-client"}
    assert [said[0], said[-1]] == ["mask", "unmask"], "it may not start before it is configured"


def test_where_all_of_them_are_there_nothing_is_installed(tmp_path: Path) -> None:
    call = "apt_install_stopped web.service web-server web-client"
    said, _packages = installed(tmp_path, "web-server", "web-client", call=call)

    assert said == ["unmask"]
