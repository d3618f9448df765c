"""Dead letters: steps that failed for good."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Query

from provisioning.api import shown
from provisioning.api.parts import TheCaller, TheHost
from provisioning.api.routes.runs import Filter, Limit
from provisioning.api.shapes.base import Done
from provisioning.api.shapes.runs import LetterPage
from provisioning.api.table import API, Endpoint
from provisioning.core.access import Role

Which = Annotated[
    Literal["false", "true", "any"], Query(description="false: those that wait; true: those that were run again; any: all")
]
WANTED = {"false": False, "true": True, "any": None}
LetterId = Annotated[int, Path(ge=1, le=2**62)]


def list_dead_letters(
    host: TheHost,
    dag: Filter = None,
    workspace: Filter = None,
    replayed: Which = "false",
    cursor: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    limit: Limit = 50,
) -> LetterPage:
    """List the steps that failed for good, the newest first, and how many wait."""
    found, waiting = host.reading.letters(workspace, limit, replayed=WANTED[replayed], workflow=dag, before=cursor)
    letters = [shown.letter(one, workspace or "") for one in found]
    return LetterPage(letters=letters, waiting=waiting, next=str(letters[-1].id) if len(letters) == limit else "")


async def replay_dead_letter(host: TheHost, caller: TheCaller, letter: LetterId, workspace: Filter = None) -> Done:
    """Run a step that failed for good again, and what waited for it: of a DAG file, or of a program in a workspace.

    The program has to be there: it drives its runs itself. Formulas have no dead letters; their runs are retried.
    """
    await host.replay(letter, caller.actor, workspace)
    return Done()


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=f"{API}/dead-letters",
        handler=list_dead_letters,
        action="letter.read",
        role=Role.VIEWER,
        tag="dead letters",
    ),
    Endpoint(
        method="POST",
        path=f"{API}/dead-letters/{{letter}}/replay",
        handler=replay_dead_letter,
        action="letter.replay",
        role=Role.OPERATOR,
        tag="dead letters",
        status=202,
    ),
)
