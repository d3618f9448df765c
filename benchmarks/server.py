"""How long the server takes for its pages over a long history: `python -m benchmarks server`.

The server is a process of its own and is asked over real HTTP by one client, which keeps its connection. Two servers are asked
for every page by turns, one with a short history and one with a long one: what grows with the history is seen as a ratio.
What is judged is the processor time that the server takes: on a quiet machine the answer is there after hardly more.
"""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from urllib.parse import quote

from benchmarks.pastruns import BEGAN, EVERY_S, Past, dag_name, environment, fill, run_name
from provisioning import wiring
from provisioning.core.access import Role
from provisioning.operations.people import open_people

SHORT = Past(dags=1_000, runs=1_000, audit=1_000)
LONG = Past(dags=1_000, runs=100_000, audit=100_000)
ROUNDS = 41
LIMIT_MS = 100.0  # of the server's processor for a page, at the median
GROWTH_LIMIT = 2.0  # of the median, from the short history to the long one
ALIKE = 1.5  # answers whose sizes differ by less
LOOKING = ("runs with a label that none has", "audit, of an action that nobody did")
"""These look at everything there is."""
COUNTING = ("dead letters", "dead letters, in the middle", "dead letters of a DAG", "dead letters, replayed ones (none)")
"""These say how many dead letters wait."""
WAIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One page: medians of the server's processor time over a short and a long history, and of when the answer was there."""

    page: str
    short_ms: float
    long_ms: float
    wall_ms: float  # until the whole answer was there, over the long one
    short_bytes: int
    long_bytes: int

    @property
    def growth(self) -> float | None:
        """How many times as long the page takes over the long history; None where that has more to say."""
        alike = self.long_bytes <= ALIKE * self.short_bytes
        return self.long_ms / self.short_ms if alike else None


def pages(past: Past) -> Mapping[str, str]:
    """Return what is asked for by name: every list with its filters, its beginning, middle and end; details."""
    middle = run_name(past.runs // 2)
    at = quote((BEGAN + timedelta(seconds=EVERY_S * past.runs // 2)).isoformat())
    found = {
        "DAGs": "/dags",
        "DAGs, in the middle": f"/dags?cursor={dag_name(past.dags // 2)}.yaml",
        "DAGs, the end": f"/dags?cursor={dag_name(past.dags - 10)}.yaml",
        "DAGs, searched": "/dags?q=dag-09",
        "DAGs with a label": "/dags?label=team=a",
        "DAGs, suspended ones": "/dags?suspended=true",
        "a DAG": f"/dags/{dag_name(past.dags // 2)}",
        "a DAG's runs": f"/runs?dag={dag_name(past.dags // 2)}",
        "a DAG's graph": f"/dags/{dag_name(past.dags // 2)}/graph",
        "runs": "/runs",
        "runs, in the middle": f"/runs?cursor={middle}",
        "runs, the end": f"/runs?cursor={run_name(20)}",
        "runs, failed": "/runs?status=failed",
        "runs, failed, the end": f"/runs?status=failed&cursor={run_name(200)}",
        "runs, running (none)": "/runs?status=running",
        "runs, queued or waiting (none)": "/runs?status=queued,waiting",
        "runs, rejected": "/runs?status=rejected",
        "runs, partly succeeded (none)": "/runs?status=partially_succeeded",
        "runs with a label": "/runs?label=team=a",
        "runs with a label that none has": "/runs?label=team=nobody",
        "runs, searched": "/runs?q=dag-09",
        "runs, searched by id": f"/runs?q={run_name(past.runs // 2)}",
        "runs, searched in vain": "/runs?q=nosuch",
        "runs since": f"/runs?since={at}",
        "runs until": f"/runs?until={at}",
        "runs, those inside others too": "/runs?inside=true",
        "a DAG's failed runs": f"/runs?dag={dag_name(29)}&status=failed&limit=20",
        "a run": f"/runs/{middle}",
        "a run's attempts": f"/runs/{middle}/attempts",
        "a run's events": f"/runs/{middle}/events",
        "a run's graph": f"/runs/{run_name(past.runs // 2)}/graph",
        "a run's log": f"/runs/{middle}/log",
        "a step's log": f"/runs/{middle}/steps/extract/log",
        "schedules": "/schedules",
        "what is due": "/schedules/next",
        "dead letters": "/dead-letters",
        "dead letters, in the middle": f"/dead-letters?cursor={max(2, past.runs // 20)}",
        "dead letters of a DAG": f"/dead-letters?dag={dag_name(9)}",
        "dead letters, replayed ones (none)": "/dead-letters?replayed=true",
        "audit": "/audit",
        "audit, in the middle": f"/audit?cursor={past.audit // 2}",
        "audit of a user": "/audit?actor=user-7",
        "audit, of an action that nobody did": "/audit?action=remove_user",
        "users": "/users",
        "tokens": "/tokens",
        "metrics": "../../metrics",
    }
    return {name: f"/api/v1{path}" if not path.startswith("..") else path.removeprefix("../..") for name, path in found.items()}


def measure(checkout: Path, *, rounds: int = ROUNDS, tell: Callable[[str], None] = lambda _line: None) -> list[Served]:
    """Ask for every page. Raises CalledProcessError, RuntimeError when a server or a page fails."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as folder, ExitStack() as stack:
        clients = []
        for name, past in (("short", SHORT), ("long", LONG)):
            fill(Path(folder) / name, past, checkout=checkout)
            clients.append(stack.enter_context(_server(Path(folder) / name, checkout)))
        tell(f"server: {len(pages(LONG))} pages, {rounds} rounds")
        ours, theirs = pages(SHORT), pages(LONG)
        return [_timed(name, clients, (ours[name], theirs[name]), rounds) for name in theirs]


class Client:
    """One connection that stays open, with a token."""

    def __init__(self, port: int, token: str, pid: int) -> None:
        self._pid = pid
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        self._headers = {"Authorization": f"Bearer {token}"}

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def ask(self, path: str) -> tuple[float, float, bytes]:
        """Return the ms until the whole answer was there, those of the server's processor, the answer. Raises RuntimeError."""
        before_ms, start_s = self._used_ms(), time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        took_ms = (time.perf_counter() - start_s) * 1000
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:500]!r}")
        return took_ms, self._used_ms() - before_ms, body

    def _used_ms(self) -> float:
        """Return the processor time of all the server's threads."""
        found = Path(f"/proc/{self._pid}/task").glob("*/schedstat")
        return sum(int(path.read_text("ascii").split()[0]) for path in found) / 1e6


@contextmanager
def _server(folder: Path, checkout: Path) -> Iterator[Client]:
    """Have a server over a folder, and an admin's connection to it."""
    people = open_people(wiring.people_store(folder / "data"))
    people.add_user("admin", "correct horse battery", Role.ADMIN)
    _key, token = people.add_token("admin", Role.ADMIN)
    people.close()
    command = [sys.executable, "-m", "provisioning_cli.engine_main", "server", "--port", "0"]
    with subprocess.Popen(command, env=environment(folder, checkout), stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        found = re.search(r"listening on http://[^:]+:(\d+)", running.stderr.readline())
        if found is None:
            raise RuntimeError("the server did not start")
        client = Client(int(found[1]), token, running.pid)
        try:
            yield client
        finally:
            client.close()
            running.send_signal(signal.SIGTERM)


def _timed(name: str, clients: Sequence[Client], paths: Sequence[str], rounds: int) -> Served:
    """Ask for one page by turns, once without counting it."""
    used: list[list[float]] = [[], []]
    walls: list[list[float]] = [[], []]
    sizes = [0, 0]
    for round in range(rounds + 1):
        for at, (client, path) in enumerate(zip(clients, paths, strict=True)):
            took_ms, used_ms, body = client.ask(path)
            sizes[at] = len(body)
            if round:
                used[at].append(used_ms)
                walls[at].append(took_ms)
    short, long = used
    return Served(
        page=name,
        short_ms=median(short),
        long_ms=median(long),
        wall_ms=median(walls[1]),
        short_bytes=sizes[0],
        long_bytes=sizes[1],
    )
