"""Steps for a shell: `command`, `script`, `run`, `exec`, and which shell."""

from __future__ import annotations

import re

from provisioning.core.dagu.doing import Doing, ShellDoing, Text
from provisioning.core.dagu.text import references
from provisioning.formats.dagu.dialect import Dialect
from provisioning.formats.dagu.reading import Record, Spot
from provisioning.formats.dagu.spelling import EXEC, SHELL
from provisioning.formats.dagu.within import Within

_SPACE = re.compile(r"\s")


def read_shell(record: Record) -> tuple[Text, ...]:
    """Return `shell` and `shell_args`."""
    return (*record.texts("shell"), *record.texts("shell_args"))


def read_shell_doing(step: Record, options: Spot | None, within: Within) -> Doing:
    """Return what goes to a shell; a step that says nothing at all is a fault."""
    extra = options.record(SHELL) if options is not None else Record(step.spot, {})
    shell = read_shell(extra) or read_shell(step)
    if step.has("exec"):
        return ShellDoing(argv=_argv(step.spots["exec"]), shell=())
    if step.has("run"):
        return _run(step.spots["run"], shell)
    command, script = (step.at(key) or extra.at(key) for key in ("command", "script"))
    if command is None and script is None:
        step.spot.fault("missing_key", "found a step that does nothing, expected command, script, run, call or action")
        return ShellDoing()
    if script is not None:
        _expanded(script)
    args = extra.texts("args")
    if args and command is None:
        extra.spots["args"].fault("misplaced_key", "found args without command")
    elif args and command is not None:
        return ShellDoing(argv=(*command.texts(), *args))
    return _commands(command, script.text() if script is not None else None, shell, within)


def _run(spot: Spot, shell: tuple[Text, ...]) -> Doing:
    _expanded(spot)
    if not spot.is_list:
        text = spot.text()
        if text is not None and "\n" in text.raw.strip():
            return ShellDoing(script=text, shell=shell)
    return ShellDoing(commands=spot.texts(), shell=shell)


def _argv(spot: Spot) -> tuple[Text, ...]:
    record = spot.record(EXEC)
    if not record.has("command"):
        spot.fault("missing_key", "exec needs command")
    return (*record.texts("command"), *record.texts("args"))


def _commands(command: Spot | None, script: Text | None, shell: tuple[Text, ...], within: Within) -> Doing:
    if command is None:
        return ShellDoing(script=script, shell=shell)
    _expanded(command)
    texts = command.texts()
    if not command.is_list:
        text = texts[0] if texts else None
        if script is None and text is not None and "\n" in text.raw.strip():
            return ShellDoing(script=text, shell=shell)
        return ShellDoing(commands=texts, script=script, shell=shell)
    if _is_argv(command, texts, within, script):
        return ShellDoing(argv=texts, script=script, shell=shell)
    return ShellDoing(commands=texts, script=script, shell=shell)


def _is_argv(command: Spot, texts: tuple[Text, ...], within: Within, script: Text | None) -> bool:
    """A list was a program and its arguments up to Dagu 1.29, and is several commands since."""
    dialect = within.recognised.dialect
    if within.recognised.new or len(texts) < 2:
        return False
    argv = dialect is Dialect.A0 or script is not None or not any(_SPACE.search(text.raw.strip()) for text in texts)
    if dialect is not Dialect.A0:
        read = "a program and its arguments" if argv else "commands one after the other"
        command.note("command_list", f"the list is read as {read}; before Dagu 1.30 it was the first, since then the second")
    return argv


def _expanded(spot: Spot) -> None:
    """Note references in shell text that no shell understands: Dagu expands them in the text (Y8)."""
    for item in spot.items():
        if item.scalar is None or not isinstance(item.scalar.value, str) or "${" not in item.scalar.value:
            continue
        if any(one.path for one in references(item.scalar.value)):
            message = "references with a path are put into the text of the command before the shell reads it, as Dagu does"
            item.note("text_expansion", message)
