"""`python -m benchmarks`: measure, print tables, keep every figure in a file; with --publish, renew the page in docs/."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestants import PROJECT, Contestant, contestants
from benchmarks.figures import Timed
from benchmarks.rounds import compete, hosts
from benchmarks.tables import plain, ssh_rows
from benchmarks.work import WorkError


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for."""
    asked = _parser().parse_args(arguments)
    runs: list[Timed] = []
    try:
        with hosts(max(asked.servers)) as servers:
            for count in asked.servers:
                runs += compete(_taking_part(asked, count), servers, count=count, rounds=asked.rounds, tell=_tell)
    except WorkError as wrong:
        _tell(f"error: {wrong}")
        return 1
    print(plain(ssh_rows(runs, {one.name: one.title for one in contestants(asked.checkout)})))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--servers", type=_numbers, default=[10, 100], metavar="10,100", help="sizes of the work over SSH")
    parser.add_argument("--rounds", type=int, default=5, help="how often each takes its turn (5)")
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="NAME,...", help="these contestants")
    parser.add_argument("--checkout", type=_folder, default=PROJECT, metavar="PATH", help="measure the code of another clone")
    return parser


def _taking_part(asked: argparse.Namespace, count: int) -> list[Contestant]:
    everyone = contestants(asked.checkout)
    if asked.only:
        return [one for one in everyone if one.name in asked.only]
    return [one for one in everyone if one.there and (one.most is None or count <= one.most)]


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _folder(text: str) -> Path:
    return Path(text).resolve(strict=True)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
