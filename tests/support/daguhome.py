"""A folder of Dagu files and what ran of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.records import a_commit, a_workflow, created, event

from provisioning.core.events import Kind
from provisioning.core.model import Source
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.places import Places
from provisioning.wiring import open_store

PLAIN = "steps:\n  - name: one\n    command: echo one\n"


def dag_folder(folder: Path, **files: str) -> Path:
    """Write DAG files, `etl` for `etl.yaml`, and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    return folder


def a_catalogue(folder: Path, *, base: Path | None = None) -> Catalogue:
    """Return the catalogue of a folder; flags and history are beside it."""
    home = folder.parent
    return Catalogue(Places(dags=folder, named=True, base=base, suspended=home / "suspend", data=home / "data"))


async def ran(data: Path, name: str, *, run: str, state: str = "succeeded", kind: str = "dagu") -> None:
    """Record a run of a DAG that has ended."""
    store = open_store(data)
    try:
        seq = await created(store, replace(a_workflow(name=name), source=Source(kind=kind)), run=run)
        await store.commit(a_commit(seq, event(Kind.RUN_FINISHED, run=run, state=state), run=run))
    finally:
        store.close()
