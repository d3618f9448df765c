"""One document: the keys of a DAG."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from types import MappingProxyType

from provisioning.core.dagu.declared import DagFile, DagType, Defaults, Event, Habits, Step, TypeBecause
from provisioning.core.dagu.doing import MAX_CONCURRENT, Doing, ForeachDoing, NoopDoing, RouterDoing
from provisioning.core.shown import quote
from provisioning.formats.dagu.base import beneath
from provisioning.formats.dagu.dagkeys import read_active, read_keys
from provisioning.formats.dagu.dialect import Dialect, Recognised
from provisioning.formats.dagu.doing import ITEMS_MOST, read_items
from provisioning.formats.dagu.names import check_name, good_name
from provisioning.formats.dagu.order import settle
from provisioning.formats.dagu.reading import Record, Spot
from provisioning.formats.dagu.spelling import DAG, FOREACH, HANDLERS
from provisioning.formats.dagu.steps import Draft, read_defaults, read_drafts, read_handler
from provisioning.formats.dagu.within import Within

_UNSUPPORTED_TYPES = frozenset({"agent", "build", "controller"})


def read_document(
    spot: Spot, recognised: Recognised, *, known_dags: frozenset[str], default_type: DagType, base: DagFile | None
) -> DagFile:
    """Return what one document declares; what does not fit is among the findings."""
    record = spot.record(DAG)
    own = read_defaults(record.at("defaults"))
    defaults = own if record.has("defaults") or base is None else base.defaults

    def foreach(step: Record, options: Spot | None) -> Doing:
        return _foreach(step, options, within)

    within = Within(known_dags=known_dags, recognised=recognised, defaults=defaults, foreach=foreach)
    drafts = tuple(read_drafts(record.spots["steps"], within)) if record.has("steps") else ()
    if not drafts and (record.has("steps") or spot.is_map):
        spot.fault("missing_key", "found no steps, expected at least one")
    type_, because = _type(record, drafts, recognised, default_type, base)
    dag = read_keys(record, DagFile(name=_name(record), file=spot.found.file, given=frozenset(record.spots), defaults=own))
    dag = replace(
        dag,
        type=type_,
        type_because=because,
        steps=settle(drafts, type_, recognised),
        handlers=_handlers(record.at("handler_on"), within),
        habits=_habits(recognised),
    )
    dag = read_active(record, dag, recognised)
    return beneath(dag, base) if base is not None else dag


def read_base_document(spot: Spot, recognised: Recognised) -> DagFile:
    """Return what base.yaml declares: no steps, no name needed."""
    record = spot.record(DAG)
    if record.has("steps"):
        record.spots["steps"].fault("misplaced_key", "base.yaml has no steps of its own")
    defaults = read_defaults(record.at("defaults"))
    within = Within(
        known_dags=frozenset(), recognised=recognised, defaults=defaults, foreach=lambda _step, _options: NoopDoing()
    )
    dag = read_keys(record, DagFile(name="base", file=spot.found.file, given=frozenset(record.spots), defaults=defaults))
    if record.has("type"):
        type_, because = _type(record, (), recognised, DagType.CHAIN, None)
        dag = replace(dag, type=type_, type_because=because)
    return read_active(record, replace(dag, handlers=_handlers(record.at("handler_on"), within)), recognised)


def _habits(recognised: Recognised) -> Habits:
    current = recognised.dialect is Dialect.C
    return Habits(errexit=recognised.new, escapes=current, in_quotes=not current)


def _name(record: Record) -> str:
    """Return the name: the file's stem where the document says none."""
    spot = record.at("name")
    if spot is not None:
        name = spot.word()
        check_name(spot, name)
        return name
    file = PurePosixPath(record.spot.found.file).name
    stem = re.sub(r"\.ya?ml\Z", "", file)
    if not good_name(stem):
        record.spot.fault("bad_name", f"found no name, and the file's name, {quote(stem)}, cannot be one", "add name")
    return stem


def _type(
    record: Record, drafts: tuple[Draft, ...], recognised: Recognised, default: DagType, base: DagFile | None
) -> tuple[DagType, TypeBecause]:
    """Say how steps follow one another (Y2), and note it where the file does not say it."""
    spot = record.at("type")
    if spot is not None:
        if spot.word() in _UNSUPPORTED_TYPES:
            spot.fault("unsupported_key", f"found the type {spot.shown}, expected graph or chain: others are not supported")
            return DagType.GRAPH, TypeBecause.SAID
        return spot.choice(DagType) or DagType.GRAPH, TypeBecause.SAID
    if base is not None and "type" in base.given:
        return base.type, TypeBecause.BASE
    type_, because, why = _guessed(drafts, recognised, default)
    if len(drafts) > 1:
        read = "side by side unless they depend on one another" if type_ is DagType.GRAPH else "one after the other"
        record.spot.note("type_reading", f"no type is said, and {why}: read as {type_.value}, the steps run {read}")
    return type_, because


def _guessed(drafts: tuple[Draft, ...], recognised: Recognised, default: DagType) -> tuple[DagType, TypeBecause, str]:
    if any(draft.depends for draft in drafts):
        return DagType.GRAPH, TypeBecause.DEPENDS, "a step has depends"
    if recognised.dialect is Dialect.C:
        return DagType.GRAPH, TypeBecause.DIALECT, "the file is of Dagu 2.7 or later"
    return default, TypeBecause.DEFAULT, "nothing else tells, so the setting dagu.default_type decides"


def _foreach(step: Record, options: Spot | None, within: Within) -> Doing:
    spot = step.at("foreach") or options
    if spot is None:
        step.spot.fault("missing_key", "foreach needs items and steps")
        return NoopDoing()
    record = spot.record(FOREACH)
    items, reference = read_items(record.at("items"))
    drafts = tuple(read_drafts(record.spots["steps"], within)) if record.has("steps") else ()
    if not record.has("items") or not drafts:
        spot.fault("missing_key", "foreach needs items and steps")
    if any(isinstance(draft.step.doing, ForeachDoing | RouterDoing) for draft in drafts):
        spot.fault("unsupported_key", "found a loop or a router in a loop, which is not supported", "make it a DAG of its own")
    record.note_ignored("key", "items are told apart by their place")
    return ForeachDoing(
        items=items,
        reference=reference,
        variable=record.word("as") or "item",
        key=record.text("key"),
        max_concurrent=record.whole("max_concurrent", MAX_CONCURRENT, 1, ITEMS_MOST),
        steps=settle(drafts, DagType.GRAPH if within.recognised.new else DagType.CHAIN, within.recognised),
        collect=record.text("collect"),
    )


def _handlers(spot: Spot | None, within: Within) -> Mapping[Event, Step]:
    if spot is None:
        return MappingProxyType({})
    record = spot.record(HANDLERS)
    of_handlers = replace(within, defaults=Defaults())
    handlers = {Event(name): read_handler(one, of_handlers, name) for name, one in record.spots.items() if not one.is_null}
    return MappingProxyType(handlers)
