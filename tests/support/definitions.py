"""Folders of DAGs that others ask for, and what stands between them and who asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from support.daguhome import a_catalogue

from provisioning.adapters.memory.definitions import FakeCoordinator
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.definitions import DefinitionService, NatsCoordinator
from provisioning.core.dagu.definitions import Answer, Coordinator, Status, Wanted, may_have, read_rules
from provisioning.errors import DefinitionError
from provisioning.operations.dagu.answering import Answering
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.packing import packed

RULES = "site-a-*=etl,big,broken,missing boss=*"
ETL = "steps:\n  - command: ./load.sh\n"


def home(folder: Path) -> Path:
    """Write a folder of DAGs: `etl` with a script, `payroll`, `big`, and `broken`. Return it."""
    dags = folder / "dags"
    dags.mkdir(parents=True)
    (dags / "etl.yaml").write_text(ETL, "utf-8")
    (dags / "payroll.yaml").write_text("steps: [echo pay]\n", "utf-8")
    (dags / "broken.yaml").write_text("steps: 7\n", "utf-8")
    (dags / "load.sh").write_text("#!/bin/sh\necho loaded\n", "utf-8")
    (dags / "load.sh").chmod(0o755)
    return dags


def with_base(dags: Path) -> Catalogue:
    """Return the catalogue of a folder, over the base.yaml that lies above it, if there is one."""
    base = dags.parent / "base.yaml"
    return a_catalogue(dags, base=base if base.exists() else None)


def answering(dags: Path, rules: str = "", by: str = "server") -> Answering:
    """Return what answers for a folder."""
    return Answering(lambda: with_base(dags), rules=read_rules(rules), by=by)


@dataclass
class Direct:
    """Fulfils `Coordinator` without anything between."""

    answers: Answering

    async def ask(self, wanted: Wanted) -> tuple[Answer, bytes]:
        answer, data = await self.answers.answer(wanted)
        if answer.status is Status.REFUSED and "cannot be the name" in answer.error:
            raise DefinitionError(answer.error)
        return answer, data


def faked(dags: Path, rules: str) -> FakeCoordinator:
    """Return a fake that says what the folder would."""
    catalogue = a_catalogue(dags)
    names = [path.stem for path in dags.glob("*.yaml") if path.stem != "broken"]
    broken = Answer(status=Status.BROKEN, name="broken", error="broken.yaml is not a valid DAG", by="fake")
    allowed = read_rules(rules)
    return FakeCoordinator(
        packages={name: packed(catalogue, name)[1] for name in names},
        says={"broken": broken},
        allows=lambda caller, name: may_have(allowed, caller, name),
    )


@asynccontextmanager
async def serving(access: Access, *answers: Answering, **limits: float) -> AsyncIterator[Coordinator]:
    """Let some answer over NATS, each with a connection of its own, and yield what asks them."""
    clusters = [Cluster(access) for _ in range(len(answers) + 1)]
    services = [DefinitionService(cluster, each) for cluster, each in zip(clusters[1:], answers, strict=True)]
    jobs = [asyncio.create_task(service.serve()) for service in services]
    try:
        for service in services:
            await service.ready.wait()
        yield NatsCoordinator(clusters[0], **limits)
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        for cluster in clusters:
            await cluster.close()
