"""Servers to play with: the lab by hand.

lab up N [--disk MB]      N servers, kept until `down`; more can be added
lab down                  removes them and everything that came with them
lab purge                 the same, and the base and the packages that were kept
lab base                  build the base now
lab list                  the servers as servers.json has them
lab ssh HOST [COMMAND]    log in as root
lab FAULT HOST            partition, heal, freeze, thaw, crash, boot, wipe, rekey, lose-power, reset-connections,
                          kill-sessions, kill-sshd
lab slow HOST MS PERCENT  delay of each packet, and loss
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.base import built
from lab.laboratory import Lab, remove_all
from lab.needs import missing
from lab.place import by_hand
from lab.shell import LabError

FAULTS = frozenset(
    [
        "partition",
        "heal",
        "freeze",
        "thaw",
        "crash",
        "boot",
        "wipe",
        "rekey",
        "lose-power",
        "reset-connections",
        "kill-sessions",
        "kill-sshd",
    ]
)


def main(arguments: Sequence[str]) -> int:
    """Do one thing; return the exit code."""
    if reason := missing():
        raise LabError(reason)
    match arguments:
        case ["up", count, *rest]:
            up(int(count), int(rest[1]) if rest[:1] == ["--disk"] else None)
        case ["down"]:
            remove_all(by_hand())
        case ["purge"]:
            purge()
        case ["base"]:
            print(built())
        case ["list"]:
            print(json.dumps(kept().servers_json(), indent=2))
        case ["ssh", number, *command]:
            words = kept().host(int(number)).ssh(*command)
            os.execvp(words[0], words)
        case ["slow", number, delay, loss]:
            kept().host(int(number)).slow(delay_ms=float(delay), loss_percent=float(loss))
        case [fault, number] if fault in FAULTS:
            getattr(kept().host(int(number)), fault.replace("-", "_"))()
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


def kept() -> Lab:
    """Return the lab that `up` made."""
    return Lab(0, place=by_hand())


def up(count: int, disk_mb: int | None) -> None:
    """Bring servers up and say how to reach them."""
    lab = Lab(count, disk_mb=disk_mb, place=by_hand())
    lab.open()
    print(json.dumps(lab.servers_json(), indent=2))
    print(f"known_hosts: {lab.place.known_hosts}", file=sys.stderr)


def purge() -> None:
    """Remove the lab by hand and what all labs share. Raises LabError while another lab is up."""
    place = by_hand()
    remove_all(place)
    labs = place.folder.parent
    others = sorted(path.name for path in labs.iterdir()) if labs.exists() else []
    if others:
        raise LabError(f"labs of running tests are up: {', '.join(others)}")
    for path in place.cache.iterdir():
        remove(path)


def remove(path: Path) -> None:
    """Remove a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        sys.exit(f"lab: {error}")
