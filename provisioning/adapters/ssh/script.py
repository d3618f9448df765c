"""What we say to a plain `sh` on another machine, and how we tell a command's own output from the rest.

The command that sshd gets is constant. The program follows on standard input: variables and scripts never stand in arguments.
A line with a number of our own comes before the command's output and another one behind it, on both streams, so neither what
a login script prints nor what a command leaves running matters.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence

from provisioning.core.frozen import dataclass

# A process group of our own, so that all of it can be stopped: OpenSSH makes one for every command, others have setsid.
COMMAND = 'exec sh -c \'kill -s 0 -- -$$ 2>/dev/null || exec setsid sh -c "$0" "$0"; eval "$(cat)"\' \'eval "$(cat)"\''
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_BEFORE_BYTES = 2048
_SHEBANG = re.compile(rb"#![ \t]*([^ \t\n\r]+)(?:[ \t]+([^\n\r]*?))?[ \t]*\r?(?:\n|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One command on its way. `number` is random, and only letters and digits."""

    number: str
    script: bytes
    shell: Sequence[str]  # empty: the script's `#!`, else the login's shell
    env: Mapping[str, str]

    @property
    def hello(self) -> bytes:
        """What comes before the command's output; the number of the process group follows, and the end of the line."""
        return f"@{self.number} begins ".encode()

    @property
    def end(self) -> bytes:
        """What comes behind the command's output; its exit code follows, and the end of the line."""
        return f"@{self.number} ended ".encode()

    def unfit(self) -> str:
        """Return why no shell could take it, or nothing."""
        if b"\0" in self.script:
            return "the script has a NUL byte"
        for name, value in self.env.items():
            if not _NAME.match(name):
                return f"a shell takes no variable of the name {name!r}"
            if "\0" in value:
                return f"the value of {name} has a NUL byte"
        return ""

    def program(self) -> bytes:
        """Return what the shell reads from its standard input.

        All of it stands in braces: what a broken link has cut off is not run in part, it is no program at all.
        """
        variables = {**self.env, "PROVISIONING_ERRAND": self.number}
        hello, end, mark = self.hello.decode().rstrip(), self.end.decode().rstrip(), f"END_{self.number}"
        lines = [
            "{",
            *(f"{name}={shlex.quote(value)}; export {name}" for name, value in variables.items()),
            f"echo '{hello}' $$; echo '{hello}' $$ >&2",
            "trap : TERM INT HUP QUIT USR1 USR2",  # it says how the command ended, which does not inherit this
            f"{self._words()} /dev/fd/3 3<<'{mark}' </dev/null",
        ]
        opening = "\n".join(lines).encode("utf-8", "surrogateescape")
        body = self.script if self.script.endswith(b"\n") else self.script + b"\n"
        closing = f"{mark}\nset -- $?\necho '{end}' $1; echo '{end}' $1 >&2\nexit $1\n}}\n"
        return opening + b"\n" + body + closing.encode()

    def _words(self) -> str:
        if self.shell:
            return shlex.join(self.shell)
        if found := _SHEBANG.match(self.script):
            words = [part.decode("utf-8", "surrogateescape") for part in found.groups() if part]
            return shlex.join(words)
        return '"${SHELL:-/bin/sh}"'


class Heard:
    """One stream of an errand: passes on what stands between the two lines of ours."""

    def __init__(self, errand: Errand, output: Callable[[bytes], None]) -> None:
        self.before = b""  # the last of what came before
        self.begun: bytes | None = None  # what stands behind `hello`
        self.ended: bytes | None = None  # what stands behind `end`
        self._hello, self._end, self._output = errand.hello, errand.end, output
        self._held = b""

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        if self.ended is not None:
            return
        self._held += data
        if self.begun is None:
            self.begun = self._line(self._hello, self._aside)
        if self.begun is not None:
            self.ended = self._line(self._end, self._output)

    def mute(self) -> None:
        """Pass nothing on any more."""
        self._output = lambda _data: None

    def finish(self) -> None:
        """Pass on what is still held: no more will come."""
        if self.begun is not None and self.ended is None and self._held:
            self._output(self._held)
        elif self.begun is None:
            self._aside(self._held)
        self._held = b""

    def _aside(self, data: bytes) -> None:
        self.before = (self.before + data)[-_BEFORE_BYTES:]

    def _line(self, mark: bytes, output: Callable[[bytes], None]) -> bytes | None:
        """Pass on what stands before a mark; return what stands behind it, once its line is complete."""
        at = self._held.find(mark)
        whole = at >= 0
        if not whole:
            at = len(self._held) - _begun(self._held, mark)
        if at:
            before, self._held = self._held[:at], self._held[at:]
            output(before)
        if not whole or b"\n" not in self._held:
            return None
        line, _, self._held = self._held.partition(b"\n")
        return line[len(mark) :]


def _begun(data: bytes, mark: bytes) -> int:
    """Return how many bytes at the end of `data` may be the beginning of `mark`."""
    return next((size for size in range(min(len(mark) - 1, len(data)), 0, -1) if data.endswith(mark[:size])), 0)
