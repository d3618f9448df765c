"""A Dagu file -> its declared model. The only door to this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from provisioning.core.dagu.declared import DagFile, DagType
from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import quote
from provisioning.formats.dagu.dag import read_base_document, read_document
from provisioning.formats.dagu.dialect import Recognised, recognise
from provisioning.formats.dagu.names import good_name
from provisioning.formats.dagu.reading import Findings, Note, Spot
from provisioning.formats.goyaml import Fields, Node, Place, Scalar, parse_yaml

DOCUMENTS_MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a file says. With `faults` there is no DAG. `notes` are the places that versions of Dagu read differently.

    `documents` are all DAGs of the file, `dag` is the first; `recognised` tells the dialect of each.
    """

    dag: DagFile | None = None
    documents: tuple[DagFile, ...] = ()
    recognised: tuple[Recognised, ...] = ()
    faults: tuple[Fault, ...] = ()
    notes: tuple[Note, ...] = ()


def read_dag(
    data: bytes,
    *,
    file: str,
    default_type: str = "chain",
    known_dags: frozenset[str] = frozenset(),
    base: DagFile | None = None,
) -> Reading:
    """Read a Dagu file of any dialect. Never raises for bad input; takes time and memory linear in its size.

    `known_dags` are the names of other DAGs: `run: NAME` starts one of them. `default_type` is for files that do not tell.
    """
    parsed = parse_yaml(data)
    if parsed.faults:
        return Reading(faults=tuple(replace(fault, file=file) for fault in parsed.faults))
    found = Findings(file=file)
    nodes = _documents(parsed.documents, found)
    known = known_dags | _named(nodes)
    recognised = tuple(recognise(node, known, several=len(nodes) > 1) for node in nodes)
    dags = tuple(
        read_document(Spot(node, found), one, known_dags=known, default_type=DagType(default_type), base=base)
        for node, one in zip(nodes, recognised, strict=True)
    )
    _check_names(dags, nodes, found)
    faults = tuple(sorted(found.faults, key=lambda fault: (fault.line, fault.column)))
    notes = tuple(sorted(found.notes, key=lambda note: (note.line, note.column)))
    if faults:
        return Reading(recognised=recognised, faults=faults, notes=notes)
    first = replace(dags[0], documents=MappingProxyType({dag.name: dag for dag in dags[1:]}))
    return Reading(dag=first, documents=(first, *dags[1:]), recognised=recognised, notes=notes)


def read_base(data: bytes, *, file: str) -> Reading:
    """Read base.yaml, which lies beneath every DAG. An empty one says nothing."""
    parsed = parse_yaml(data)
    if parsed.faults:
        return Reading(faults=tuple(replace(fault, file=file) for fault in parsed.faults))
    found = Findings(file=file)
    if len(parsed.documents) > 1:
        Spot(parsed.documents[1], found).fault("too_large", "found several documents, expected one")
    node = parsed.documents[0] if parsed.documents else _nothing()
    recognised = recognise(node, frozenset())
    base = read_base_document(Spot(node, found), recognised)
    notes = tuple(found.notes)
    if found.faults:
        return Reading(recognised=(recognised,), faults=tuple(found.faults), notes=notes)
    return Reading(dag=base, documents=(base,), recognised=(recognised,), notes=notes)


def _documents(nodes: Sequence[Node], found: Findings) -> tuple[Node, ...]:
    """Return the documents that say something; a file without any is a fault."""
    kept = tuple(node for node in nodes if not (isinstance(node, Scalar) and node.value is None))
    if not kept:
        Spot(_nothing(), found).fault("empty", "found nothing, expected a DAG")
    if len(kept) > DOCUMENTS_MOST:
        Spot(kept[DOCUMENTS_MOST], found).fault("too_large", f"found more than {DOCUMENTS_MOST:,} documents")
    return kept[:DOCUMENTS_MOST]


def _nothing() -> Node:
    return Scalar(value=None, raw="", at=Place(line=1, column=1))


def _named(nodes: Sequence[Node]) -> frozenset[str]:
    """Return the names that documents have; one of several may be started from another."""
    names = (node.fields.get("name") for node in nodes if isinstance(node, Fields)) if len(nodes) > 1 else ()
    return frozenset(name.raw for name in names if isinstance(name, Scalar) and good_name(name.raw))


def _check_names(dags: Sequence[DagFile], nodes: Sequence[Node], found: Findings) -> None:
    """Every document behind the first needs a name of its own."""
    seen: set[str] = set()
    for index, (dag, node) in enumerate(zip(dags, nodes, strict=True)):
        if index and "name" not in dag.given:
            Spot(node, found).fault("missing_key", "found a document without name, which all but the first need")
        elif dag.name in seen:
            Spot(node, found).fault("duplicate_name", f"found a second document of the name {quote(dag.name)}")
        seen.add(dag.name)
