"""`schedule backfill`: how points in time are said. A08 is of `docs/reference/engine-cases.md`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.calls import Answer, Caller
from support.daguhome import PLAIN, dag_folder

DAILY = f'schedule: "TZ=UTC 0 12 * * *"\n{PLAIN}'


@pytest.fixture
def asked(cli: Caller, tmp_path: Path) -> Callable[..., Answer]:
    dags = dag_folder(tmp_path / "dags", daily=DAILY)
    return partial(cli, "schedule", "backfill", "daily", "--dags", str(dags), "--dry-run", "-o", "json")


@pytest.mark.parametrize("begin", ["2024-01-01", "2024-01-01T12:00Z", "2024-01-01T12:00:00+00:00", "2024-01-01T13:00+01:00"])
def test_a08_days_and_times_with_an_offset_are_read(asked: Callable[..., Answer], begin: str) -> None:
    ended = asked("--from", begin, "--to", "2024-01-02T23:59Z")
    assert ended.code == 0, ended.err
    assert [item["at"] for item in ended.json["items"]] == ["2024-01-01T12:00:00.000Z", "2024-01-02T12:00:00.000Z"]


@pytest.mark.parametrize("option", ["--from", "--to"])
@pytest.mark.parametrize("text", ["01-01-2024", "2024-13-01", "yesterday", ""])
def test_a08_what_is_no_time_is_refused_with_the_name_of_its_option(
    asked: Callable[..., Answer], option: str, text: str
) -> None:
    times = {"--from": "2024-01-01", "--to": "2024-01-02"} | {option: text}
    ended = asked(*(word for pair in times.items() for word in pair))
    assert ended.code == 2
    assert ended.json["error"]["message"] == f"{option}: found {text!r}, expected a time"
    assert "such as 2026-01-31" in ended.json["error"]["hint"]
