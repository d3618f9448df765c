"""Text of users made safe for each notation. Control characters never pass: they become visible replacements."""

from __future__ import annotations

from unicodedata import category, east_asian_width

LABEL_LIMIT = 200  # characters; longer names would make a drawing unusable


def visible(text: str, limit: int = LABEL_LIMIT) -> str:
    """Return one printable line of at most `limit` characters: controls, line breaks and direction marks become `�`."""
    clean = text[: limit + 1]
    if not clean.isprintable():  # as good as everything is
        clean = "".join("�" if category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else char for char in clean)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def xml(text: str) -> str:
    """Return text for SVG content and attributes."""
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def dot(text: str) -> str:
    """Return text for a quoted DOT string."""
    return visible(text).replace("\\", "\\\\").replace('"', '\\"')


def mermaid(text: str) -> str:
    """Return text for a quoted Mermaid label: everything that is not plain becomes a character reference."""
    return "".join(char if char.isalnum() or char in " .,-_:/+" else f"#{ord(char)};" for char in visible(text))


def width(text: str) -> int:
    """Return how many columns a terminal needs for printable text."""
    if text.isascii():
        return len(text)
    return sum(0 if category(char) in {"Mn", "Me"} else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def cut(text: str, columns: int) -> str:
    """Return text that fits into `columns`, with an ellipsis where something was taken away."""
    if width(text) <= columns:
        return text
    taken, kept = 0, 0
    for char in text:
        taken += width(char)
        if taken > columns - 1:
            break
        kept += 1
    return f"{text[:kept]}…" if columns > 0 else ""
