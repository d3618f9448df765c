"""Evaluate Nickel files in a child process, with limits on time, memory, output and on what they may read.

A Nickel file is code: it can loop, eat memory, and import any file as text. So it runs in a child (about 25 ms), and what
it imports is looked at first: only its own folder, the workspace and our contracts.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import escaped
from provisioning.errors import ProvisioningError
from provisioning.formats.imports import check_imports
from provisioning.formats.schemas import contract_folder

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_FRAME_HEAD = re.compile(rb"([a-z]+) ([0-9]{1,15})\n")
_PLACE = re.compile(r"┌─ (.+?):([0-9]{1,9}):([0-9]{1,9})$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class NickelLimits:
    """What one evaluation may use."""

    wall_s: float = 10.0
    cpu_s: int = 10
    memory_bytes: int = 1024 * 1024 * 1024
    output_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What came of one file: JSON bytes, or faults. `contract` is true when one of our contracts was broken."""

    data: bytes = b""
    faults: tuple[Fault, ...] = ()
    contract: bool = False


def evaluate(
    files: Sequence[Path], *, root: Path, limits: NickelLimits | None = None, lenient: bool = False
) -> list[Evaluated]:
    """Evaluate files to JSON, all in one child where none of them kills it; never raises for what a file contains.

    `root` is the folder that messages are relative to, and that files may import from. With `lenient` our contracts
    accept everything, so that whoever reads the JSON can report all faults at once.
    """
    limits = limits or NickelLimits()
    contracts = contract_folder() / "lenient" if lenient else contract_folder()
    refused = {file: faults for file in files if (faults := check_imports(file, root, contracts))}
    outcomes = _run_all([file for file in files if file not in refused], root, contracts, limits)
    return [Evaluated(faults=refused[file]) if file in refused else outcomes[file] for file in files]


def _run_all(files: Sequence[Path], root: Path, contracts: Path, limits: NickelLimits) -> dict[Path, Evaluated]:
    outcomes: dict[Path, Evaluated] = {}
    left = list(files)
    while left:
        written, death = _run(left, root, contracts, limits)
        for file, (kind, data) in zip(left, written, strict=False):
            outcomes[file] = outcome(kind, data, file, root, contracts, limits)
        left = left[len(written) :]
        if left:  # it died of this one; the others get a child of their own
            file = left.pop(0)
            outcomes[file] = Evaluated(faults=(_limit_fault(death, limits, _shown(file, root)),))
    return outcomes


def _run(files: Sequence[Path], root: Path, contracts: Path, limits: NickelLimits) -> tuple[list[tuple[str, bytes]], str]:
    """Return what the child wrote, and what it died of if it did not write of every file."""
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("nickel_child.py")), _home()]
    command += [str(limits.cpu_s), str(limits.memory_bytes), str(limits.output_bytes)]
    command += ["--", str(root), str(contracts), "--", *map(str, files)]
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=kept, start_new_session=True
    )
    death = ""
    try:
        output, _ = child.communicate(timeout=limits.wall_s * len(files))
    except subprocess.TimeoutExpired:
        child.kill()
        output, _ = child.communicate()
        death = "time"
    except BaseException:
        child.kill()
        child.wait()
        raise
    return frames(output), death or _cause(child.returncode)


def _home() -> str:
    """Return the folder that py-nickel is installed in, without importing it here."""
    from importlib.util import find_spec

    spec = find_spec("nickel")
    if spec is None or spec.origin is None:
        raise ProvisioningError("py-nickel is not installed", hint="install provisioning again")
    return str(Path(spec.origin).parents[1])


def frames(output: bytes) -> list[tuple[str, bytes]]:
    """Return (kind, text) of each file that the child wrote of; what is torn or no frame ends the list."""
    found = []
    at = 0
    while (head := _FRAME_HEAD.match(output, at)) is not None and head.end() + int(head[2]) <= len(output):
        at = head.end() + int(head[2])
        found.append((head[1].decode("ascii"), output[head.end() : at]))
    return found


def _cause(returncode: int) -> str:
    if returncode == -signal.SIGXCPU:
        return "processor"
    return "memory" if returncode < 0 else f"exit {returncode}"


def _limit_fault(death: str, limits: NickelLimits, file: str) -> Fault:
    if death == "time":
        message = f"evaluation took longer than {limits.wall_s:g} s"
    elif death == "processor":
        message = f"evaluation took more than {limits.cpu_s} s of processor time"
    elif death == "memory":
        message = f"evaluation needed more than {limits.memory_bytes // 1024 // 1024:,} MiB of memory"
    elif death == "large":
        message = f"evaluation gave more than {limits.output_bytes:,} bytes"
    else:
        message = f"the evaluator ended with {death}"
    return Fault(code="nickel_limit", message=message, file=file, hint="look for a recursion without end")


def outcome(kind: str, data: bytes, file: Path, root: Path, contracts: Path, limits: NickelLimits) -> Evaluated:
    """Return what a frame says of `file`: its JSON, or a fault in our words."""
    if kind == "ok":
        return Evaluated(data=data)
    if kind != "error":
        return Evaluated(faults=(_limit_fault(kind, limits, _shown(file, root)),))
    text = _ANSI.sub("", data.decode("utf-8", "replace"))
    places = [(Path(name), int(line), int(column)) for name, line, column in _PLACE.findall(text)]
    contract = any(path.is_relative_to(contracts) for path, _, _ in places)
    return Evaluated(faults=(_error_fault(text, places, file, root),), contract=contract)


def _error_fault(text: str, places: Sequence[tuple[Path, int, int]], file: Path, root: Path) -> Fault:
    """The first place inside the workspace is the user's: frames in contracts and generated ones come and go."""
    own = [(path, line, column) for path, line, column in places if path == file or path.is_relative_to(root)]
    path, line, column = own[0] if own else (file, 0, 0)
    head, _, rest = text.partition("┌─")
    message = " ".join(line.strip() for line in head.removeprefix("error:").splitlines() if line.strip())
    notes = [line.strip()[2:] for line in rest.splitlines() if line.strip().startswith("= ")]
    code = (
        "contract" if "contract broken" in message else "syntax" if "pars" in message or "unexpected" in message else "nickel"
    )
    return Fault(
        code=code,
        message=_relative(message, root),
        file=_shown(path, root),
        line=line,
        column=column,
        hint=_relative("; ".join(notes[:2]), root),
    )


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name


def _relative(text: str, root: Path) -> str:
    """Strip the folders of this machine from a message."""
    short = re.sub(r"(?<![\w.])/(?:[^\s/:`\"',\]]+/)+", "", text.replace(f"{root}/", ""))
    return escaped(re.sub(r" \(looked in \[[^\]]*\]\)", "", short))
