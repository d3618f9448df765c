"""`dagu.step`: one attempt of a step, from its preconditions to its verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from provisioning.core.dagu.conditions import Fate, Judgement
from provisioning.core.dagu.declared import Condition, Number, Repeat, Retry
from provisioning.core.dagu.patterns import finds
from provisioning.core.dagu.verdict import Attempt, Rounds, Tries, Verdict, judge
from provisioning.core.ports import Outcome, Task
from provisioning.core.shown import quote
from provisioning.engine.actions import Context, Result, Traits
from provisioning.engine.actions.dagu import errands
from provisioning.engine.actions.dagu.leaving import Left, leave
from provisioning.engine.actions.dagu.terms import CannotEvaluate, joined
from provisioning.engine.actions.dagu.tools import Tools
from provisioning.engine.actions.dagu.work import TIMED_OUT, Done, Work, begin, failed
from provisioning.errors import ProvisioningError

Doer = Callable[[Work, Any], Awaitable[Done]]


class StepAction:
    """The action `dagu.step`. It decides itself what follows from a failure: another try, another round, or the end."""

    traits = Traits(eager_log=False, own_time=True)

    def __init__(self, tools: Tools, doers: Mapping[type, Doer]) -> None:
        """`doers` are the kinds of steps, and how each is done."""
        self._tools, self._doers = tools, doers
        self._pace = _Pace()

    async def run(self, task: Task, context: Context) -> Result:
        """Do it. When cancelled, everything that was started has ended."""
        await self._pace.wait(task, context)
        try:
            work = await begin(task, context, self._tools)
        except (ProvisioningError, CannotEvaluate) as error:
            return _refused(error)
        try:
            return await self._attempt(work)
        except (ProvisioningError, CannotEvaluate) as error:
            return _refused(error)
        finally:
            work.streams.close()

    async def _attempt(self, work: Work) -> Result:
        step, first = work.step, (work.task.tries, work.task.rounds) == (1, 1)
        passes = step.continue_on.skipped or work.settings.get("event") == "init"
        if work.routed is not None and step.name not in work.routed:
            return _skipped("its router has chosen others", passes=passes)
        work = work.with_terms(await work.terms.variables(step.env))
        if first and step.preconditions:
            met = await work.terms.judge(step.preconditions)
            if met.error:
                return _undecided(met)
            if not met.met:
                return _skipped(f"precondition not met: {met.reason}", passes=passes)
        work = await _in_folder(work)
        await _open_files(work)
        done = await self._in_time(work)
        return await self._judged(work, done)

    async def _in_time(self, work: Work) -> Done:
        """Do it within its time. What takes longer is stopped, and never tried again."""
        limit_s = work.step.timeout_s or None
        try:
            async with asyncio.timeout(limit_s) as time:
                return await self._doers[type(work.step.doing)](work, work.step.doing)
        except TimeoutError:
            if not time.expired():
                raise
            return failed("timeout", f"not ended within {limit_s} s; it was stopped", exit_code=TIMED_OUT)

    async def _judged(self, work: Work, done: Done) -> Result:
        """Return what follows from how it ended."""
        left = leave(work, done)
        if done.succeeded and left.problem:
            done = failed("output", left.problem, exit_code=done.exit_code)
        step, task = work.step, work.task
        attempt = Attempt(
            succeeded=done.succeeded,
            exit_code=done.exit_code,
            timed_out=done.kind == "timeout",
            stdout=left.printed,
            tries=task.tries,
            rounds=task.rounds,
        )
        tries = await _tries(work, step.retry) if done.retryable else None
        rounds = await _rounds(work, step.repeat) if step.repeat is not None else None
        verdict = judge(attempt, step.continue_on, tries, rounds, finds)
        if not done.succeeded and verdict.again_in_s is None and step.mail_on_error:
            await errands.tell_of_error(work, done)
        return _result(work, done, left, verdict)


# ---------------------------------------------------------------- results


def _result(work: Work, done: Done, left: Left, verdict: Verdict) -> Result:
    good = done.succeeded or (verdict.again_in_s is None and verdict.fate is Fate.FORGIVEN)
    timed_out = done.kind == "timeout"
    return Result(
        outcome=Outcome.OK if good else Outcome.TIMED_OUT if timed_out else Outcome.FAILED,
        exit_code=done.exit_code,
        error_kind="" if good else done.kind,
        error="" if good else done.error,
        output=left.document,
        again=verdict.repeats,
        wait_s=verdict.again_in_s,
        retryable=False,
        passes=verdict.fate is Fate.ALLOWED,
        partial=done.partial,
        stops=_stops(work) if not good and verdict.again_in_s is None else "",
        stdout=work.attempt.tail("out"),
        stderr=work.attempt.tail("err"),
    )


def _stops(work: Work) -> str:
    """A failing init handler ends the run before it has begun."""
    return "the init handler failed" if work.settings.get("event") == "init" else ""


def _skipped(reason: str, *, passes: bool) -> Result:
    return Result(outcome=Outcome.SKIPPED, error_kind="skipped", error=reason, passes=passes)


def _undecided(met: Judgement) -> Result:
    """Nobody knows whether the step is to run: it fails, and the run is stopped."""
    error = f"a precondition cannot be judged: {met.error}"
    return Result(outcome=Outcome.FAILED, error_kind="precondition", error=error, retryable=False, stops=error)


def _refused(error: ProvisioningError | CannotEvaluate) -> Result:
    if isinstance(error, CannotEvaluate):
        return Result(outcome=Outcome.FAILED, error_kind="evaluation", error=str(error), retryable=False)
    told = f"{error.message}; {error.hint}" if error.hint else error.message
    return Result(outcome=Outcome.FAILED, error_kind=error.code, error=told, retryable=False)


# ---------------------------------------------------------------- before it is done


class _Pace:
    """Lets the steps of a run begin no faster than its `delay_sec` says."""

    def __init__(self) -> None:
        self._next_s: dict[str, float] = {}

    async def wait(self, task: Task, context: Context) -> None:
        delay_s = task.action.settings.get("delay_s", 0)
        if not isinstance(delay_s, int) or not delay_s:
            return
        now_s = context.clock.monotonic_s()
        begins_s = max(self._next_s.get(task.run, now_s), now_s)
        self._next_s[task.run] = begins_s + delay_s
        if begins_s > now_s:
            await context.clock.sleep(begins_s - now_s)


async def _in_folder(work: Work) -> Work:
    """Return the work in the step's own folder, which is made when it is missing."""
    wanted = await work.terms.text(work.step.working_dir)
    if not wanted:
        return work
    cwd = joined(work.terms.cwd, wanted)
    work.tools.disk.make_folder(cwd)
    return work.with_terms(replace(work.terms, cwd=cwd).with_variables({"DAG_RUN_WORK_DIR": cwd}))


async def _open_files(work: Work) -> None:
    for stream, text in (("out", work.step.stdout), ("err", work.step.stderr)):
        path = await work.terms.text(text)
        if path:
            work.streams.add_file(stream, work.tools.disk.append_to(joined(work.terms.cwd, path)))


# ---------------------------------------------------------------- policies whose numbers may be references


async def _tries(work: Work, retry: Retry | None) -> Tries | None:
    if retry is None:
        return None
    return Tries(
        limit=await _number(work, retry.limit, "retry_policy.limit"),
        interval_s=await _number(work, retry.interval_s, "retry_policy.interval_sec"),
        backoff=retry.backoff,
        longest_s=await _number(work, retry.max_interval_s or 0, "retry_policy.max_interval_sec"),
        exit_codes=retry.exit_codes,
    )


async def _rounds(work: Work, repeat: Repeat) -> Rounds:
    judged = None
    if repeat.condition is not None:
        judged = await work.terms.judge([Condition(condition=repeat.condition, expected=repeat.expected)])
    return Rounds(
        mode=repeat.mode,
        interval_s=await _number(work, repeat.interval_s, "repeat_policy.interval_sec"),
        limit=await _number(work, repeat.limit or 0, "repeat_policy.limit"),
        backoff=repeat.backoff,
        longest_s=await _number(work, repeat.max_interval_s or 0, "repeat_policy.max_interval_sec"),
        exit_codes=repeat.exit_codes,
        judged=judged,
    )


async def _number(work: Work, value: Number, name: str) -> int:
    if isinstance(value, int):
        return value
    text = (await work.terms.text(value)).strip()
    if not text.isdecimal() or len(text) > 9:
        raise CannotEvaluate(f"{name} is {quote(text)}, expected a whole number")
    return int(text)
