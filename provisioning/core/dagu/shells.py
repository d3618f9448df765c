"""The words that start a shell with a command, or an interpreter with a script."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from provisioning.core.frozen import dataclass

POSIX = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"})
"""Shells that take `-c TEXT NAME ARGUMENTS...`, and `-e`."""
_OPTIONS = {"pwsh": "-Command", "powershell": "-Command", "cmd": "/c", "cmd.exe": "/c"}
STANDARD_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """A shell: program and options. `said` is one that the file names; another one may get `-e`."""

    words: tuple[str, ...]
    said: bool = False

    @property
    def posix(self) -> bool:
        """Whether it takes arguments behind a text."""
        return self.name in POSIX

    @property
    def name(self) -> str:
        """Its program, without the folder."""
        return self.words[0].rpartition("/")[2]


def default_shell(environment: Mapping[str, str], *, errexit: bool) -> Shell:
    """Return the shell of a file that names none: `$SHELL`, else `sh`."""
    shell = Shell(words=(environment.get("SHELL") or "sh",))
    return Shell(words=(*shell.words, "-e")) if errexit and shell.posix else shell


def command_words(shell: Shell, text: str, arguments: Sequence[str] = ()) -> list[str]:
    """Return the words that run a text. Arguments are `$1`, `$2` and so on, where the shell knows such."""
    start = [*shell.words] if _takes_text(shell.words) else [*shell.words, _OPTIONS.get(shell.name.lower(), "-c")]
    return [*start, text, *((shell.name, *arguments) if shell.posix and arguments else ())]


def _takes_text(words: Sequence[str]) -> bool:
    """Whether the last word is the option behind which a text comes: `-c`, `-ec`, `-Command`."""
    *rest, last = words
    return bool(rest) and (last in {"-c", "-Command", "/c"} or (last[:1] == "-" and last[:2] != "--" and last[-1] == "c"))


def script_words(shell: Shell) -> list[str]:
    """Return the words before the file of a script: the shell without the option that makes it take a text."""
    *rest, last = shell.words
    if not rest or not last.startswith("-") or last.startswith("--"):
        return [*shell.words]
    if last in {"-c", "-Command"}:
        return rest
    return [*rest, last[:-1]] if last.endswith("c") and shell.posix else [*shell.words]


def interpreter(script: str) -> list[str]:
    """Return the interpreter that a script names in its first line, and its one argument; nothing where it names none."""
    return script.partition("\n")[0][2:].strip().split(None, 1) if script.startswith("#!") else []


def split_words(text: str) -> list[str]:
    """Return the words of a program's command line; text with a quote that is never closed is split at blanks."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def with_standard_path(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment whose PATH has the standard folders, last, so that commands are found whoever starts us."""
    folders = [one for one in environment.get("PATH", "").split(":") if one]
    missing = [one for one in STANDARD_PATH if one not in folders]
    return {**environment, "PATH": ":".join([*folders, *missing])}
