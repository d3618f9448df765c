"""Where a run finds what is not in its own file: other DAGs, functions, readers of texts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.functions import Function
from provisioning.core.faults import Fault
from provisioning.engine.actions.dagu.tools import Readers, Said
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.places import Places


class Files:
    """Fulfils `engine.actions.dagu.runs.Definitions` from the folder of the DAG files."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def find(self, name: str, run: str) -> DagFile:  # noqa: ARG002 - its files lie where every run finds them
        """Read the file anew: it may have changed since the run began."""
        return await asyncio.to_thread(self._catalogue.load, name)


def functions_of(places: Places) -> Mapping[str, Function]:
    """Return the registered functions; none where there is no file. Raises ConfigError with every fault."""
    from provisioning.formats.dagu.functions import load_functions

    return load_functions(places.dags)


def functions_in(folder: str) -> Mapping[str, Function]:
    """Return the functions that are registered in a folder which came in a package. Raises ConfigError with every fault."""
    from provisioning.formats.dagu.functions import load_functions

    return load_functions(Path(folder))


def readers() -> Readers:
    """Return the readers of `.env` files and of YAML."""
    return Readers(dotenv=_dotenv, yaml=_yaml)


def _dotenv(text: str) -> tuple[Sequence[Said], Sequence[Fault]]:
    from provisioning.formats.dagu.dotenv import read_dotenv

    return read_dotenv(text)


def _yaml(text: str) -> object:
    from provisioning.formats.goyaml import parse_yaml, plain

    parsed = parse_yaml(text.encode())
    if parsed.faults:
        raise ValueError(parsed.faults[0].message)
    return plain(parsed.documents[0]) if parsed.documents else None
