"""Workflows written in Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict, Unpack

from provisioning.builder.options import Act, Options, Step, act_of, retry_of, wish_of
from provisioning.builder.registry import Function
from provisioning.core import model
from provisioning.core.authoring import check_retry, finish, make_step
from provisioning.core.model import HandlerOn, OnFailure, Policy, Retry, Source
from provisioning.core.values import Payload
from provisioning.errors import UsageError


class Rules(TypedDict, total=False):
    """What else may be said of a workflow."""

    max_parallel: int  # steps at once in one run; 0 is no limit
    max_runs: int  # runs at once, the others are queued; 0 is no limit
    pools: Mapping[str, int]  # slots of pools that only this workflow's runs have
    priority: int  # of its steps and its queued runs: higher first
    sla_s: float | None  # a run that has not ended by then is recorded as late


class Workflow:
    """Steps and what they wait for. `build` returns what the engine runs; a client's `submit` calls it."""

    def __init__(
        self,
        name: str,
        *,
        retry: Retry | None = None,
        on_failure: str = "skip_downstream",
        timeout_s: float | None = None,
        labels: Mapping[str, str] | None = None,
        **rules: Unpack[Rules],
    ) -> None:
        """Begin a workflow. Raises UsageError.

        `on_failure` says what a failed step does: `fail` stops the run, `skip_downstream` what depends on it, and with
        `continue` only critical steps decide whether the run has failed.
        """
        if timeout_s is not None and not timeout_s > 0:
            raise UsageError(f"workflow {name}: timeout_s is {timeout_s}, expected more than 0")
        check_retry(f"workflow {name}", retry)
        self.name = name
        self._labels = dict(labels or {})
        self._pools = dict(rules.get("pools") or {})
        _check_counts(name, self._pools, rules)
        self._policy = Policy(
            on_failure=_on_failure(name, on_failure),
            max_parallel=rules.get("max_parallel", 0),
            timeout_s=timeout_s,
            sla_s=rules.get("sla_s"),
            retry=retry_of(retry),
            priority=rules.get("priority", 0),
            max_runs=rules.get("max_runs", 0),
        )
        self._steps: dict[str, model.Step] = {}

    def step(self, id: str, fn: Function | str | Act, *args: object, **options: Unpack[Options]) -> Step:
        """Add a step that calls `fn` with `args`, among which may be references at any depth. Raises UsageError.

        `fn` is a function registered with `task`, or one of a module, or its name `package.module:function`; or what a
        function of `builder.acts` returns.
        """
        return self._add(id, fn, args, options, None)

    def handler(self, on: str, id: str, fn: Function | str | Act, *args: object, **options: Unpack[Options]) -> Step:
        """Add a step that runs when all others have ended, `on` success, failure, cancel or exit (always, and last)."""
        try:
            when = HandlerOn(on)
        except ValueError:
            raise UsageError(f"handler {id} is on {on!r}, expected one of: {', '.join(HandlerOn)}") from None
        return self._add(id, fn, args, options, when)

    def signal(self, name: str) -> Payload:
        """Return a reference to what a signal brings along: a step that has it among its arguments waits for it."""
        return Payload(signal=name)

    def build(self) -> model.Workflow:
        """Return the workflow as the engine runs it. Raises UsageError for unknown references, circles, and an empty one."""
        return finish(
            model.Workflow(
                name=self.name,
                steps=tuple(self._steps.values()),
                pools=self._pools,
                policy=self._policy,
                labels=self._labels,
                source=Source(kind="python", uri=self.name),
            )
        )

    def _add(
        self, id: str, fn: Function | str | Act, args: tuple[object, ...], options: Options, handler: HandlerOn | None
    ) -> Step:
        if id in self._steps:
            raise UsageError(f"workflow {self.name} has a step {id} already", hint="ids are unique in a workflow")
        action, stored = act_of(fn, args, options.get("kwargs", {}))
        spec = make_step(id, action, stored, wish_of(id, options, fn if isinstance(fn, Act) else None, handler))
        self._steps[id] = spec
        return Step(spec)


def _check_counts(name: str, pools: Mapping[str, int], rules: Rules) -> None:
    """Raise UsageError for a count with which no step would ever run."""
    counts = [("max_parallel", rules.get("max_parallel", 0), 0), ("max_runs", rules.get("max_runs", 0), 0)]
    for what, count, least in (*counts, *((f"pools[{pool!r}]", slots, 1) for pool, slots in pools.items())):
        if not isinstance(count, int) or count < least:
            raise UsageError(f"workflow {name}: {what} is {count!r}, expected a whole number from {least}")


def _on_failure(name: str, value: str) -> OnFailure:
    try:
        return OnFailure(value)
    except ValueError:
        raise UsageError(f"workflow {name}: on_failure is {value!r}, expected one of: {', '.join(OnFailure)}") from None
