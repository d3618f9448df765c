"""`dagu.run`: starts other DAGs, once or for each item, and loops over steps; each is a run of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from provisioning.core.dagu.access import as_text
from provisioning.core.dagu.compile import compile_dag
from provisioning.core.dagu.context import MARK, Context
from provisioning.core.dagu.declared import DagFile, DagType, Selector
from provisioning.core.dagu.doing import ForeachDoing, Item, SubDagDoing, Text
from provisioning.core.dagu.outputs import SubRun, items_of, parallel_document, sub_dag_document
from provisioning.core.dagu.params import parse_params
from provisioning.core.dagu.placing import Here, WrongSelector, effective, started_by_step, texts_of
from provisioning.core.dagu.stored import to_plain
from provisioning.core.decide import Extent
from provisioning.core.frozen import dataclass
from provisioning.core.model import RunState, Workflow
from provisioning.core.naming import id_from
from provisioning.core.run import Run
from provisioning.core.starting import NO_WORKER
from provisioning.core.upstream import REJECTED
from provisioning.engine.actions import workflow
from provisioning.engine.actions.dagu.programs import arguments_of
from provisioning.engine.actions.dagu.secretly import handed_over
from provisioning.engine.actions.dagu.terms import CannotEvaluate
from provisioning.engine.actions.dagu.work import Done, Work, failed
from provisioning.errors import DefinitionError, NotFoundError, ProvisioningError, StaleRevision, UsageError

DEEPEST = 32
GOOD = frozenset({RunState.SUCCEEDED, RunState.PARTIAL})
_WORDS = {
    RunState.SUCCEEDED: "succeeded",
    RunState.PARTIAL: "partially_succeeded",
    RunState.CANCELLED: "aborted",
}


class Runs(workflow.Runs, Protocol):
    """The runner, as far as steps that start other runs need it."""

    async def retry(self, run_id: str, *, extent: Extent = Extent.NEEDED) -> Run:
        """Run what failed of an ended run again. Raises UsageError when nothing did."""
        ...

    async def abandon(self, run_id: str, reason: str) -> Run:
        """End a run that a dead runner left open."""
        ...

    def open_runs(self) -> Mapping[str, Run]:
        """Return the runs that go on."""
        ...


class Definitions(Protocol):
    """Where DAGs come from that are in other files."""

    async def find(self, name: str, run: str) -> DagFile:
        """Return the DAG of this name, for a run inside `run`. Raises NotFoundError, ConfigError for a wrong one."""
        ...


@dataclass(frozen=True, slots=True)
class Inner:
    """One run inside a step."""

    key: str  # of the item, unique in the step
    dag: DagFile
    params: Sequence[tuple[str, str]]  # names and values; a name may be empty
    inside: Mapping[str, Any] | None = None  # the context that a loop's body goes on with


class Children:
    """Runs inside steps. They are the same runs when the step is tried again: what succeeded in them is not repeated."""

    def __init__(self, runs: Runs, definitions: Definitions, here: Here | None = None) -> None:
        """`here` is the worker that this is, where there are several; without it one process runs everything."""
        self._runs, self._definitions, self._here = runs, definitions, here

    # ------------------------------------------------------------ other DAGs

    async def start_dag(self, work: Work, doing: SubDagDoing) -> Done:
        """Run another DAG to its end, or one run of it for each item."""
        name = await work.terms.text(doing.dag)
        try:
            dag = await self._find(work, name)
        except (NotFoundError, DefinitionError) as error:
            return _not_to_be_had(work, name, error)
        if doing.parallel is None:
            named, positional = await arguments_of(work, doing.params)
            run = (await self._run_all(work, [Inner("", dag, _pairs(named, positional))], 1))[0]
            return _ended(work, run, sub_dag_document(run))
        items = await _items(work, doing.parallel.items, doing.parallel.reference)
        inner = [await self._for_item(work, doing, dag, number, item) for number, item in enumerate(items)]
        runs = await self._run_all(work, inner, doing.parallel.max_concurrent)
        return _all_ended(work, runs, parallel_document(runs))

    async def _for_item(self, work: Work, doing: SubDagDoing, dag: DagFile, number: int, item: str) -> Inner:
        """An item is `${ITEM}` in the parameters; without parameters it is them."""
        if doing.params.text is None and not doing.params.pairs:
            given = parse_params(item)
            return Inner(str(number), dag, [(one.name, one.value) for one in given])
        named, positional = await arguments_of(work.with_terms(work.terms.with_variables({"ITEM": item})), doing.params)
        return Inner(str(number), dag, _pairs(named, positional))

    async def _find(self, work: Work, name: str) -> DagFile:
        """A document of the same file comes first, then the other files."""
        if work.context.depth >= DEEPEST:
            raise CannotEvaluate(f"{work.context.name} is inside {DEEPEST} others: does one of them start itself?")
        documents = work.context.documents
        if name in documents:
            return replace(documents[name], documents=documents)
        return await self._definitions.find(name, work.context.root or work.task.run)

    # ------------------------------------------------------------ loops

    async def loop(self, work: Work, doing: ForeachDoing) -> Done:
        """Do the steps of a loop for each item, as runs that go on with what this one has evaluated."""
        items = await _items(work, doing.items, doing.reference)
        body = DagFile(
            name=f"{work.context.name}.{work.step.name}",
            file=work.context.file,
            type=DagType.GRAPH,
            steps=doing.steps,
            habits=work.context.habits,
            documents=work.context.documents,
            clean_up_s=work.context.clean_up_s,
            package=work.context.package,
            worker_selector=Selector(local=True),  # it goes on with what is here
        )
        inside = _inside(work).document()
        inner = [Inner(str(number), body, [(doing.variable, item)], inside) for number, item in enumerate(items)]
        runs = await self._run_all(work, inner, doing.max_concurrent)
        if doing.collect is None:
            return _all_ended(work, runs, parallel_document(runs))
        collected = [
            await work.terms.with_variables({doing.variable: item, **run.outputs}).text(doing.collect)
            for item, run in zip(items, runs, strict=True)
        ]
        return _all_ended(work, runs, collected)

    # ------------------------------------------------------------ runs

    async def _run_all(self, work: Work, inner: Sequence[Inner], at_once: int) -> list[SubRun]:
        """Run them, so many at once. When we are cancelled, they are, and have ended when we return."""
        turns = asyncio.Semaphore(at_once)

        async def one(each: Inner) -> SubRun:
            async with turns:
                return await self._run(work, each)

        jobs = [asyncio.ensure_future(one(each)) for each in inner]
        try:
            return list(await asyncio.gather(*jobs))
        except BaseException:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            raise

    async def _run(self, work: Work, inner: Inner) -> SubRun:
        run_id = inner_run_id(work, inner.key)
        work.attempt.note(f"run {run_id} of {inner.dag.name}")
        given, secrets = handed_over(inner.params, work.context.secrets, work.secrets)
        params: dict[str, object] = {"params": [list(pair) for pair in given], "depth": work.context.depth + 1}
        if secrets:
            params["secrets"] = [to_plain(one) for one in secrets]
        if work.context.root:
            params["root"] = work.context.root
        if inner.inside is not None:
            params["inside"] = inner.inside
        await self._begin(work, run_id, inner, params)
        try:
            run = await self._runs.ended(run_id)
        except asyncio.CancelledError:
            await self._runs.cancel(run_id, f"run {work.task.run} was stopped")
            await self._runs.ended(run_id)
            raise
        return SubRun(
            name=inner.dag.name,
            run_id=run_id,
            params=" ".join(f"{name}={json.dumps(value)}" if name else value for name, value in given),
            status=_word(run),
            outputs=outputs_of(run),
            succeeded=run.state in GOOD,
            problem=next((step.error for step in run.steps.values() if step.error_kind == NO_WORKER), ""),
        )

    async def _flow(self, work: Work, dag: DagFile) -> Workflow:
        """Return the workflow, and with it the worker that runs it: it is chosen by what is evaluated here."""
        if self._here is None:
            return compile_dag(dag, main=False)
        step = work.step.worker_selector
        selector = effective(step, dag)
        texts = {text: await work.terms.text(text) for text in texts_of(selector)} if selector is not None else {}
        try:
            at = started_by_step(step, dag, self._here, texts.__getitem__)
        except WrongSelector as error:
            raise CannotEvaluate(f"worker_selector of {dag.name}: {error}") from error
        return compile_dag(dag, main=False, at=at, if_gone=self._here.if_gone)

    async def _begin(self, work: Work, run_id: str, inner: Inner, params: Mapping[str, object]) -> None:
        flow = await self._flow(work, inner.dag)
        try:
            await self._runs.submit(run_id, flow, trigger=f"subdag:{work.task.run}", params=params)
        except StaleRevision:  # an earlier attempt has begun it
            if run_id not in self._runs.open_runs():
                run = await self._runs.ended(run_id)
                if not run.ended:
                    await self._runs.abandon(run_id, "its runner is gone")
                with suppress(UsageError):  # all of it succeeded
                    await self._runs.retry(run_id, extent=Extent.BELOW)


def _word(run: Run) -> str:
    """Return how a run has ended, in Dagu's words."""
    word = _WORDS.get(run.state, "failed")
    return REJECTED if word == "failed" and any(step.error_kind == REJECTED for step in run.steps.values()) else word


def inner_run_id(work: Work, key: str) -> str:
    """Return the id of a run inside a step: another one for each round of a repetition, the same for each try."""
    task = work.task
    return id_from(task.run, task.step, str(task.rounds), key)


def outputs_of(run: Run) -> dict[str, str]:
    """Return the outputs of a run, in the order in which its steps ended: the last of a name counts."""
    steps = [step for step in run.steps.values() if isinstance(step.output, Mapping) and MARK not in step.output]
    steps.sort(key=lambda step: (step.ended_at is None, step.ended_at, step.index))
    left: dict[str, str] = {}
    for step in steps:
        outputs = step.output.get("outputs", {}) if isinstance(step.output, Mapping) else {}
        left |= {name: as_text(value) for name, value in outputs.items()}
    return left


# ---------------------------------------------------------------- parts


def _not_to_be_had(work: Work, name: str, error: NotFoundError | DefinitionError) -> Done:
    """Return the end of a step whose DAG was not found, or could not be looked up. What may be over soon is tried again."""
    cause = error.__cause__
    if isinstance(cause, ProvisioningError):
        work.attempt.note(f"the coordinator was asked for {name}, too: {cause.message}")
    later = error.retryable or (isinstance(cause, ProvisioningError) and cause.retryable)
    if isinstance(error, NotFoundError):
        return failed("dag", f"there is no DAG {name}: {error.message}", exit_code=1, retryable=later)
    told = f"{error.message}; {error.hint}" if error.hint else error.message
    return failed(error.code, told, exit_code=1, retryable=later)


def _pairs(named: Mapping[str, str], positional: Sequence[str]) -> list[tuple[str, str]]:
    return [*named.items(), *(("", value) for value in positional)]


async def _items(work: Work, items: Sequence[Item], reference: Text | None) -> tuple[str, ...]:
    if reference is not None:
        try:
            return items_of(await work.terms.text(reference))
        except ValueError as error:
            raise CannotEvaluate(str(error)) from error
    found = []
    for item in items:
        if item.text is not None:
            found.append(await work.terms.text(item.text))
        else:
            fields = {pair.name or "": await work.terms.text(pair.value) for pair in item.fields}
            found.append(as_text(fields))
    return tuple(found)


def _inside(work: Work) -> Context:
    """Return what a loop's body goes on with: what there is here, without what secrets are part of."""
    values = set(work.secrets.values())
    plain = {
        name: work.context.variables.get(name, "") if any(one in value for one in values) else value
        for name, value in work.terms.ours.items()
        if name not in work.secrets
    }
    return replace(work.context, variables=plain, cwd=work.terms.cwd, documents={})


def _ended(work: Work, run: SubRun, document: Mapping[str, Any]) -> Done:
    work.streams.out(as_text(document).encode() + b"\n")
    if run.succeeded:
        return Done(left=document, partial=run.status == "partially_succeeded")
    return replace(failed("dag", _told(run), exit_code=1), left=document)


def _all_ended(work: Work, runs: Sequence[SubRun], document: object) -> Done:
    work.streams.out(as_text(document).encode() + b"\n")
    bad = [run for run in runs if not run.succeeded]
    if not bad:
        return Done(left=document, partial=any(run.status == "partially_succeeded" for run in runs))
    told = f"{len(bad)} of {len(runs)} runs did not succeed: {_told(bad[0])}"
    return replace(failed("dag", told, exit_code=1), left=document)


def _told(run: SubRun) -> str:
    return f"run {run.run_id} of {run.name} {run.status}{': ' if run.problem else ''}{run.problem}"
