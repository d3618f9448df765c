"""What all steps of a run share, once it has been evaluated: the output of the step `(setup)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from types import MappingProxyType
from typing import Any

from provisioning.core.dagu.declared import CLEAN_UP_S, DagFile, Habits, Secret
from provisioning.core.dagu.stored import from_plain, to_plain
from provisioning.core.frozen import dataclass

NOTHING: Mapping[str, str] = MappingProxyType({})
MARK = "dagu"
"""The field of an output that tells a context from what steps leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Evaluated, apart from what refers to secrets: their values are never kept. `variables` are all that steps get."""

    name: str
    file: str = ""
    variables: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    params: Mapping[str, str] = field(default_factory=lambda: NOTHING)  # by name
    arguments: Sequence[str] = ()  # all parameters, by their numbers
    shell: tuple[str, ...] = ()
    shell_said: bool = False
    cwd: str = ""
    clean_up_s: int = CLEAN_UP_S
    log: str = ""  # of the run
    depth: int = 0  # how many DAGs this one is inside
    habits: Habits = field(default_factory=Habits)
    secrets: tuple[Secret, ...] = ()
    documents: Mapping[str, DagFile] = field(default_factory=lambda: MappingProxyType({}))
    package: str = ""  # the digest of what the DAG's file and those beside it came in; "": they lie where they are read
    folder: str = ""  # where its files were laid out when this was evaluated
    root: str = ""  # the run that all this began with: what it and those inside it have of one package is one folder

    def moved_to(self, folder: str) -> Context:
        """Return the same on a machine, or for a run, that has the files of the package in another folder."""
        if not self.folder or folder == self.folder:
            return self

        def moved(path: str) -> str:
            inside = path == self.folder or path.startswith(f"{self.folder}/")
            return folder + path[len(self.folder) :] if inside else path

        variables = {name: moved(value) for name, value in self.variables.items()}
        return replace(self, folder=folder, file=moved(self.file), cwd=moved(self.cwd), variables=variables)

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {MARK: True, **to_plain(self)}


def read_context(value: object) -> Context | None:
    """Return the context that `document` has written; None for anything else."""
    if not isinstance(value, Mapping) or MARK not in value:
        return None
    return from_plain({key: one for key, one in value.items() if key != MARK}, Context)


def find_context(args: object) -> Context | None:
    """Return the context among the arguments of a step: given to it, or for handlers among what steps have left."""
    if not isinstance(args, Mapping):
        return None
    above = args.get("up")
    left = above.values() if isinstance(above, Mapping) else ()
    return next((found for one in (args.get("run"), *left) if (found := read_context(one)) is not None), None)
