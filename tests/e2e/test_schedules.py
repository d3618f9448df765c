"""`dag-engine schedule` and `scheduler` as processes over a folder of DAG files."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from support.dagengine import LONG_S, Engine

from provisioning.core.schedules import Mark
from provisioning.core.scheduling import run_id
from provisioning.wiring import open_store

HOURLY = 'schedule: "0 * * * *"\nsteps:\n  - name: one\n    command: echo "$DAG_SCHEDULED_AT" >> {out}\n'
PLAIN = "steps:\n  - name: one\n    command: echo one\n"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    made = Engine(tmp_path)
    made.dag("etl", HOURLY.format(out=tmp_path / "out"))
    return made


def test_list_shows_every_schedule_and_says_which_files_have_none_for_a_reason(engine: Engine) -> None:
    engine.dag("plain", PLAIN)
    engine.dag("broken", f"schedule: nonsense\n{PLAIN}")
    engine.dag("caught", f'schedule:\n  start: "0 1 * * *"\n  stop: "0 2 * * *"\ncatchup_window: 6h\n{PLAIN}')
    listed = engine("schedule", "list", "-o", "json")

    assert [one["name"] for one in listed.json["schedules"]] == ["caught", "etl"]
    caught = listed.json["schedules"][0]
    assert caught["schedule"] == {"start": ["0 1 * * *"], "stop": ["0 2 * * *"], "restart": [], "at": []}
    assert (caught["catchup_window_s"], caught["overlap_policy"], caught["suspended"]) == (21600, "skip", False)
    assert "broken.yaml is not scheduled" in listed.err
    assert not engine.data.exists()
    assert "within 6h: skip" in engine("schedule", "list").out


def test_next_merges_all_schedules_in_order(engine: Engine) -> None:
    engine.dag("half", f'schedule: "30 * * * *"\n{PLAIN}')
    due = engine("schedule", "next", "-n", "4", "-o", "json").json["due"]
    assert sorted(one["at"] for one in due) == [one["at"] for one in due]
    assert sorted(one["name"] for one in due) == ["etl", "etl", "half", "half"]
    assert [one["name"] for one in engine("schedule", "next", "half", "-n", "2", "-o", "json").json["due"]] == ["half"] * 2


def test_pause_is_seen_and_says_who_and_resume_ends_it(engine: Engine) -> None:
    assert engine("schedule", "pause", "etl").code == 0
    paused = engine("schedule", "list", "-o", "json").json["schedules"][0]
    assert (paused["suspended"], paused["next_run"]) == (True, None)
    assert "@" in paused["paused_by"]
    assert engine("schedule", "next", "-o", "json").json["due"] == []
    assert engine("list", "-o", "json").json["dags"][0]["suspended"]

    assert engine("schedule", "resume", "etl", "-o", "json").json == {"name": "etl", "suspended": False}
    resumed = engine("schedule", "list", "-o", "json").json["schedules"][0]
    assert (resumed["suspended"], resumed["paused_by"], resumed["paused_at"]) == (False, "", None)


def test_a_backfill_runs_each_start_of_a_range_once(engine: Engine, tmp_path: Path) -> None:
    words = ("schedule", "backfill", "etl", "--from", "2026-01-01T08:00Z", "--to", "2026-01-01T11:00Z", "-o", "json")
    dry = engine(*words, "--dry-run")
    assert [one["action"] for one in dry.json["items"]] == ["run"] * 3
    assert not (tmp_path / "out").exists()

    done = engine(*words, "--parallel", "2")
    assert (done.code, done.json["started"], done.json["failed"]) == (0, 3, 0)
    wanted = [f"2026-01-01T{hour:02}:00:00Z" for hour in (8, 9, 10)]
    assert sorted((tmp_path / "out").read_text().split()) == wanted
    assert done.json["items"][0]["run_id"] == run_id("etl", datetime(2026, 1, 1, 8, tzinfo=UTC))

    again = engine(*words)
    assert (again.code, again.json["skipped"]) == (0, 3)
    anew = engine(*words, "--reprocess", "completed", "--newest-first")
    assert [one["at"][11:13] for one in anew.json["items"]] == ["10", "09", "08"]
    assert (tmp_path / "out").read_text().split()[3:] == wanted[::-1]
    assert {run["trigger"] for run in engine("history", "etl", "-o", "json").json["runs"]} == {"backfill"}


def test_a_backfill_whose_runs_fail_says_so(engine: Engine) -> None:
    engine.dag("etl", 'schedule: "0 * * * *"\nsteps:\n  - name: one\n    command: "false"\n')
    failed = engine("schedule", "backfill", "etl", "--from", "2026-01-01T08:00Z", "--to", "2026-01-01T09:00Z")
    assert (failed.code, "failed" in failed.out) == (1, True)


def test_ctrl_c_stops_a_backfill_and_what_it_runs(engine: Engine, tmp_path: Path) -> None:
    slow = f"schedule: '0 * * * *'\nsteps:\n  - name: one\n    command: touch {tmp_path}/on; sleep 60\n"
    engine.dag("etl", slow)
    words = ("schedule", "backfill", "etl", "--from", "2026-01-01T08:00Z", "--to", "2026-01-01T11:00Z", "-o", "json")
    with engine.started(*words) as running:
        wait_until((tmp_path / "on").exists)
        running.send_signal(signal.SIGINT)
        out, _err = running.communicate(timeout=LONG_S)
    assert (running.returncode, json.loads(out)["stopped"], json.loads(out)["started"]) == (130, True, 1)
    assert engine("ps", "-o", "json").json["runs"] == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        pytest.param(("etl", "--from", "soon", "--to", "2026-01-02"), 2, "--from: found 'soon'", id="no time"),
        pytest.param(("etl", "--from", "2026-01-02", "--to", "2026-01-01"), 2, "ends before it begins", id="empty"),
        pytest.param(("etl", "--from", "2020-01-01", "--to", "2026-01-01"), 2, "more than 1,000", id="too many"),
        pytest.param(
            ("plain", "--from", "2026-01-01", "--to", "2026-01-01"), 2, "no schedule that starts it", id="no schedule"
        ),
        pytest.param(("nobody", "--from", "2026-01-01", "--to", "2026-01-01"), 4, 'no DAG "nobody"', id="no DAG"),
    ],
)
def test_a_backfill_that_cannot_be_meant_is_refused(engine: Engine, words: tuple[str, ...], code: int, message: str) -> None:
    engine.dag("plain", PLAIN)
    refused = engine("schedule", "backfill", *words)
    assert (refused.code, message in refused.err) == (code, True), refused.err


# ---------------------------------------------------------------- schedulers as processes


def wait_until(done: Callable[[], bool]) -> None:
    until_s = time.monotonic() + LONG_S
    while not done():
        assert time.monotonic() < until_s
        time.sleep(0.05)


def owing(engine: Engine, hours: int) -> list[datetime]:
    """Have the last look of any scheduler at `etl` be hours ago; return what it owes."""
    last = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

    async def mark() -> None:
        store = open_store(engine.data)
        await store.schedules.put({"etl": Mark(cursor=last - timedelta(hours=hours, seconds=-1))})
        store.close()

    asyncio.run(mark())
    return [last - timedelta(hours=back) for back in range(hours)][::-1]


@pytest.mark.soak
def test_schedulers_that_are_killed_start_what_is_owed_once_and_in_order(engine: Engine, tmp_path: Path) -> None:
    head = "catchup_window: 30d\noverlap_policy: all\n"
    engine.dag("etl", head + HOURLY.format(out=tmp_path / "out"))
    owed = owing(engine, 6)
    out = tmp_path / "out"

    def lines() -> list[str]:
        return out.read_text().split() if out.exists() else []

    def reached(count: int) -> bool:
        return len(lines()) >= count

    with engine.started("scheduler"):
        for count in (1, 3):
            with engine.started("scheduler") as victim:
                wait_until(partial(reached, count))
                victim.kill()
        wait_until(partial(reached, len(owed)))
    with engine.started("scheduler", "-o", "json") as last:
        assert last.stderr is not None
        assert "scheduling the DAGs" in last.stderr.readline()
        wait_until(lambda: engine("ps", "-o", "json").json["runs"] == [])
        last.send_signal(signal.SIGTERM)
        last.communicate(timeout=LONG_S)
    assert last.returncode == 0
    assert lines()[: len(owed)] == [at.strftime("%Y-%m-%dT%H:%M:%SZ") for at in owed]
    assert len(lines()) - len(owed) in {0, 1}  # an hour may have begun meanwhile
