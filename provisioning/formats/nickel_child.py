"""The child process that evaluates Nickel files. Runs as a script, with the standard library and py-nickel only.

Nickel holds the GIL, can abort the process and can eat all memory, so it never runs in the process that plans. Arguments:
folder of py-nickel, limits (CPU seconds, memory bytes, output bytes), import folders after `--`, files after `--`. For
each file it writes a line `kind size` and the text to standard output; whoever reads knows by the last one where it died.
"""

from __future__ import annotations

import os
import resource
import sys


def main(arguments: list[str]) -> None:
    """Evaluate each file and write what came of it."""
    home, cpu_s, memory_bytes, output_bytes, _, *rest = arguments
    cut = rest.index("--")
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # std.trace must not write between our lines
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes),) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s), int(cpu_s) + 1))
    sys.path.append(home)
    import nickel  # type: ignore[import-untyped]  # only now, within the limits

    for file in rest[cut + 1 :]:
        try:
            kind, text = "ok", nickel.run(f'import "{_quoted(file)}"', rest[:cut])
        except nickel.NickelException as error:
            kind, text = "error", str(error)
        except MemoryError:
            kind, text = "memory", ""
        _write(out, kind, text, int(output_bytes))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "\\%")


def _write(out: int, kind: str, text: str, limit: int) -> None:
    data = text.encode("utf-8", "replace")
    if len(data) > limit:
        kind, data = "large", b""
    with os.fdopen(os.dup(out), "wb") as stream:
        stream.write(f"{kind} {len(data)}\n".encode() + data)


if __name__ == "__main__":
    main(sys.argv[1:])
