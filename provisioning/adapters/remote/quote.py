"""Text as a word of bash."""

from __future__ import annotations

import shlex

_PRINTABLE = bytes(range(32, 127))
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 256), *b"'\\")}


def quote(text: str | bytes) -> str:
    """Return `text` as one word of bash, in printable ASCII only, so that characters and bytes count alike. No NUL."""
    data = text.encode() if isinstance(text, str) else text
    if not data.translate(None, _PRINTABLE):
        return shlex.quote(data.decode("ascii"))
    return "$'" + data.decode("latin-1").translate(_ESCAPES) + "'"
