"""What the wrapper answers: frames in two byte streams that may be cut anywhere. Pure: it is fed, it is asked.

Standard output carries what the login shell may print, a begin frame, the output as it is, an end frame. So does a probe's
standard error. A unit's standard error carries lines that begin with the request's nonce, and whatever else anybody
printed, which is kept for error messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from provisioning.adapters.remote.request import HELLO

_SIGN = b"\x1e@"
_NOTES_LIMIT = 4096  # bytes of other people's words that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How it ended, in the wrapper's word: exit, signal, timeout, cancelled, lost, fenced, refused, absent, cut, gone."""

    word: str
    code: int = 0
    text: str = ""


@dataclass(slots=True, kw_only=True)
class Stream:
    """One framed stream. `before` is the end of what came before the begin frame."""

    nonce: str
    before: bytes = b""
    began: bool = False
    adopted: str = ""  # the name of a unit that had been started before
    verdict: Verdict | None = None
    _rest: bytes = field(default=b"", repr=False)
    _end_sign: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes, return what of them is output. After the end frame nothing is."""
        if self.verdict is not None:
            return b""
        self._rest += data
        if not self.began and not self._begin():
            return b""
        return self._output()

    def _begin(self) -> bool:
        sign = _SIGN + self.nonce.encode() + b" begin "
        before, found, after = self._rest.partition(sign)
        line, ended, rest = after.partition(b"\n")
        if not found or not ended:
            self._rest = self._rest[-_NOTES_LIMIT:]
            self.before = before[-_NOTES_LIMIT:]
            return False
        nonce, _, adopted = line.partition(b" ")
        self.before = before[-_NOTES_LIMIT:]
        self.began, self.adopted = True, adopted.decode("ascii", "replace")
        self._end_sign, self._rest = _SIGN + nonce + b" ", rest
        return True

    def _output(self) -> bytes:
        output, found, frame = self._rest.partition(self._end_sign)
        if not found:
            at = len(output) - _overlap(output, self._end_sign)
            self._rest = output[at:]
            return output[:at]
        line, ended, _ = frame.partition(b"\n")
        self._rest = found + frame
        if ended and line.endswith(b" ."):
            whole = line.rpartition(self._end_sign)[2]  # a copy that was cut by its size limit may have half a frame first
            self.verdict, self._rest = _verdict(whole[:-2]), b""
        return output


class Answer:
    """The answer to one request, as far as it has come."""

    def __init__(self, nonce: str, *, framed_errors: bool = False) -> None:
        self._word = f"@{nonce} ".encode()
        self._out = Stream(nonce=nonce)
        self._err = Stream(nonce=nonce) if framed_errors else None
        self._line = b""
        self._notes = b""
        self._said_hello = False
        self._control: Verdict | None = None
        self.waits_for = ""  # the unit that holds the resource

    def feed_out(self, data: bytes) -> bytes:
        """Take bytes of standard output; return what of them is output."""
        return self._out.feed(data)

    def feed_err(self, data: bytes) -> bytes:
        """Take bytes of standard error; return what of them is output."""
        if self._err is not None:
            return self._err.feed(data)
        *lines, self._line = (self._line + data).split(b"\n")
        self._line = self._line[-_NOTES_LIMIT:]
        for line in lines:
            self._take(line)
        return b""

    @property
    def said_hello(self) -> bool:
        """Whether the wrapper runs: login and becoming root have worked."""
        return self._said_hello or self._out.began or HELLO in self._all_notes()

    @property
    def adopted(self) -> str:
        """The name of the unit whose answer it is, when that had been started before."""
        return self._out.adopted

    @property
    def began(self) -> bool:
        """Whether output may follow."""
        return self._out.began

    @property
    def verdict(self) -> Verdict | None:
        """How it ended; None while something may still come."""
        if self._err is not None and self._err.verdict is None:
            return None
        return self._out.verdict or self._control

    @property
    def notes(self) -> str:
        """The last words of anybody else on standard error, one line."""
        lines = self._all_notes().decode("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip() and not line.startswith("@")), "")

    def _all_notes(self) -> bytes:
        return self._err.before if self._err is not None else self._notes + self._line

    def _take(self, line: bytes) -> None:
        if line.startswith(HELLO):
            self._said_hello = True
        elif not line.startswith(self._word):
            self._notes = (self._notes + line + b"\n")[-_NOTES_LIMIT:]
        else:
            word, _, rest = line[len(self._word) :].partition(b" ")
            if word == b"end":
                self._control = _verdict(rest)
            elif word == b"waits":
                self.waits_for = rest.decode("utf-8", "replace")


def _verdict(line: bytes) -> Verdict:
    word, _, rest = line.decode("utf-8", "replace").partition(" ")
    code, _, text = rest.partition(" ")
    return Verdict(word=word, code=int(code) if code.isdigit() else 0, text=text)


def _overlap(data: bytes, sign: bytes) -> int:
    """Return how many bytes at the end of `data` may be the beginning of `sign`."""
    for size in range(min(len(sign) - 1, len(data)), 0, -1):
        if sign.startswith(data[-size:]):
            return size
    return 0
