"""Every parser under hostile input: a little of it here, for `PROVISIONING_FUZZ_MINUTES` (60) each with `--soak`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz.catalogue import TARGETS
from fuzz.drive import explore
from fuzz.target import Tally

MINUTES = float(os.environ.get("PROVISIONING_FUZZ_MINUTES", "60"))
RESULTS = os.environ.get("PROVISIONING_FUZZ_RESULTS")  # a folder; a throw-away one, if nothing is said
ROOT = Path(__file__).parents[2]
GRACE_S = 600  # to start, to finish a batch and to make an example smaller, on a busy machine
SEED = 20_261_121


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Return what prints a line past pytest's capture."""

    def line(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {text}\n")

    return line


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", TARGETS)
def test_hostile_input_is_refused_in_our_words_or_keeps_its_promise(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, tally = TARGETS[name], Tally()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()

    found = explore(target, target.prepare(tmp_path / "own"), tally, examples=target.quick, number=None)

    assert found is None, f"{found[0]!r}\n{found[1]}" if found else ""
    assert any(outcome.startswith("accepted") for outcome in tally.outcomes), tally
    assert not target.refuses or any(outcome.startswith("refused") for outcome in tally.outcomes), tally


@pytest.mark.soak
@pytest.mark.timeout(MINUTES * 60 + 2 * GRACE_S)
def test_every_parser_for_its_time(tmp_path: Path, say: Callable[[str], None]) -> None:
    """All of them side by side: they share the processors, so each gets its part of the time."""
    results = Path(RESULTS or tmp_path)
    roots = (ROOT, ROOT / "cli", ROOT / "tests", ROOT / "workspaces" / "demo")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots))}
    asked = ["--minutes", str(MINUTES), "--seed", str(SEED), "--results", str(results)]
    running = {
        name: subprocess.Popen([sys.executable, "-m", "fuzz.drive", name, *asked], stdout=subprocess.DEVNULL, env=environment)
        for name in TARGETS
    }
    codes = {}
    try:
        for name, process in running.items():
            codes[name] = process.wait(timeout=MINUTES * 60 + GRACE_S)
            say(_line(results / f"{name}.json"))
    finally:
        for process in running.values():
            process.kill()
    assert {name for name, code in codes.items() if code} == set(), f"see {results}"


def _line(file: Path) -> str:
    if not file.exists():
        return f"{file.stem}: ended before its first batch"
    found = json.loads(file.read_text("utf-8"))
    tally = found["tally"]
    outcomes = ", ".join(
        f"{name} {count:,}" for name, count in sorted(tally["outcomes"].items(), key=lambda item: -item[1])[:8]
    )
    return (
        f"{file.stem}: seed {found['seed']}, {tally['examples']:,} examples, {found['cpu_s']:,.0f} s of processor time,"
        f" {outcomes};"
        f" slowest {tally['slowest_s']:.2f} s, peak {found['peak_mib']:.0f} MiB, {len(found['failures'])} failures"
    )
