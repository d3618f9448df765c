"""Rounds in which a run is cut off: what it may leave, and what the next run may make of it."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.real import RealWorkspace, wait_until

from provisioning.adapters.sqlite.history import SqliteHistory
from provisioning.adapters.sqlite.serials import StateSerials
from provisioning.adapters.statefile import StateFile
from provisioning.core.model import StepState
from provisioning.core.resources import ResourceState
from provisioning.errors import NotFoundError

Key = tuple[str, str]  # server, taskserv
HUNG_S = 300  # no bar: on a busy machine a run may take long
_RUN = re.compile(r"^\S+ run (\S+) started$", re.MULTILINE)
_DONE = re.compile(r"^\S+ (\S+/\S+)  succeeded\b", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a run had printed before it was cut off: its id, blank when it had not come so far, and the steps it called done."""

    run: str
    done: tuple[str, ...]


def told(printed: str) -> Told:
    """Read the lines of a run."""
    found = _RUN.search(printed)
    return Told(run=found[1] if found else "", done=tuple(_DONE.findall(printed)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What was recorded and had been done before the run that is cut off."""

    workspace: RealWorkspace
    known: Mapping[Key, str]  # the run that each entry is from
    begun: Counter[str]
    ended: Counter[str]

    @classmethod
    def begin(cls, workspace: RealWorkspace) -> Round:
        """Remember what is there."""
        known = {key: str(entry["run_id"]) for key, entry in workspace.state().items()}
        return cls(workspace=workspace, known=known, begun=workspace.counts("begin"), ended=workspace.counts("end"))

    def judge_left(self, said: Told, where: object) -> int:
        """Judge what the run left, on a copy; return how many scripts had begun. Raises AssertionError."""
        with _copied(self.workspace.folder / ".provisioning") as left:
            history = left / "history.db"
            if history.exists():
                with closing(sqlite3.connect(history)) as connection:
                    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",), (
                        f"{where}: the journal is damaged"
                    )
            states = StateFile(left / "state.json", serials=StateSerials(history)).load_sync()
            completed = {
                (host, name): resource
                for host, of in states.servers.items()
                for name, resource in of.items()
                if resource.state is ResourceState.COMPLETED
            }
            present = {(host, name) for host, of in states.servers.items() for name in of}
            assert self.known.keys() <= present, f"{where}: an entry is gone"
            journal = SqliteHistory(history)
            with closing(journal):
                new = {key: each for key, each in completed.items() if each.run_id != self.known.get(key)}
                for key, each in new.items():
                    assert each.step in _succeeded(journal, each.run_id), f"{where}: {key} is not in the journal"
                lost = set(said.done) - _succeeded(journal, said.run)
                assert not lost, f"{where}: {lost} were called done and are not in the journal"
        wait_until(lambda: self._ended().total() == self._begun().total(), timeout_s=HUNG_S)
        for each in new.values():
            assert self._ended()[each.step] == 1, f"{where}: {each.step} is said to be completed, but its script did not end"
        return self._begun().total()

    def judge_resumed(self, steps: Collection[str], where: object) -> None:
        """Run again and judge that: all of `steps` are done, each script began once in both runs. Raises AssertionError."""
        again = self.workspace.run("taskserv", "create", "--all", timeout_s=HUNG_S)
        assert again.code == 0, (where, again.err)
        entries = self.workspace.state()
        assert {entry["step"] for entry in entries.values()} == set(steps), where
        assert {entry["state"] for entry in entries.values()} == {"completed"}, where
        with closing(SqliteHistory(self.workspace.folder / ".provisioning" / "history.db")) as journal:
            assert journal.run("last").summary.state == "succeeded", where
            for run in {str(entry["run_id"]) for entry in entries.values()}:
                of_run = {str(entry["step"]) for entry in entries.values() if entry["run_id"] == run}
                assert of_run <= _succeeded(journal, run), f"{where}: journal and state do not agree"
        assert self._begun() == self._ended(), where
        assert all(count == 1 for count in self._begun().values()), f"{where}: a script ran twice: {self._begun()}"

    def _begun(self) -> Counter[str]:
        return self.workspace.counts("begin") - self.begun

    def _ended(self) -> Counter[str]:
        return self.workspace.counts("end") - self.ended


def _succeeded(journal: SqliteHistory, run: str) -> set[str]:
    if not run:
        return set()
    try:
        steps = journal.run(run).steps
    except NotFoundError:
        raise AssertionError(f"run {run} has begun and is not in the journal") from None
    return {step.step for step in steps if step.state is StepState.SUCCEEDED}


@contextmanager
def _copied(folder: Path) -> Iterator[Path]:
    """Copy what a run left: looking into a database mends it, and that is the next run's to do."""
    with tempfile.TemporaryDirectory() as place:
        yield Path(shutil.copytree(folder, Path(place) / "left", ignore=shutil.ignore_patterns("logs", "*.lock")))


def forget(workspace: RealWorkspace) -> None:
    """Bring a workspace back to where nothing ever ran."""
    shutil.rmtree(workspace.folder / ".provisioning")
    workspace.trust()
