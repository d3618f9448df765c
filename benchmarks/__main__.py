"""Measure, print tables, keep every figure in a file; with --publish, renew the page in docs/."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sshd import SshdError

from benchmarks import cluster, dagfiles, planning, server, startup, workflows
from benchmarks.contestants import PROJECT, Contestant, contestants
from benchmarks.figures import Timed
from benchmarks.page import judged, publish
from benchmarks.record import Record, machine, versions, write
from benchmarks.rounds import compete, hosts
from benchmarks.tables import (
    Row,
    cluster_rows,
    dagfile_rows,
    held_rows,
    plain,
    planning_rows,
    server_rows,
    ssh_rows,
    start_rows,
    workflow_rows,
)
from benchmarks.work import WorkError

PARTS = ("planning", "startup", "workflows", "dagfiles", "cluster", "server", "ssh")
QUICK = ("scripts", "floor", "provisioning", "pyinfra")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for. Returns 1 when a contestant failed or did not do its work."""
    asked = _parser().parse_args(arguments)
    parts = asked.parts or PARTS
    titles = {one.name: one.title for one in contestants(asked.checkout)}
    about, took_part = machine(), versions(asked.checkout)
    if os.getloadavg()[0] > (os.cpu_count() or 1):
        _tell("note: other work has the processors; contestants that use several at once look slower than they are")
    try:
        record = Record(
            machine=about,
            versions=took_part,
            planning=tuple(planning.measure()) if "planning" in parts else (),
            startup=tuple(_start(asked)) if "startup" in parts else (),
            workflows=tuple(workflows.measure()) if "workflows" in parts else (),
            dagfiles=tuple(dagfiles.measure(asked.checkout)) if "dagfiles" in parts else (),
            cluster=tuple(cluster.measure(_tell)) if "cluster" in parts else (),
            server=tuple(_pages(asked)) if "server" in parts else (),
            ssh=tuple(_ssh(asked)) if "ssh" in parts else (),
        )
    except (WorkError, SshdError, RuntimeError) as wrong:
        _tell(f"error: {wrong}")
        return 1
    for rows in _tables(record, titles):
        print(plain(rows), end="\n\n")
    write(record, asked.out)
    _tell(f"all figures: {asked.out}")
    if asked.publish:
        publish(record, PROJECT / "docs" / "reference", titles)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", type=_part, metavar="PART", help=f"{', '.join(PARTS)}; all of them without a name")
    parser.add_argument("--servers", type=_numbers, metavar="N,...", help="sizes of the work over SSH (10,100)")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each takes its turn (5)")
    parser.add_argument("--quick", action="store_true", help="10 servers, one round, without Ansible")
    parser.add_argument("--only", type=_names, metavar="NAME,...", help="these contestants, at every size")
    parser.add_argument("--checkout", type=_folder, default=PROJECT, metavar="PATH", help="the program of another clone")
    parser.add_argument("--out", type=Path, default=PROJECT / ".bench" / "figures.json", metavar="FILE", help="raw figures")
    parser.add_argument("--publish", action="store_true", help="renew tables and charts in docs/reference")
    return parser


def _start(asked: argparse.Namespace) -> list[Timed]:
    rounds = asked.rounds or (3 if asked.quick else 15)
    return startup.measure(asked.checkout, rounds=rounds, tell=_tell)


def _pages(asked: argparse.Namespace) -> list[server.Served]:
    return server.measure(asked.checkout, rounds=asked.rounds or (11 if asked.quick else server.ROUNDS), tell=_tell)


def _ssh(asked: argparse.Namespace) -> list[Timed]:
    sizes = asked.servers or ([10] if asked.quick else [10, 100])
    rounds = asked.rounds or (1 if asked.quick else 5)
    found: list[Timed] = []
    with hosts(max(sizes)) as servers:
        for count in sizes:
            some = _taking_part(asked, count)
            found += compete(some, servers, count=count, rounds=rounds, tell=_tell)
    return found


def _taking_part(asked: argparse.Namespace, count: int) -> list[Contestant]:
    everyone = contestants(asked.checkout)
    if asked.only:
        return [one for one in everyone if one.name in asked.only]
    some = [one for one in everyone if (one.most is None or count <= one.most) and (not asked.quick or one.name in QUICK)]
    for missing in (one for one in some if not one.there):
        _tell(f"left out: {missing.title}, which is not installed (make bench sees to it)")
    return [one for one in some if one.there]


def _tables(record: Record, titles: dict[str, str]) -> list[Sequence[Row]]:
    tables = [planning_rows(record.planning)] if record.planning else []
    tables += [start_rows(record.startup)] if record.startup else []
    tables += [workflow_rows(record.workflows)] if record.workflows else []
    tables += [dagfile_rows(record.dagfiles)] if record.dagfiles else []
    tables += [cluster_rows(record.cluster)] if record.cluster else []
    tables += [server_rows(record.server)] if record.server else []
    tables += [ssh_rows(record.ssh, titles)] if record.ssh else []
    held = held_rows(judged(record))
    return [*tables, *([held] if len(held) > 1 else [])]


def _part(text: str) -> str:
    if text not in PARTS:
        raise argparse.ArgumentTypeError(f"no part {text}; there are {', '.join(PARTS)}")
    return text


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _names(text: str) -> list[str]:
    known = [one.name for one in contestants(PROJECT)]
    names = text.split(",")
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"no contestant {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def _folder(text: str) -> Path:
    return Path(text).resolve(strict=True)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
