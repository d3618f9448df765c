"""The coordinator's side: answers what workers ask of the DAGs of a folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace

from provisioning.core.dagu.definitions import Answer, Rule, Status, Wanted, WrongRule, is_question, may_have, read_rules
from provisioning.core.dagu.package import address
from provisioning.core.faults import Fault
from provisioning.core.shown import quote
from provisioning.errors import ConfigError, NotFoundError, ProvisioningError, TooLarge
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.packing import packed

FAULTS_TOLD = 3


class Answering:
    """Answers from a folder as it is at the moment. It never raises: whoever asks is told what is wrong."""

    def __init__(self, catalogue: Callable[[], Catalogue], *, rules: tuple[Rule, ...] = (), by: str = "") -> None:
        """`catalogue` makes one that looks at the folder anew; `by` is who answers."""
        self._catalogue, self._rules, self._by = catalogue, rules, by

    async def answer(self, wanted: Wanted) -> tuple[Answer, bytes]:
        """Return the answer, and the package where the caller does not have it yet."""
        wanted = replace(wanted, name=wanted.name.removesuffix(".yaml").removesuffix(".yml"))  # never a path of this machine
        if not is_question(wanted):
            return self._said(Status.REFUSED, wanted, "this cannot be the name of a DAG or of a worker"), b""
        if not may_have(self._rules, wanted.caller, wanted.name.rpartition("/")[2]):
            return self._refused(wanted, wanted.name), b""
        return await asyncio.to_thread(self._looked_up, wanted)

    def _looked_up(self, wanted: Wanted) -> tuple[Answer, bytes]:
        try:
            return self._found(wanted)
        except NotFoundError as error:
            return self._said(Status.NOT_FOUND, wanted, error.message, error.hint), b""
        except TooLarge as error:
            return self._said(Status.TOO_LARGE, wanted, error.message, error.hint), b""
        except ConfigError as error:
            return self._said(Status.BROKEN, wanted, _told(error), error.hint), b""
        except ProvisioningError as error:
            return self._said(Status.BROKEN, wanted, error.message, error.hint), b""

    def _found(self, wanted: Wanted) -> tuple[Answer, bytes]:
        """Look the name up. A folder that should be there and is not is broken: it is not that the DAG was not found."""
        catalogue = self._catalogue()
        if catalogue.places.named and not os.path.isdir(catalogue.places.dags):  # noqa: PTH112 -- never raises
            raise ConfigError(f"there is no folder {catalogue.places.dags}")
        dag, data = packed(catalogue, wanted.name)
        if not may_have(self._rules, wanted.caller, dag.name):  # a file may call its DAG otherwise than itself
            return self._refused(wanted, dag.name), b""
        digest = address(data)
        if digest in wanted.have:
            return Answer(status=Status.UNCHANGED, name=wanted.name, digest=digest, by=self._by), b""
        return Answer(status=Status.FOUND, name=wanted.name, digest=digest, by=self._by), data

    def _refused(self, wanted: Wanted, dag: str) -> Answer:
        told = f"worker {quote(wanted.caller)} may not have the DAG {quote(dag)}"
        return self._said(Status.REFUSED, wanted, told, "the setting dagu.readers on the server says who may have what")

    def _said(self, status: Status, wanted: Wanted, error: str, hint: str = "") -> Answer:
        return Answer(status=status, name=wanted.name, error=error, hint=hint, by=self._by)


def readers_of(text: str) -> tuple[Rule, ...]:
    """Return the rules of the setting `dagu.readers`. Raises ConfigError."""
    try:
        return read_rules(text)
    except WrongRule as error:
        message = f"dagu.readers: found {quote(str(error))}, expected WORKERS=DAGS"
        raise ConfigError(message, hint='for example "site-a-*=etl-* gpu-1=train,score"') from error


def _told(error: ConfigError) -> str:
    faults = "; ".join(map(_shown, error.faults[:FAULTS_TOLD]))
    more = f" and {len(error.faults) - FAULTS_TOLD} more faults" if len(error.faults) > FAULTS_TOLD else ""
    return f"{error.message}: {faults}{more}" if faults else error.message


def _shown(fault: Fault) -> str:
    return f"line {fault.line}, {fault.message}" if fault.line else fault.message
