"""The work's scripts alone, run side by side on this machine without SSH: `python scripts_alone.py JOB.json`.

No contestant; it shows which part of every figure is the work itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

THREADS = 50


def serve(job: Mapping[str, Any], machine: Mapping[str, Any]) -> None:
    """Do one server's work in place."""
    environment = Environment(loader=FileSystemLoader(job["bundles"]), keep_trailing_newline=True)
    inside = {**os.environ, "DEMO_ROOT": machine["root"]}
    for name in job["taskservs"]:
        folder = Path(tempfile.mkdtemp(dir=Path(machine["root"]).with_name("tmp")))
        for path in Path(job["bundles"], name).iterdir():
            rendered = environment.get_template(f"{name}/{path.name}").render(server=machine)
            (folder / path.name.removesuffix(".j2")).write_text(rendered, "utf-8")
        script = ["bash", f"./install-{name}.sh", "install"]
        subprocess.run(script, cwd=folder, env=inside, check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(folder)
    subprocess.run(["bash", "-c", job["gate"]], env=inside, check=True)


def main(job: Mapping[str, Any]) -> None:
    """Serve all servers."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda machine: serve(job, machine), job["machines"]))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text("utf-8")))
