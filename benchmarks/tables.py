"""Figures as a table: plain, or as Markdown has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.bars import Held
from benchmarks.cluster import CHAIN, Clustered
from benchmarks.dagfiles import Ran
from benchmarks.dagfiles import growth as dagfile_growth
from benchmarks.figures import Timed, digits, ratio, summaries
from benchmarks.planning import Planned
from benchmarks.server import Served
from benchmarks.startup import BARE
from benchmarks.workflows import Flowed, growth

Row = Sequence[str]


def ssh_rows(runs: Sequence[Timed], titles: Mapping[str, str]) -> list[Row]:
    """Return a head and a row for each size and contestant, contestants in the order of `titles`."""
    rows: list[Row] = [
        ("servers", "", "wall s", "times the floor", "times provisioning", "client CPU ms per server", "peak MB")
    ]
    order = list(titles)
    for one in sorted(summaries(runs), key=lambda one: (one.servers, order.index(one.name))):
        beside = [ratio(runs, one.name, to, one.servers) for to in ("floor", "provisioning")]
        figures = (
            f"{one.wall_s:.2f}",
            *(str(one or "") for one in beside),
            f"{one.cpu_ms_per_server:.1f}",
            f"{one.peak_mb:.0f}",
        )
        rows.append((str(one.servers), titles[one.name], *figures))
    return rows


def start_rows(runs: Sequence[Timed]) -> list[Row]:
    """Return a head and a row for each command."""
    rows: list[Row] = [("", "wall ms", "more than bare Python, ms", "times bare Python", "peak MB")]
    found = summaries(runs)
    bare_s = next(one.wall_s for one in found if one.name == BARE)
    for one in found:
        more = digits((one.wall_s - bare_s) * 1000) if one.name != BARE else ""
        rows.append((one.name, digits(one.wall_s * 1000), more, str(ratio(runs, one.name, BARE, 0)), f"{one.peak_mb:.0f}"))
    return rows


def planning_rows(found: Sequence[Planned]) -> list[Row]:
    """Return a head and a row for each shape."""
    rows: list[Row] = [("", "planning, CPU s", "compiling, CPU s", "edges between steps", "times the shape before")]
    for one in found:
        growth = digits(one.growth) if one.growth else ""
        rows.append((one.name, digits(one.plan_s), digits(one.compile_s), f"{one.edges:,}", growth))
    return rows


def workflow_rows(found: Sequence[Flowed]) -> list[Row]:
    """Return a head and a row for each shape."""
    rows: list[Row] = [("", "store", "wall s", "CPU s", "steps per s", "bytes per step", "times half as many")]
    for one in found:
        times = growth(found, one)
        figures = (digits(one.wall_s), digits(one.cpu_s), f"{one.per_s:,.0f}", f"{one.bytes_per_step:,.0f}")
        rows.append((f"{one.shape}, {one.steps:,} steps", one.store, *figures, digits(times) if times else ""))
    return rows


def dagfile_rows(found: Sequence[Ran]) -> list[Row]:
    """Return a head and a row for each shape."""
    rows: list[Row] = [("", "wall s", "over the steps' own, ms", "steps per s", "times half as many")]
    for one in found:
        times = dagfile_growth(found, one)
        over = digits(one.over_s * 1000) if one.own_s else ""
        rows.append(
            (f"{one.steps:,}, {one.shape}", digits(one.wall_s), over, f"{one.per_s:,.0f}", digits(times) if times else "")
        )
    return rows


def cluster_rows(found: Sequence[Clustered]) -> list[Row]:
    """Return a head and a row for each shape."""
    rows: list[Row] = [("", "server syncs", "schedulers", "wall s", "CPU s", "steps per s", "messages per step", "edge, ms")]
    for one in found:
        what = f"{one.shape}, {one.steps:,} steps" + (f", {one.finished:,} runs in the store" if one.finished else "")
        edge = digits(one.edge_ms) if one.shape == CHAIN else ""
        figures = (digits(one.wall_s), digits(one.cpu_s), f"{one.per_s:,.0f}", f"{one.messages:.2f}", edge)
        rows.append((what, "always" if one.sync == "always" else "every 2 min", str(one.schedulers), *figures))
    return rows


def server_rows(found: Sequence[Served]) -> list[Row]:
    """Return a head and a row for each page."""
    rows: list[Row] = [("page", "1,000 runs, CPU ms", "100,000 runs, CPU ms", "answer there after, ms", "times the CPU", "kB")]
    for one in found:
        times = digits(one.growth) if one.growth is not None else ""
        figures = (digits(one.short_ms), digits(one.long_ms), digits(one.wall_ms), times, f"{one.long_bytes / 1000:.1f}")
        rows.append((one.page, *figures))
    return rows


def held_rows(judged: Iterable[Held]) -> list[Row]:
    """Return a head and a row for each figure that has a bar."""
    rows: list[Row] = [("", "bar", "measured", "")]
    return [*rows, *((one.what, one.bar, one.measured, "holds" if one.holds else "**missed**") for one in judged)]


def plain(rows: Sequence[Row]) -> str:
    """Return a table for a terminal: first texts to the left, figures to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if _figure(cell) else cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def markdown(rows: Sequence[Row]) -> str:
    """Return a table for a page."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def _figure(cell: str) -> bool:
    return cell[:1].isdigit()
