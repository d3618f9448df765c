"""What Prometheus reads: the engine's figures under the names of design's S4 and of our own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from provisioning import __version__
from provisioning.core.events import Event, Kind
from provisioning.core.run import Run
from provisioning.operations.hosting.host import Host

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
        self._host = host
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
        self._began: dict[tuple[str, str], float] = {}
        self._handed: dict[tuple[str, str], float] = {}
        self._registry.register(_Now(host))
        host.observers.append(self.committed)

    def text(self) -> tuple[bytes, str]:
        """Return the metrics and their content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def committed(self, run: Run, events: Sequence[Event]) -> None:
        """Count what happened."""
        self._batches.observe(len(events))
        for event in events:
            self._count(run, event)
        if run.ended:
            for known in (self._began, self._handed):
                for key in [key for key in known if key[0] == run.id]:
                    del known[key]

    def _count(self, run: Run, event: Event) -> None:
        key, at_s = (run.id, event.step), event.at.timestamp()
        if event.kind is Kind.STEP_DISPATCHED:
            self._handed[key] = at_s
        elif event.kind is Kind.STEP_STARTED:
            self._began[key] = at_s
            self._waits.observe(max(0.0, at_s - self._handed.pop(key, at_s)))
        elif event.kind is Kind.STEP_LEASE_LOST:
            self._lost.inc()
        elif event.kind is Kind.RUN_FINISHED and run.started_at is not None:
            took_s = max(0.0, at_s - run.started_at.timestamp())
            self._runs.labels(run.workflow.name, run.state.value).observe(took_s)
        elif event.kind in _OUTCOMES:
            outcome = _OUTCOMES[event.kind]
            self._attempts.labels(outcome).inc()
            began_s = self._began.pop(key, None)
            if began_s is not None:
                self._steps.labels(run.workflow.name, outcome).observe(max(0.0, at_s - began_s))


class _Now:
    """Figures that are what they are now."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def collect(self) -> Iterable[Metric]:
        """Yield them. Called for each read."""
        host = self._host
        runs = host.runner.open_runs()
        active = sum(run.active for run in list(runs.values()))
        info = GaugeMetricFamily("provisioning_info", "The version.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield GaugeMetricFamily("provisioning_uptime_seconds", "How long the server is up.", value=host.uptime_s())
        yield GaugeMetricFamily("worker_count", "Workers.", value=0 if host.failure is not None else 1)
        yield GaugeMetricFamily("task_queue_depth", "Runs that wait for their turn.", value=len(host.driven()) - len(runs))
        yield GaugeMetricFamily("steps_running", "Steps that were handed out and have not ended.", value=active)
        yield GaugeMetricFamily("sse_clients", "Streams that are open.", value=host.feeds.clients)
        yield GaugeMetricFamily("scheduler_running", "Whether this server starts schedules.", value=host.scheduling is not None)
        counted = GaugeMetricFamily("dag_runs_open", "Runs that have not ended.", labels=["dag", "state"])
        for (name, state), number in host.reading.pages(host.places.data).counts().items():
            counted.add_metric([name, state], number)
        yield counted
        yield GaugeMetricFamily("provisioning_scrape_time_seconds", "When this was read.", value=time.time())
