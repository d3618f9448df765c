"""What Prometheus reads: the engine's figures under the names of design's S4 and of our own."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from provisioning import __version__
from provisioning.core.dagu.report import SHOWN
from provisioning.core.events import Event, Kind
from provisioning.core.model import StepState
from provisioning.core.ready import GIVES_BACK
from provisioning.operations.dagu.listing import SOURCE
from provisioning.operations.hosting.host import Host, Seen

Key = tuple[str, str]  # run, step
RUN_S = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400)
STEP_S = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)
WAIT_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)
_OUTCOMES = {
    Kind.STEP_SUCCEEDED: "succeeded",
    Kind.STEP_FAILED: "failed",
    Kind.STEP_TIMED_OUT: "timed_out",
    Kind.STEP_CANCELLED: "cancelled",
    Kind.STEP_INTERRUPTED: "interrupted",
    Kind.STEP_RETRY_WAIT: "retried",
}


class Metrics:
    """Counts what the runs of this server do, and looks at the rest when it is asked."""

    def __init__(self, host: Host) -> None:
        self._registry = CollectorRegistry()
        new: dict[str, Any] = {"registry": self._registry}
        self._runs = Histogram(
            "dag_run_duration_seconds", "Runs by how long they took.", ["dag", "status"], buckets=RUN_S, **new
        )
        self._steps = Histogram(
            "task_instance_duration_seconds", "Attempts by how long they took.", ["dag", "outcome"], buckets=STEP_S, **new
        )
        self._attempts = Counter("step_attempts", "Attempts that ended.", ["outcome"], **new)
        self._waits = Histogram(
            "step_dispatch_latency_seconds", "From the hand-out of a step to its start.", buckets=WAIT_S, **new
        )
        self._lost = Counter("lease_lost", "Steps whose worker was lost.", **new)
        self._batches = Histogram("journal_batch_size", "Events of one commit.", buckets=(1, 2, 5, 10, 50, 100, 500), **new)
        self._lags = Histogram("timer_lag_seconds", "By how much timers fired late.", buckets=WAIT_S, **new)
        self._began: dict[Key, float] = {}
        self._handed: dict[Key, float] = {}
        self._started: dict[str, float] = {}
        self._pools = Pools()
        self._registry.register(_Now(host, self._pools))
        host.counts.on_lag.append(self._lags.observe)
        host.observers.append(self.committed)

    def text(self) -> tuple[bytes, str]:
        """Return the metrics and their content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def committed(self, seen: Seen, events: Sequence[Event]) -> None:
        """Count what happened."""
        self._batches.observe(len(events))
        for event in events:
            if not _is_inner(seen, event.step):
                self._count(seen, event)
            self._pools.hear(seen, event)
            if event.kind is Kind.RUN_FINISHED:
                self._forget(seen.run)

    def _forget(self, run: str) -> None:
        self._started.pop(run, None)
        self._pools.forget(run)
        for known in (self._began, self._handed):
            for key in [key for key in known if key[0] == run]:
                del known[key]

    def _count(self, seen: Seen, event: Event) -> None:
        key, at_s = (seen.run, event.step), event.at.timestamp()
        if event.kind is Kind.RUN_STARTED:
            self._started[seen.run] = at_s
        elif event.kind is Kind.STEP_DISPATCHED:
            self._handed[key] = at_s
        elif event.kind is Kind.STEP_STARTED:
            self._began[key] = at_s
            self._waits.observe(max(0.0, at_s - self._handed.pop(key, at_s)))
        elif event.kind is Kind.STEP_LEASE_LOST:
            self._lost.inc()
        elif event.kind is Kind.RUN_FINISHED:
            self._finished(seen, event)
        elif event.kind in _OUTCOMES:
            outcome = _OUTCOMES[event.kind]
            self._attempts.labels(outcome).inc()
            began_s = self._began.pop(key, None)
            if began_s is not None:
                self._steps.labels(seen.name, outcome).observe(max(0.0, at_s - began_s))

    def _finished(self, seen: Seen, event: Event) -> None:
        """Count a run that had started: another server may have done that."""
        told = seen.started_at.timestamp() if seen.started_at is not None else None
        began_s = self._started.get(seen.run, told)
        if began_s is not None:
            self._runs.labels(seen.name, str(event.data["state"])).observe(max(0.0, event.at.timestamp() - began_s))


def _is_inner(seen: Seen, step: str) -> bool:
    """Whether a step is none of its DAG file, but ours: what prepares a run, for example."""
    run = seen.of
    source = run.workflow.source if run is not None else None
    if run is None or source is None or source.kind != SOURCE or step not in run.steps:
        return False
    return run.steps[step].spec.kind not in SHOWN


class Pools:
    """How many slots of each pool steps have."""

    def __init__(self) -> None:
        self.taken: Tally[str] = Tally()
        self._of: dict[Key, tuple[str, ...]] = {}

    def hear(self, seen: Seen, event: Event) -> None:
        """A step that is handed out takes its slots, one that is done with gives them back."""
        key = (seen.run, event.step)
        if event.kind is Kind.STEP_DISPATCHED and seen.of is not None and event.step in seen.of.steps:
            self._of[key] = seen.of.steps[event.step].spec.pools
            self.taken.update(self._of[key])
        elif event.kind in GIVES_BACK:
            self.taken.subtract(self._of.pop(key, ()))

    def forget(self, run: str) -> None:
        """Give back what steps of a run that has ended still have."""
        for key in [key for key in self._of if key[0] == run]:
            self.taken.subtract(self._of.pop(key))


class _Now:
    """Figures that are what they are now."""

    def __init__(self, host: Host, pools: Pools) -> None:
        self._host, self._pools = host, pools

    def collect(self) -> Iterable[Metric]:
        """Yield them. Called for each read."""
        host = self._host
        runs = list(host.runner.open_runs().values())
        ready, handed = (sum(run.counts[state] for run in runs) for state in (StepState.READY, StepState.DISPATCHED))
        turns = [one for one in list(host.drivers.runs.values()) if len(one.taken) < len(one.turns)]
        yield _labelled("provisioning_info", "The version.", ["version"], {(__version__,): 1})
        yield from (
            GaugeMetricFamily(name, text, value=value)
            for name, text, value in (
                ("provisioning_uptime_seconds", "How long the server is up.", host.uptime_s()),
                ("worker_count", "Workers.", 0 if host.failure is not None else 1),
                (
                    "task_queue_depth",
                    "Steps that wait for a worker, and runs that wait for their turn.",
                    ready + handed + len(turns),
                ),
                ("ready_steps", "Steps that may start and were not handed out.", ready),
                ("steps_running", "Steps that were handed out and have not ended.", sum(run.active for run in runs)),
                ("sse_clients", "Streams that are open.", host.feeds.clients),
                ("scheduler_running", "Whether this server starts schedules.", host.scheduling is not None),
                ("provisioning_scrape_time_seconds", "When this was read.", time.time()),
            )
        )
        yield CounterMetricFamily("stale_outcome", "Outcomes of attempts that count no more.", value=host.counts.stale_outcomes)
        conflicts = CounterMetricFamily("commit_conflict", "Commits that somebody else was faster with.", labels=["kind"])
        for kind, number in host.counts.conflicts.items():
            conflicts.add_metric([kind], number)
        yield conflicts
        yield _labelled("pool_slots_in_use", "Slots of pools, queues and DAGs that are taken.", ["pool"], self._slots())
        open_runs = host.reading.pages(host.places.data).counts()
        yield _labelled("dag_runs_open", "Runs that have not ended.", ["dag", "state"], open_runs)

    def _slots(self) -> Mapping[tuple[str, ...], int]:
        driven = list(self._host.drivers.runs.values())
        pools = {pool: 0 for one in driven for pool in (turn.pool for turn in one.turns)}
        taken = Tally(pool for one in driven for pool in one.taken)
        return {(pool,): number for pool, number in {**pools, **self._pools.taken, **taken}.items()}


def _labelled(name: str, text: str, labels: Sequence[str], values: Mapping[Any, int]) -> Metric:
    """Return figures by the values of their labels."""
    gauge = GaugeMetricFamily(name, text, labels=labels)
    for found, number in values.items():
        gauge.add_metric(list(found), number)
    return gauge
