"""The process of one scheduled run: `python -m` it with an order on its standard input. See `processes`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from provisioning.core.dagu.params import Given
from provisioning.core.history import RunDetail
from provisioning.errors import ProvisioningError
from provisioning.operations import Listener
from provisioning.operations.dagu import running
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.places import Places
from provisioning.operations.scheduler.processes import ERRORS
from provisioning.settings import load


class Teller(Listener):
    """Says one line on standard output: that the run is recorded, or why it is not."""

    def __init__(self) -> None:
        self.told = False

    def on_run(self, run_id: str) -> None:
        """The run is recorded."""
        self.tell({"run": run_id})

    def tell(self, fact: dict[str, str]) -> None:
        """Say it, unless something was said before. Who asked may be gone; the run goes on all the same."""
        if self.told:
            return
        self.told = True
        with suppress(OSError):
            os.write(1, json.dumps(fact).encode() + b"\n")
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.close(nothing)


def main() -> int:
    """Run what is ordered to its end. Return the exit code."""
    teller = Teller()
    try:
        detail = asyncio.run(_run(json.loads(sys.stdin.buffer.read()), teller))
    except ProvisioningError as error:
        kind = next(name for name, one in ERRORS.items() if isinstance(error, one))
        teller.tell({"error": kind, "message": error.message, "hint": error.hint})
        return error.exit_code
    return detail.exit_code or 0


async def _run(order: dict[str, Any], teller: Teller) -> RunDetail:
    said = order["places"]
    places = Places(
        dags=Path(said["dags"]),
        named=said["named"],
        base=Path(said["base"]) if said["base"] else None,
        suspended=Path(said["suspended"]),
        data=Path(said["data"]),
    )
    catalogue = Catalogue(places, default_type=order["default_type"])
    at = order["scheduled_at"]
    asked = running.Start(
        given=[Given(name=name, value=value) for name, value in order["given"]],
        run_id=order["run_id"],
        trigger=order["trigger"],
        scheduled_at=datetime.fromisoformat(at) if at else None,
    )
    return await running.start(catalogue, catalogue.load(order["file"]), asked, load(), teller)


if __name__ == "__main__":
    sys.exit(main())
