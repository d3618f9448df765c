"""What names may be."""

from __future__ import annotations

NAME_PATTERN = r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z"
"""What a name may be: it becomes a file name, a unit name and a subject token, so one rule holds for all of them."""
