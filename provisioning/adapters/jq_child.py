"""The child process that runs a jq program. Runs as a script, with the standard library and the package jq only.

A filter can go on for ever, take all memory, and holds the GIL meanwhile, so it never runs in the process of an engine.
Arguments: the folder of jq, limits (CPU seconds, memory bytes, output bytes), `raw` or `pretty`, and how many bytes of standard
input are the program; the rest is its input. Writes a line `kind size` and the text to standard output.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator

_LARGEST = 1.7976931348623157e308  # what jq prints of what is larger
_EXACT = 1e17  # below it, a number without a fraction is printed without a point


class _TooLarge(Exception):
    """More output than there may be."""


def main(arguments: list[str]) -> None:
    """Run the program and write what came of it."""
    home, cpu_s, memory_bytes, output_bytes, style, size = arguments
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes),) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s), int(cpu_s) + 1))
    sys.path.append(home)
    sys.set_int_max_str_digits(0)  # what a long number costs is limited already
    kind, data = _outcome(sys.stdin.buffer.read(), int(size), style == "raw", int(output_bytes))
    with os.fdopen(out, "wb") as stream:
        stream.write(f"{kind} {len(data)}\n".encode() + data)


def _outcome(read: bytes, size: int, raw: bool, limit: int) -> tuple[str, bytes]:  # noqa: FBT001
    try:
        program = read[:size].decode("utf-8")
        text = read[size:].decode("utf-8")
        return "ok", b"".join(_limited(_results(program, text, raw), limit))
    except UnicodeDecodeError as error:
        return "error", f"{'program' if error.object == read[:size] else 'input'} is not UTF-8".encode()
    except ValueError as error:  # what jq raises
        return "error", str(error).encode("utf-8", "replace")
    except MemoryError:
        return "memory", b""
    except _TooLarge:
        return "large", b""


def _results(program: str, text: str, raw: bool) -> Iterator[bytes]:  # noqa: FBT001
    """Yield each result as it is printed.

    They leave jq as JSON: as Python's objects long numbers would lose digits. A program that imports cannot be put into
    another one; there that is so.
    """
    import jq  # type: ignore[import-not-found, unused-ignore] # only now, within the limits

    plain = jq.compile(program)
    try:
        results = iter(jq.compile(f"({program}\n) | tojson").input_text(text))
    except ValueError:
        results = map(json.dumps, plain.input_text(text))
    for result in results:
        yield (_printed(result, raw) + "\n").encode("utf-8", "replace")


def _printed(text: str, raw: bool) -> str:  # noqa: FBT001
    if raw and text.startswith('"'):
        return str(json.loads(text))
    try:
        return json.dumps(json.loads(text, parse_float=_number), indent=2, ensure_ascii=False)
    except RecursionError:  # too deep for Python, not for jq
        return text


def _number(text: str) -> float | int:
    value = max(-_LARGEST, min(_LARGEST, float(text)))
    return int(value) if abs(value) < _EXACT and value.is_integer() else value


def _limited(pieces: Iterator[bytes], limit: int) -> Iterator[bytes]:
    for piece in pieces:
        limit -= len(piece)
        if limit < 0:
            raise _TooLarge
        yield piece


if __name__ == "__main__":
    main(sys.argv[1:])
