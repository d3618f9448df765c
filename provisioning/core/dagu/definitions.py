"""Where the definition of another DAG comes from, who may have it, and what is said about it. Pure.

A document of the same file comes first, then the local store, then the coordinator; the coordinator is asked only where the
local store does not have it. Source of the table: what Dagu does since its version 2.7.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Protocol

from provisioning.core.frozen import dataclass
from provisioning.core.naming import NAME_PATTERN

# ---------------------------------------------------------------- the table


class Local(StrEnum):
    """What the local store says of a name."""

    NONE = "none"  # there is no local store
    HIT = "hit"
    MISSING = "missing"
    BROKEN = "broken"  # it cannot be read, or what it has cannot


class Remote(StrEnum):
    """What the coordinator says of a name."""

    ABSENT = "absent"  # there is nobody to ask
    HIT = "hit"
    EMPTY = "empty"  # nobody has it
    ERROR = "error"  # it could not be asked, or cannot or will not give it


class Verdict(StrEnum):
    """What is done."""

    LOCAL = "local"  # the local definition is taken
    LOCAL_ERROR = "local_error"  # the error of the local store is raised as it is
    REMOTE = "remote"  # the coordinator's definition is taken
    NOWHERE = "nowhere"  # neither has it
    REMOTE_ERROR = "remote_error"  # an error that says what the coordinator said
    NO_SOURCE = "no_source"  # there is neither a local store nor anybody to ask


def asks(local: Local) -> bool:
    """Whether the coordinator is asked at all."""
    return local in {Local.NONE, Local.MISSING}


def judge(local: Local, remote: Remote) -> Verdict:
    """Return what is done. What the coordinator says counts only where it `asks`."""
    if local is Local.HIT:
        return Verdict.LOCAL
    if not asks(local):
        return Verdict.LOCAL_ERROR
    if remote is Remote.HIT:
        return Verdict.REMOTE
    if local is Local.MISSING:
        return Verdict.LOCAL_ERROR
    return {Remote.EMPTY: Verdict.NOWHERE, Remote.ERROR: Verdict.REMOTE_ERROR, Remote.ABSENT: Verdict.NO_SOURCE}[remote]


# ---------------------------------------------------------------- question and answer

FOLDERS_MOST = 16
_is_name = re.compile(NAME_PATTERN).match


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A question. `have` are digests that the caller keeps: of these only the digest is answered."""

    name: str
    caller: str  # the worker's name
    have: tuple[str, ...] = ()


class Status(StrEnum):
    """How a question is answered."""

    FOUND = "found"
    UNCHANGED = "unchanged"  # the caller has it, see `Answer.digest`
    NOT_FOUND = "not_found"
    BROKEN = "broken"  # the store cannot be read, or what it has under this name cannot
    REFUSED = "refused"  # the caller may not have it
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer. The package itself comes with it where it is `found`."""

    status: Status
    name: str
    digest: str = ""  # of the package
    error: str = ""
    hint: str = ""
    by: str = ""  # who answers


HAVING = frozenset({Status.FOUND, Status.UNCHANGED})
_WORTH = (Status.FOUND, Status.UNCHANGED, Status.BROKEN, Status.TOO_LARGE, Status.REFUSED, Status.NOT_FOUND)


def best(answers: Iterable[Answer]) -> Answer | None:
    """Return what several answers come down to: one that has it, else the one that says most, else that nobody has it.

    Of equal ones the first counts. None where there is none.
    """
    return min(answers, key=lambda answer: _WORTH.index(answer.status), default=None)


class Coordinator(Protocol):
    """Whoever has the definitions that a worker lacks."""

    async def ask(self, wanted: Wanted) -> tuple[Answer, bytes]:
        """Return the `best` answer, and the package where it was found. Several may be asked: one that has it is enough.

        Raises NoCoordinator when nobody answers in time, DefinitionError for an answer that cannot be.
        """
        ...


# ---------------------------------------------------------------- who may have what


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Workers and DAGs, as patterns with `*`, `?` and `[...]`: these workers may have these DAGs."""

    callers: str
    dags: str


class WrongRule(ValueError):
    """A text that is no list of rules; the word that is wrong is its message."""


def read_rules(text: str) -> tuple[Rule, ...]:
    """Return the rules of a text such as `site-a-*=etl-* gpu-1=train,score`. Raises WrongRule."""
    rules = []
    for word in text.split():
        callers, mark, dags = word.partition("=")
        names = [name for name in dags.split(",") if name]
        if not (callers and mark and names):
            raise WrongRule(word)
        rules += [Rule(callers=callers, dags=name) for name in names]
    return tuple(rules)


def may_have(rules: Sequence[Rule], caller: str, dag: str) -> bool:
    """Whether a worker may have a DAG. Without any rules every worker may have every DAG."""
    return not rules or any(fnmatchcase(caller, rule.callers) and fnmatchcase(dag, rule.dags) for rule in rules)


def is_question(wanted: Wanted) -> bool:
    """Whether a question can be asked at all: what it names, maybe with folders before it, becomes part of a path."""
    parts = wanted.name.split("/")
    return len(parts) <= FOLDERS_MOST and all(map(_is_name, (*parts, wanted.caller))) and len(wanted.have) <= 100


class Packages(Protocol):
    """Packages that every worker can get at, by digest. They belong to the run that all began with, and go with it."""

    async def put(self, run: str, data: bytes) -> str:
        """Store a packed package of a run and return its digest. Storing it again changes nothing."""
        ...

    async def get(self, run: str, digest: str) -> bytes:
        """Return it. Raises NotFoundError."""
        ...
