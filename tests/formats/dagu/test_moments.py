"""Single times of schedules: a wrong one is refused with what is wrong about it."""

from __future__ import annotations

import pytest

from provisioning.formats.dagu.files import read_dag


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("2026-12-24T18:00:07Z", "expected seconds of 00: schedules are looked at by the minute"),
        ("2026-12-24T18:00:00.5+01:00", "expected seconds of 00: schedules are looked at by the minute"),
        ("2026-12-24T18:00:00", "its offset included"),
        ("2026-13-24T18:00:00Z", "expected a time such as"),
    ],
)
def test_a_time_is_refused_with_the_reason(at: str, reason: str) -> None:
    read = read_dag(f'schedule: [{{at: "{at}"}}]\nsteps: [{{command: x}}]'.encode(), file="x.yaml")
    (fault,) = read.faults
    assert reason in fault.message
    assert at in fault.message


def test_a_time_with_an_offset_and_no_seconds_is_taken() -> None:
    read = read_dag(b'schedule: [{at: "2026-12-24T18:00:00+01:00"}]\nsteps: [{command: x}]', file="x.yaml")
    assert read.dag is not None
    assert read.dag.schedule.at == ("2026-12-24T18:00:00+01:00",)
