"""Check a DAG file that belongs to no workspace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from provisioning.core.declare import Dag
from provisioning.core.faults import Fault
from provisioning.formats.dagdoc import read_dag
from provisioning.formats.nickel import NickelLimits
from provisioning.formats.source import finish, has_errors, read_sources


def inspect_dag_file(path: Path, *, limits: NickelLimits | None = None) -> tuple[Dag | None, tuple[Fault, ...]]:
    """Return the DAG of a `.json` or `.ncl` file and its faults; None where one is an error.

    Servers and taskservs are not known here, so their names are not checked. Faults name the file as `path` does.
    """
    absolute = path.absolute()
    source = read_sources([absolute], root=absolute.parent, limits=limits)[0]
    document = read_dag(source.value) if source.usable else None
    found = finish(source, document.faults if document else ())
    faults = tuple(replace(fault, file=str(path.parent / fault.file)) for fault in found)
    return (None if document is None or has_errors(faults) else document.dag), faults
