"""Servers fail at random moments of an installation: nothing is guessed, nothing is done twice, the next run ends well.

`SOAK_COUNT` and `SOAK_SEED` choose how many faults of each kind there are and which; `-k "installation and crash"` one kind.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from lab.laboratory import Lab
from support.strikes import FAULTS, NOTICED_WITHIN_S, Strike, drawn
from support.trials import ChainTrials, EtcdTrials, Report, Trials

Say = Callable[[str], None]

pytestmark = pytest.mark.lab(count=3)
COUNT = int(os.environ.get("SOAK_COUNT", "50"))
SEED = int(os.environ.get("SOAK_SEED", "20260111"))
QUICK_EACH = 5
SILENT = ("partition", "freeze")
MOST_TRIALS = 60
HEALING = 6  # faults of one server in one installation, one after the other
DISK_MB = 1536
QUICK_DISK_MB = 64


def told(report: Report) -> str:
    """Say what came of one trial."""
    judged = report.judged
    counts = (
        f"{judged.interrupted} interrupted, {judged.repeated} repeated, {judged.failed} failed, {judged.unreached} unreached"
    )
    wrong = f"WRONG: {list(report.wrong)}\n{report.story}" if report.wrong else "right"
    return f"{report.hits} hits, {counts}; {'; '.join(map(str, report.struck))}: {wrong}"


def summed(reports: Sequence[Report]) -> str:
    """Say what was counted in all trials."""
    struck = [strike for report in reports for strike in report.struck if strike.hit]
    noticed = [strike.noticed_s for strike in struck if strike.noticed_s is not None]
    interrupted, repeated, failed, unreached = (
        sum(getattr(report.judged, name) for report in reports) for name in ("interrupted", "repeated", "failed", "unreached")
    )
    return (
        f"{len(struck)} faults in {len(reports)} installations, {len(noticed)} noticed, the slowest after "
        f"{max(noticed, default=0.0):.1f} s; {interrupted} steps interrupted, {unreached} unreached, "
        f"{repeated} scripts repeated, {failed} failed; "
        f"{sum(len(report.wrong) for report in reports)} wrong"
    )


def assert_right(reports: Mapping[str, Report]) -> None:
    """Nothing may be wrong; what is comes with its seed, its faults and its story."""
    bad = {name: report for name, report in reports.items() if report.wrong}
    assert not bad, "\n\n".join(f"{name}: {told(report)}" for name, report in bad.items())


@pytest.mark.timeout(600)
def test_five_faults_of_each_kind_while_chains_of_scripts_run(tmp_path: Path, say: Say) -> None:
    with Lab(3, disk_mb=QUICK_DISK_MB) as lab:
        each_kind(ChainTrials(tmp_path, lab), say)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_five_faults_of_each_kind_in_one_installation_of_etcd(tmp_path: Path, say: Say) -> None:
    with Lab(3, disk_mb=DISK_MB) as lab:
        each_kind(EtcdTrials(tmp_path, lab), say)


def each_kind(trials: Trials, say: Say) -> None:
    """Strike until there were five hits of each kind, judge."""
    reports: dict[str, Report] = {}
    missing = Counter(dict.fromkeys(FAULTS, QUICK_EACH))
    while missing.total():
        assert len(reports) < 4, missing
        name = f"quick, seed {SEED}, trial {len(reports)}"
        if reports:
            trials.wipe()
        reports[name] = trials.run(dealt(random.Random(name), [*missing.elements()]))
        missing -= Counter(strike.kind for strike in reports[name].struck if strike.hit)
    say(f"{QUICK_EACH} each of {', '.join(FAULTS)}; seed {SEED}: {summed([*reports.values()])}")
    assert_right(reports)


def dealt(dice: random.Random, kinds: list[str]) -> list[Strike]:
    """Deal short faults to the three servers, and one long silence of each kind."""
    dice.shuffle(kinds)
    short = [
        Strike(kind=kind, server=number % 3 + 1, after_s=dice.uniform(0.2, 1.5), lasts_s=dice.uniform(0.5, 2.0))
        for number, kind in enumerate(kinds)
    ]
    long = {next(number for number, kind in enumerate(kinds) if kind == silent) for silent in SILENT if silent in kinds}
    return [replace(one, lasts_s=NOTICED_WITHIN_S + 2) if number in long else one for number, one in enumerate(short)]


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("kind", FAULTS)
def test_fifty_faults_at_random_moments_of_the_installation(kind: str, tmp_path: Path, say: Say) -> None:
    fault, reports = FAULTS[kind], dict[str, Report]()
    with Lab(3, disk_mb=DISK_MB if fault.needs_disk else None) as lab:
        trials = EtcdTrials(tmp_path, lab)
        undisturbed = trials.run([])
        assert_right({"undisturbed": undisturbed})
        while sum(report.hits for report in reports.values()) < COUNT:
            assert len(reports) < MOST_TRIALS
            name = f"{kind}, seed {SEED}, trial {len(reports)}"
            dice, heals = random.Random(name), fault.momentary or len(reports) % 2 == 0
            trials.wipe()
            reports[name] = trials.run(plan(dice, kind, undisturbed.took_s, heals=heals), heals=heals)
            say(f"{name}: {told(reports[name])}")
    say(f"{kind}, seed {SEED}: {summed([*reports.values()])}")
    assert_right(reports)


def plan(dice: random.Random, kind: str, usual_s: float, *, heals: bool) -> list[Strike]:
    """Draw what happens to each of the three servers: some faults that heal, or one that does not."""
    each = HEALING if heals else 1
    return [drawn(dice, kind, server, within_s=usual_s / each, heals=heals) for server in (1, 2, 3) for _ in range(each)]
