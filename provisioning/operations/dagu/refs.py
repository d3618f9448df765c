"""What a word on the command line means: a DAG by its name or file, or one of the runs."""

from __future__ import annotations

import os
from pathlib import Path

from provisioning.core.frozen import dataclass
from provisioning.core.history import RunSummary
from provisioning.errors import NotFoundError, ProvisioningError, UsageError
from provisioning.operations.dagu.catalogue import Catalogue, is_dag_name, is_dag_path
from provisioning.operations.dagu.records import newest, opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """The newest run of a DAG, or the run that is named; with both, the run has to be one of the DAG."""

    name: str | None = None
    run_id: str | None = None


def meant(catalogue: Catalogue, ref: str, run_id: str | None = None) -> Meant:
    """Return what a NAME, a FILE or a run's id (or its beginning) means. A DAG whose file is gone is known by its runs.

    Raises NotFoundError, UsageError.
    """
    name = dag_name(catalogue, ref)
    if name is not None:
        return Meant(name=name, run_id=run_id)
    summary = _run_called(catalogue.places.data, ref)
    if summary is None:
        raise NotFoundError(f"no DAG and no run is called {ref}", hint=_hint(catalogue, ref))
    if run_id is not None and summary.run_id != run_id:
        raise UsageError(f"{ref} is a run already", hint="give a DAG's name with --run-id, or the run's id alone")
    return Meant(run_id=summary.run_id)


def one_run(catalogue: Catalogue, ref: str, run_id: str | None = None) -> RunSummary:
    """Return the run that is meant: that of the id, else the newest of the DAG. Raises NotFoundError, UsageError."""
    found = meant(catalogue, ref, run_id)
    if found.run_id is None:
        summary = newest(catalogue.places.data, found.name or "")
        if summary is None:
            raise NotFoundError(f"{found.name} has not run yet", hint=f"`dag-engine run {ref}` runs it")
        return summary
    with opened(catalogue.places.data) as store:
        summary = store.history.run(found.run_id).summary
    if found.name is not None and summary.workflow != found.name:
        raise NotFoundError(f"run {summary.run_id} is of {summary.workflow}, not of {found.name}")
    return summary


def dag_name(catalogue: Catalogue, ref: str) -> str | None:
    """Return the name of the DAG that is meant, or None where none has this name, neither a file nor a run."""
    if is_dag_path(ref):
        there = os.path.lexists(os.path.expanduser(ref)) or Path(ref).stem in catalogue.known_names()  # noqa: PTH111
        return catalogue.find(ref).name if there else Path(ref).stem
    if ref in catalogue.known_names():
        return catalogue.find(ref).name
    if newest(catalogue.places.data, ref) is not None:
        return ref
    try:
        return catalogue.find(ref).name if is_dag_name(ref) else None
    except ProvisioningError:  # no file calls itself so
        return None


def _run_called(data: Path, ref: str) -> RunSummary | None:
    try:
        with opened(data) as store:
            return store.history.run(ref).summary
    except NotFoundError as error:
        if "could be several" in error.message:
            raise
        return None


def _hint(catalogue: Catalogue, ref: str) -> str:
    from provisioning.core.suggest import nearest

    near = nearest(ref, catalogue.known_names())
    return f"did you mean {near}?" if near else "`dag-engine list` shows the DAGs, `dag-engine history` the runs"
