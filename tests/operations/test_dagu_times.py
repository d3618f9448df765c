"""When DAGs start next, and what is told of clock changes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from support.daguhome import PLAIN, a_catalogue, dag_folder

from provisioning.core.cron import Dagu
from provisioning.operations.dagu.checking import check_entries
from provisioning.operations.dagu.times import clock_changes, local_zone, next_start, zone

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("schedule", "at"),
    [
        pytest.param('"0 14 * * *"', datetime(2026, 3, 1, 13, 0, tzinfo=UTC), id="by the machine's clock"),
        pytest.param('"CRON_TZ=Asia/Tokyo 0 14 * * *"', datetime(2026, 3, 2, 5, 0, tzinfo=UTC), id="by the clock of its zone"),
        pytest.param('["0 14 * * *", "30 13 * * *"]', datetime(2026, 3, 1, 12, 30, tzinfo=UTC), id="the earliest of several"),
        pytest.param("[{at: 2026-03-01T13:10:00+01:00}, '0 14 * * *']", datetime(2026, 3, 1, 12, 10, tzinfo=UTC), id="once"),
        pytest.param("[{at: 2026-02-01T13:10:00+01:00}]", None, id="a single start that is over"),
        pytest.param('{stop: "0 14 * * *"}', None, id="a stop is no start"),
        pytest.param('"0 0 30 2 *"', None, id="a day that never comes"),
        pytest.param('""', None, id="none"),
    ],
)
def test_the_next_start_is_the_earliest_of_all(tmp_path: Path, schedule: str, at: datetime | None) -> None:
    folder = dag_folder(tmp_path / "dags", etl=f"schedule: {schedule}\n{PLAIN}")
    assert next_start(a_catalogue(folder).load("etl"), NOW, BERLIN) == at


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        pytest.param("30 2 * * *", [("2026-03-29 02:30", Dagu.SKIPS)], id="in the hour that is left out"),
        pytest.param("30 2 * 10 *", [("2026-10-25 02:30", Dagu.DOUBLES)], id="in the hour that comes twice"),
        pytest.param("0 12 * * *", [], id="at noon nothing happens"),
        pytest.param("*/5 * * * *", [], id="real time goes on"),
        pytest.param("TZ=UTC 30 2 * * *", [], id="a zone without changes"),
    ],
)
def test_clock_changes_are_told_where_they_make_a_difference(
    tmp_path: Path, expression: str, told: list[tuple[str, Dagu]]
) -> None:
    folder = dag_folder(tmp_path / "dags", etl=f'schedule: "{expression}"\n{PLAIN}')
    catalogue = a_catalogue(folder)
    found = list(clock_changes(catalogue.load("etl"), NOW, BERLIN))
    assert [(f"{one.at:%Y-%m-%d %H:%M}", one.dagu) for one in found] == told
    notes = check_entries(catalogue.entries(), NOW, BERLIN)[0].notes
    assert [note.code for note in notes] == ["clock_change"] * len(told)
    assert all(at in note.message and "Europe/Berlin" in note.message for note, (at, _) in zip(notes, told, strict=True))


def test_files_with_dags_of_one_name_are_told_of_one_another(tmp_path: Path) -> None:
    folder = dag_folder(tmp_path / "dags", a=f"name: etl\n{PLAIN}", etl=PLAIN, other=PLAIN)
    checked = check_entries(a_catalogue(folder).entries(), NOW, UTC)
    assert [[note.code for note in one.notes] for one in checked] == [["same_name"], ["same_name"], []]
    assert "in etl.yaml too" in checked[0].notes[0].message


@pytest.mark.parametrize("name", ["Atlantis/Poseidonis", "Europe", "..", "/etc/localtime", "a\0b", ""])
def test_a_zone_that_there_is_not_is_none(name: str) -> None:
    assert zone(name) is None


def test_the_machines_zone_knows_its_clock_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":Europe/Berlin")
    assert local_zone() == BERLIN
    monkeypatch.setenv("TZ", "no zone")
    assert datetime.now(local_zone()).utcoffset() is not None
