"""The page in the docs: its tables and charts are renewed in place, its words are left alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.bars import Held, of_cluster, of_dagfiles, of_planning, of_server, of_ssh, of_start, of_workflows
from benchmarks.chart import Bar, Chart, Group, svg
from benchmarks.figures import digits, ratio, summaries
from benchmarks.record import Record, read, write
from benchmarks.startup import BARE
from benchmarks.tables import (
    Row,
    cluster_rows,
    dagfile_rows,
    held_rows,
    markdown,
    planning_rows,
    server_rows,
    ssh_rows,
    start_rows,
    workflow_rows,
)


def publish(record: Record, docs: Path, titles: Mapping[str, str]) -> None:
    """Renew `benchmarks.md`, its charts and its figures in `docs`. Parts that were not measured keep their older figures."""
    raw = docs / "benchmarks.json"
    if raw.exists():
        before = read(raw)
        record = replace(
            record,
            planning=record.planning or before.planning,
            startup=record.startup or before.startup,
            ssh=record.ssh or before.ssh,
            workflows=record.workflows or before.workflows,
            dagfiles=record.dagfiles or before.dagfiles,
            cluster=record.cluster or before.cluster,
            server=record.server or before.server,
        )
    write(record, raw)
    if record.ssh:
        (docs / "benchmarks-ssh.svg").write_text(svg(ssh_chart(record, titles)), "utf-8")
    if record.startup:
        (docs / "benchmarks-start.svg").write_text(svg(start_chart(record)), "utf-8")
    page = docs / "benchmarks.md"
    page.write_text(renewed(page.read_text("utf-8"), sections(record, titles)), "utf-8")


def sections(record: Record, titles: Mapping[str, str]) -> dict[str, str]:
    """Return what stands between the marks of the page, by name; nothing for parts that were never measured."""
    facts: list[Row] = [("", ""), ("measured on", record.measured_on), *record.machine.items(), *record.versions.items()]
    facts += [("rounds over SSH", str(max(run.round for run in record.ssh)))] if record.ssh else []
    parts = {"machine": markdown(facts), "bars": markdown(held_rows(judged(record)))}
    if record.ssh:
        parts["ssh"] = markdown(ssh_rows(record.ssh, titles))
    if record.startup:
        parts["startup"] = markdown(start_rows(record.startup))
    if record.workflows:
        parts["workflows"] = markdown(workflow_rows(record.workflows))
    if record.dagfiles:
        parts["dagfiles"] = markdown(dagfile_rows(record.dagfiles))
    if record.cluster:
        parts["cluster"] = markdown(cluster_rows(record.cluster))
    if record.server:
        parts["server"] = markdown(server_rows(record.server))
    if record.planning:
        parts["planning"] = markdown(planning_rows(record.planning))
    return parts


def judged(record: Record) -> Iterable[Held]:
    """Return every figure that has a bar."""
    return [
        *of_ssh(record.ssh),
        *of_start(record.startup),
        *of_planning(record.planning),
        *of_workflows(record.workflows),
        *of_dagfiles(record.dagfiles),
        *of_cluster(record.cluster),
        *of_server(record.server),
    ]


def renewed(text: str, parts: Mapping[str, str]) -> str:
    """Return the page with each part put anew between `<!-- NAME -->` and `<!-- /NAME -->`. Raises KeyError without those."""
    for name, part in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise KeyError(name)
        text = pattern.sub(lambda found, part=part: f"{found[1]}\n{part}\n\n{found[2]}", text)  # type: ignore[misc]
    return text


def ssh_chart(record: Record, titles: Mapping[str, str]) -> Chart:
    """Return the work over SSH, as times of the floor."""
    sizes = sorted({run.servers for run in record.ssh})
    groups = tuple(Group(heading=f"{size} servers", bars=tuple(_ssh_bars(record, titles, size))) for size in sizes)
    return Chart(
        title="Five taskservs and a gate on each server, over SSH",
        axis="wall time, as times of the floor; logarithmic, shorter is better",
        groups=groups,
        begin=0.3,
        logarithmic=True,
    )


def _ssh_bars(record: Record, titles: Mapping[str, str], size: int) -> Iterable[Bar]:
    walls = {one.name: one.wall_s for one in summaries(record.ssh) if one.servers == size}
    for name in (name for name in titles if name in walls):
        times = ratio(record.ssh, name, "floor", size)
        if times:
            shown = f"{digits(times.middle)} x, {digits(walls[name])} s"
            yield Bar(label=titles[name], value=times.middle, shown=shown, ours=name == "provisioning")


def start_chart(record: Record) -> Chart:
    """Return start-up in milliseconds."""
    bars = tuple(
        Bar(
            label=one.name,
            value=one.wall_s * 1000,
            shown=f"{digits(one.wall_s * 1000)} ms",
            ours=one.name.startswith("provisioning"),
        )
        for one in sorted(summaries(record.startup), key=lambda one: (one.name != BARE, one.wall_s))
    )
    return Chart(title="Start-up", axis="wall milliseconds; shorter is better", groups=(Group(heading="", bars=bars),))
