"""What names may be."""

from __future__ import annotations

import hashlib

NAME_PATTERN = r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z"
"""What a name may be: it becomes a file name, a unit name and a subject token, so one rule holds for all of them."""


def id_from(*parts: str) -> str:
    """Return a run's id that follows from these texts: 32 digits, grouped as those of a UUID. Others give another one."""
    digits = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
