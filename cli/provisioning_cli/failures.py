"""Errors as text, JSON and exit codes. The only place that turns an exception into something a user reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from provisioning.errors import ConfigError, ProvisioningError

if TYPE_CHECKING:
    from provisioning.core.faults import Fault

INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended


def exit_code(error: BaseException, *, as_json: bool) -> int:
    """Report an error and return the exit code of the program."""
    if isinstance(error, BrokenPipeError):
        return _quiet()
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return _report(Shown("interrupted", "interrupted", "", INTERRUPTED), as_json)
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not as_json:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    if isinstance(error, click.ClickException):
        return _report(_of_click(error), as_json)
    if isinstance(error, ProvisioningError):
        faults = error.faults if isinstance(error, ConfigError) else ()
        return _report(Shown(error.code, error.message, error.hint, error.exit_code, faults), as_json)
    return _report(_of_crash(error), as_json)


class Shown:
    """What is shown of an error."""

    def __init__(self, code: str, message: str, hint: str, exit_code: int, faults: Sequence[Fault] = ()) -> None:
        """`message` may have several lines; the first one is the error."""
        self.code, self.message, self.hint, self.exit_code, self.faults = code, message, hint, exit_code, faults

    def document(self) -> dict[str, object]:
        """Return the JSON of an error (design 7)."""
        facts: dict[str, object] = {"code": self.code, "message": self.message, "hint": self.hint, "exit_code": self.exit_code}
        if self.faults:
            facts["faults"] = [fault_document(fault) for fault in self.faults]
        return {"error": facts}

    def text(self) -> str:
        """Return what a person reads."""
        from provisioning_cli.output import paint

        lines = [f"{paint('error:', 'red', sys.stderr)} {readable(self.message)}"]
        lines += fault_lines(self.faults)
        if self.hint:  # several lines are facts with titles of their own
            title = "" if "\n" in self.hint else f"{paint('hint:', 'cyan', sys.stderr)} "
            lines.append(title + readable(self.hint))
        return "\n".join(lines)


def error_document(error: ProvisioningError) -> dict[str, object]:
    """Return the facts under `error` for a failure that is part of a result."""
    document = Shown(error.code, error.message, error.hint, error.exit_code).document()["error"]
    return dict(document) if isinstance(document, dict) else {}


def error_text(error: ProvisioningError) -> str:
    """Return what a person reads of an error."""
    return Shown(error.code, error.message, error.hint, error.exit_code).text()


def fault_document(fault: Fault) -> dict[str, object]:
    """Return the JSON of a fault (design 7)."""
    return {
        "code": fault.code,
        "severity": fault.severity.value,
        "file": fault.file,
        "path": fault.path,
        "line": fault.line,
        "column": fault.column,
        "message": fault.message,
        "hint": fault.hint,
    }


def fault_lines(faults: Iterable[Fault], stream: object = None) -> list[str]:
    """Return faults grouped by file, and their number."""
    from provisioning_cli.output import count, paint

    stream = sys.stderr if stream is None else stream
    groups: dict[str, list[Fault]] = {}
    for fault in faults:
        groups.setdefault(fault.file, []).append(fault)
    lines: list[str] = []
    for file, members in groups.items():
        lines.append(f"{readable(file) or 'workspace'}: {count(len(members), 'fault')}")
        for fault in members:
            severity = paint(f"{fault.severity.value}:", "yellow" if fault.severity == "warning" else "red", stream)
            path = f" at {readable(fault.path)}" if fault.path else ""
            lines.append(f"  {_place(fault)}{severity} {readable(fault.message)}{path}")
            lines += [f"      {readable(fault.hint)}"] if fault.hint else []
    return lines


def _place(fault: Fault) -> str:
    if not fault.line:
        return ""
    place = f"{fault.line}:{fault.column}" if fault.column else str(fault.line)
    return f"{readable(fault.file)}:{place}: "


def readable(text: str) -> str:
    """Return text whose lines stay lines and whose controls are gone."""
    from provisioning.formats.draw.escape import visible

    return "\n".join(visible(line, 4000) for line in text.splitlines())


def _of_click(error: click.ClickException) -> Shown:
    help_only = isinstance(error, click.exceptions.NoArgsIsHelpError)
    message = "a command is missing" if help_only else " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    hint = f"`{context.command_path} --help` shows what it takes" if context is not None else ""
    return Shown("usage", message[:1].lower() + message[1:], hint, 2)


def _of_crash(error: BaseException) -> Shown:
    kind = type(error).__name__
    where = _crash_report(error)
    hint = f"please report it with the file {where}" if where else "please report it"
    return Shown("crash", f"unexpected {kind}; this is a bug in provisioning", hint, 1)


def _crash_report(error: BaseException) -> str:
    """Write the traceback where only the user reads it; return the path, or nothing when that is impossible."""
    import traceback
    from datetime import UTC, datetime

    from provisioning import __version__
    from provisioning.userfile import cache_folder

    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = cache_folder() / "crashes" / f"{stamp}-{os.getpid()}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"provisioning {__version__}, Python {sys.version}\n{' '.join(sys.argv)}\n\n")
            file.writelines(traceback.format_exception(error))
    except OSError:
        return ""
    return str(path)


def _report(view: Shown, as_json: bool) -> int:
    from provisioning_cli import output

    try:
        if as_json:
            output.write(output.to_json(view.document()))
        else:
            output.message(view.text())
    except BrokenPipeError:
        _quiet()
    except ProvisioningError:  # not even the error can be printed as a result
        output.message(view.text())
    return view.exit_code


def _quiet() -> int:
    """Nobody reads any more: end without another word, also from the interpreter's own flush at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return BROKEN_PIPE
