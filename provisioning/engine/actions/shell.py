"""Runs a command, a script or a program on the worker's machine. Settings: see docs/reference/actions.md."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import cast

from provisioning.core.outside import Content, Processes, Program
from provisioning.core.ports import Task
from provisioning.engine.actions import Context, Result, Traits
from provisioning.engine.actions.checking import Check, environment, faults, flag, given, refused, text, words
from provisioning.engine.actions.programs import (
    CAPTURE_BYTES,
    GRACE_S,
    OUTPUT_SETTINGS,
    Kept,
    first_line,
    marks,
    result_of,
    variables,
)

SHELL = ("bash", "-c")
SETTINGS: Mapping[str, Check] = {
    "command": text,
    "argv": words,
    "script": text,
    "shell": words,
    "env": environment,
    "clean_env": flag,
    "cwd": text,
    "stdin": text,
    **OUTPUT_SETTINGS,
}


def check_settings(settings: Mapping[str, object]) -> list[str]:
    """Return what is wrong with the settings of a shell step, all of it."""
    found = faults(settings, SETTINGS)
    if len(given(settings, "command", "argv", "script")) != 1:
        found.append("exactly one of command, argv and script has to be there")
    shell = settings.get("shell")
    if settings.get("argv") is not None and shell is not None:
        found.append("argv is run without a shell: leave shell out")
    elif settings.get("command") is not None and isinstance(shell, list | tuple) and not _takes_text(shell):
        found.append("shell has to end with the option after which it takes a command, such as -c")
    return found


class ShellAction:
    """The action `shell`."""

    traits = Traits()

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    async def run(self, task: Task, context: Context) -> Result:
        """Run it. Cancelling ends every process that it has started, and returns when they are gone."""
        settings = task.action.settings
        env, wrong = variables(task)
        if found := check_settings(settings) + wrong:
            return refused(found)
        label, line = _words(settings)
        grace = settings.get("grace_s")
        program = Program(
            words=line,
            env={**env, **marks(task)},
            clean_env=bool(settings.get("clean_env")),
            cwd=str(settings.get("cwd") or ""),
            stdin=str(settings.get("stdin") or "").encode("utf-8", "surrogateescape"),
            grace_s=GRACE_S if grace is None else float(cast("float", grace)),
        )
        limit = settings.get("capture_bytes")
        kept = Kept(context, CAPTURE_BYTES if limit is None else int(cast("int", limit)))
        ended = await self._processes.run(program, kept.ears)
        return result_of(ended, label, kept, context, wants_json=settings.get("output") == "json")


def _words(settings: Mapping[str, object]) -> tuple[str, list[str | Content]]:
    """Return what messages call it, and what is run."""
    if settings.get("argv") is not None:
        argv = cast("Sequence[str]", settings["argv"])
        return first_line(shlex.join(argv)), list(argv)
    shell = cast("Sequence[str] | None", settings.get("shell"))
    if settings.get("command") is not None:
        command = str(settings["command"])
        return first_line(command), [*(shell or SHELL), command]
    script = str(settings["script"])
    starter = _without_text(shell) if shell else _shebang(script) or _without_text(SHELL)
    return first_line(script), [*starter, Content(script.encode("utf-8", "surrogateescape"))]


def _takes_text(shell: Sequence[object]) -> bool:
    return len(shell) > 1 and str(shell[-1]).startswith(("-", "/"))


def _without_text(shell: Sequence[str]) -> list[str]:
    """Return a shell without the option that makes it take a text: `bash -ec` becomes `bash -e`."""
    *rest, last = shell
    if last.lower() in ("-c", "-command"):
        return rest
    if rest and last.startswith("-") and not last.startswith("--") and last.endswith("c"):
        return [*rest, last[:-1]]
    return [*shell]


def _shebang(script: str) -> list[str]:
    """Return the interpreter of a script and its one argument, as the kernel would: the file itself is never executed."""
    if not script.startswith("#!"):
        return []
    return script.partition("\n")[0][2:].strip().split(None, 1)
