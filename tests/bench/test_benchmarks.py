"""The benchmarks measure what they say: small runs on two servers, and figures that are worked out right."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import ThrowawayServers

from benchmarks.__main__ import main
from benchmarks.bars import of_ssh
from benchmarks.chart import Bar, Chart, Group, svg
from benchmarks.contestants import PROJECT, Call, Contestant, contestants
from benchmarks.figures import Timed, ratio, summaries
from benchmarks.page import renewed, sections
from benchmarks.record import Record, read
from benchmarks.rounds import compete, hosts, time_command, turned
from benchmarks.work import WorkError

LEAVES_A_DAEMON = """
import os, time
ended, end = os.pipe()
if os.fork() == 0:
    os.close(ended)
    if os.fork() == 0:
        while time.process_time() < 0.3:
            pass
    os._exit(0)
os.close(end)
os.wait()
os.read(ended, 1)
"""
TITLES = {one.name: one.title for one in contestants(PROJECT)}


@pytest.fixture(scope="module")
def two() -> Iterator[ThrowawayServers]:
    with hosts(2) as servers:
        yield servers


def named(*names: str) -> list[Contestant]:
    return [one for one in contestants(PROJECT) if one.name in names]


def run(name: str, round: int, wall_s: float, servers: int = 100) -> Timed:
    return Timed(name=name, servers=servers, round=round, wall_s=wall_s, cpu_s=1.0, peak_bytes=50_000_000)


@pytest.mark.sshd
def test_floor_and_ours_do_the_work_and_are_timed(two: ThrowawayServers) -> None:
    told: list[str] = []
    runs = compete(named("floor", "provisioning"), two, count=2, rounds=1, tell=told.append)

    assert sorted(one.name for one in runs) == ["floor", "provisioning"]
    assert all(one.cpu_s > 0 and one.wall_s > 0 and one.peak_bytes > 10_000_000 for one in runs)
    assert len(told) == 2


@pytest.mark.sshd
def test_a_contestant_that_only_says_it_is_done_is_found_out(two: ThrowawayServers) -> None:
    lazy = Contestant(name="lazy", title="", lay_out=lambda job: Call(command=("true",), folder=job.folder))

    with pytest.raises(WorkError, match="lazy: server-0: installed: expected 'base certificates"):
        compete([lazy], two, count=2, rounds=1, tell=lambda _line: None)


@pytest.mark.sshd
def test_the_command_keeps_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.json"

    assert main(["ssh", "--servers", "2", "--rounds", "1", "--only", "scripts", "--out", str(out)]) == 0

    assert [one.name for one in read(out).ssh] == ["scripts"]
    assert "the scripts alone, no SSH" in capsys.readouterr().out


def test_a_command_that_fails_is_an_error_with_its_words(tmp_path: Path) -> None:
    wrong = Call(command=(sys.executable, "-c", "raise SystemExit('no such thing')"), folder=tmp_path)

    with pytest.raises(WorkError, match="no such thing"):
        time_command(wrong, tmp_path, name="wrong")


def test_processor_time_of_what_a_command_leaves_behind_is_counted(tmp_path: Path) -> None:
    call = Call(command=(sys.executable, "-c", LEAVES_A_DAEMON), folder=tmp_path)

    assert time_command(call, tmp_path, name="leaves a daemon").cpu_s >= 0.3


def test_ratios_are_of_the_same_round() -> None:
    runs = [run("a", 1, 2.0), run("b", 1, 1.0), run("a", 2, 30.0), run("b", 2, 10.0), run("a", 3, 4.0), run("b", 3, 1.0)]
    found = ratio([*runs, run("a", 4, 99.0)], "a", "b", 100)

    assert found is not None
    assert (found.middle, found.low, found.high) == (3.0, 2.0, 4.0)
    assert ratio(runs, "a", "c", 100) is None


def test_medians_are_over_rounds() -> None:
    (one,) = summaries([run("a", 1, 1.0), run("a", 2, 9.0), run("a", 3, 2.0)])

    assert (one.wall_s, one.rounds, one.cpu_ms_per_server, one.peak_mb) == (2.0, 3, 10.0, 50.0)


def test_everyone_is_first_once() -> None:
    orders = [turned(["a", "b", "c"], round) for round in (1, 2, 3)]

    assert {order[0] for order in orders} == {"a", "b", "c"}
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)


def test_a_bar_that_is_missed_is_said_to_be_missed() -> None:
    runs = [run("floor", 1, 1.0), run("provisioning", 1, 1.5), run("pyinfra", 1, 6.0)]

    judged = {held.what: held.holds for held in of_ssh(runs)}

    assert judged["W(100) beside the floor"] is False
    assert judged["W(100): pyinfra takes"] is True


def test_the_page_has_a_place_for_every_part() -> None:
    runs = (run("floor", 1, 1.0), run("provisioning", 1, 1.2))
    record = Record(machine={}, versions={}, ssh=runs, startup=(run("python -c pass", 1, 0.02, servers=0),))
    text = (PROJECT / "docs" / "reference" / "benchmarks.md").read_text("utf-8")

    again = renewed(text, sections(record, TITLES))

    assert "1.20 (1.20-1.20)" in again
    assert renewed(again, sections(Record(machine={}, versions={}, ssh=runs), TITLES)).count("python -c pass") == 1
    assert renewed(again, sections(record, TITLES)) == again
    with pytest.raises(KeyError, match="nowhere"):
        renewed(text, {"nowhere": ""})


def test_a_chart_is_drawn_to_scale() -> None:
    bars = (Bar(label="a", value=10.0, shown="ten"), Bar(label="b & c", value=5.0, shown="five", ours=True))
    drawn = svg(Chart(title="t", axis="s", groups=(Group(heading="g", bars=bars),)))

    wide = [float(line.split('width="')[1].split('"')[0]) for line in drawn.splitlines() if "rx=" in line]
    assert wide[0] == pytest.approx(2 * wide[1])
    assert "b &amp; c" in drawn
