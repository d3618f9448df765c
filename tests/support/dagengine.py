"""`dag-engine` as a process of its own, over a folder of Dagu files, with history and home of its own."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.nursery import Call, Forked, run

LONG_S = 30.0  # nothing in a test takes that long


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a call ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Engine:
    """`folder` is a home: the DAG files are in `dags`, history and logs in `data`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.dags, self.data = folder, folder / "dags", folder / "data"
        self.dags.mkdir(parents=True, exist_ok=True)

    def dag(self, name: str, text: str) -> Path:
        """Write a DAG file."""
        path = self.dags / f"{name}.yaml"
        path.write_text(text, "utf-8")
        return path

    def environment(self, **more: str) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PROVISIONING_", "DAGU_", "XDG_"))}
        places = {"HOME": str(self.folder), "PROVISIONING_DAGU_DAGS": str(self.dags), "PROVISIONING_DAGU_DATA": str(self.data)}
        return {**kept, **places, "PYTHONDONTWRITEBYTECODE": "1", **more}

    @contextmanager
    def started(self, *words: str, **more: str) -> Iterator[Forked]:
        """Start it, and end it afterwards."""
        with Forked(self.call(*words, **more)) as running:
            try:
                yield running
            finally:
                running.kill()

    def __call__(self, *words: str, **more: str) -> Ended:
        """Run it to its end."""
        code, out, err = run(self.call(*words, **more), limit_s=LONG_S)
        return Ended(code=code, out=out, err=err)

    def call(self, *words: str, **more: str) -> Call:
        """Return what it is called with."""
        environment = self.environment(**more)
        return Call(module="provisioning_cli.engine_main", arguments=words, folder=str(self.folder), environment=environment)

    def status(self, ref: str) -> Any:
        """Return the JSON of `status`, whatever it exits with."""
        return self("status", ref, "-o", "json").json

    def states(self, ref: str) -> dict[str, str]:
        """Return step -> status."""
        return states(self.status(ref))

    def killed(self, name: str, mark: Path, run_id: str) -> None:
        """Run a DAG and kill the engine, and nothing else, once `mark` is there."""
        with self.started("run", name, "--run-id", run_id) as running:
            until(mark.exists)
            running.send_signal(signal.SIGKILL)
            running.wait(LONG_S)


def states(document: Mapping[str, Any]) -> dict[str, str]:
    """Return step -> status of a run's JSON."""
    return {step["id"]: step["state"] for step in document["steps"]}


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds that other processes bring about."""
    end_s = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < end_s, "it never came"
        time.sleep(0.02)


def alive(pid_file: Path) -> bool:
    """Whether the process goes on whose id is in a file. A zombie does not."""
    try:
        stat = Path(f"/proc/{int(pid_file.read_text())}/stat").read_text()
    except (OSError, ValueError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
