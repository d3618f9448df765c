"""Patterns of Dagu files: Go's syntax, which is RE2's, so that no pattern keeps a run busy."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from provisioning.core.shown import escaped, quote
from provisioning.errors import ConfigError

MARK = "re:"


def finds(pattern: str, text: str) -> bool:
    """Whether a pattern, without its `re:`, is anywhere in a text; `^` and `$` are at lines, letters count as they are.

    Takes time linear in the text. Raises ConfigError for a pattern that is none.
    """
    return _compiled(pattern).search(text.encode("utf-8", "replace")) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:  # noqa: ANN401 - the library has no types
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(b"(?m)" + pattern.encode("utf-8", "replace"), options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace").replace("(?m)", "")
        raise ConfigError(f"{quote(pattern)} is not a regular expression: {escaped(reason)}") from error
