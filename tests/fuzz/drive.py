"""Drive one target: a fixed number of examples, or new ones until the time is up.

    python -m fuzz.drive NAME --minutes 60 --seed 1 --results FOLDER

writes `NAME.json` there, and for each failure the smallest example that shows it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fuzz.target import Check, Tally, Target, judge
from hypothesis import HealthCheck, Phase, given, seed, settings

BATCH = 100  # examples between two looks at the clock
ENOUGH = 10  # different failures of one target
MEMORY_LIMIT = 4 << 30  # bytes of address space: a parser that wants more gets a MemoryError


@dataclass(kw_only=True)
class Result:
    """What a target came to."""

    name: str
    seed: int
    tally: Tally = field(default_factory=Tally)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mib: float = 0.0
    failures: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return it in one line."""
        every = self.tally.examples or 1
        shares = sorted(self.tally.outcomes.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name} {100 * count / every:.1f} %" for name, count in shares[:6])
        more = f" and {len(shares) - 6} more" if len(shares) > 6 else ""
        return (
            f"{self.name}: seed {self.seed}, {self.tally.examples:,} examples, {self.cpu_s:,.0f} s of processor time;"
            f" {shown}{more};"
            f" slowest {self.tally.slowest_s:.2f} s, peak {self.peak_mib:.0f} MiB, {len(self.failures)} failures"
        )


def explore(target: Target, check: Check, tally: Tally, *, examples: int, number: int | None) -> tuple[object, str] | None:
    """Try new examples, drawn from a seed or, for None, always the same ones; return the smallest that fails, and how."""
    smallest: list[object] = [None]

    def one(example: object) -> None:
        smallest[0] = example
        judge(target, check, example, tally)

    configured = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=number is None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
    test = configured(given(target.examples)(one))
    try:
        (test if number is None else seed(number)(test))()
    except BaseException as failure:
        if isinstance(failure, KeyboardInterrupt):
            raise
        return smallest[0], "".join(traceback.format_exception(failure))
    return None


def run(target: Target, *, minutes: float, first: int, results: Path) -> Result:
    """Try examples until the time is up."""
    result = Result(name=target.name, seed=first)
    began_s, used_s = time.monotonic(), _cpu_s()
    seen: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        check = target.prepare(Path(folder))
        number = first
        while time.monotonic() - began_s < minutes * 60 and len(seen) < ENOUGH:
            found = explore(target, check, result.tally, examples=BATCH, number=number)
            if found is not None and (place := _place(found[1])) not in seen:
                seen.add(place)
                result.failures.append(_keep(target, number, found, results))
            number += 1
            result.wall_s, result.cpu_s, result.peak_mib = time.monotonic() - began_s, _cpu_s() - used_s, _peak_mib()
            (results / f"{target.name}.json").write_text(json.dumps(asdict(result), indent=1), "utf-8")
    return result


def _place(text: str) -> str:
    """Return what tells one failure from another: its last place in our code, and its kind."""
    places = [line.strip() for line in text.splitlines() if "/provisioning" in line and line.strip().startswith("File")]
    return f"{places[-1] if places else ''} {text.strip().splitlines()[-1].partition(':')[0]}"


def _keep(target: Target, number: int, found: tuple[object, str], results: Path) -> str:
    example, text = found
    file = results / f"{target.name}-{number}.txt"
    file.write_text(f"target {target.name}, seed {number}\n\n{example!r}\n\n{text}", "utf-8", errors="backslashreplace")
    return file.name


def _cpu_s() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _peak_mib() -> float:
    """Return the peak of this program; `getrusage` counts the one that it was forked from as well."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(status.read_text("utf-8").split("VmHWM:")[1].split()[0]) / 1024


def private_home(folder: Path) -> None:
    """Hide the settings, agent and home of whoever runs this, and stand in an empty folder."""
    for name in [name for name in os.environ if name.startswith("PROVISIONING_")]:
        del os.environ[name]
    os.environ.update({name: str(folder / name.lower()) for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")})
    os.environ["HOME"] = str(folder)
    os.environ.pop("SSH_AUTH_SOCK", None)
    os.chdir(folder)


def main() -> int:
    """Run one target as the command line says."""
    from fuzz.catalogue import TARGETS

    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path())
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    results = asked.results.absolute()
    with tempfile.TemporaryDirectory(prefix="home-") as home:
        private_home(Path(home))
        result = run(TARGETS[asked.name], minutes=asked.minutes, first=asked.seed, results=results)
        os.chdir("/")
    sys.stdout.write(result.line() + "\n")
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
