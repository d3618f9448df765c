"""The sandbox that templates are rendered in: immutable, and no single operation, call or filter in it goes on for ever.

A template is its author's code, so a loop may be as long as it likes. What is refused are the accidents that nobody could
even interrupt: `9 ** 9 ** 9`, a text repeated until memory is full, a width of a thousand million columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from math import prod
from typing import Any

from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

LARGEST = 16 * 1024 * 1024  # items of one result, or bits of a number
WIDEST = 1_000_000  # columns, or items that are filled up
PARAGRAPHS = 100  # of filler text, which jinja2 makes slowly
_WIDE = re.compile(r"[0-9]{7}")
_PADDING_CALLS = frozenset({"ljust", "rjust", "center", "zfill", "expandtabs", "to_bytes"})
_PADDING_FILTERS = ("center", "indent", "batch", "slice")


class Sandbox(ImmutableSandboxedEnvironment):
    """Also one in which `params.items` is the param of that name, not the method of a mapping."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 as jinja2 has it
        super().__init__(**options)
        self.filters |= _BOUNDED

    def getattr(self, obj: Any, attribute: str) -> Any:  # noqa: ANN401 as jinja2 has it
        """Return an attribute, of a mapping the item."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 as jinja2 has it
        """Return what an operator makes. Raises OverflowError for what would be too large."""
        _refuse_large(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, N805 as jinja2 has it
        """Call a function or method. Raises OverflowError for what would pad or fill without end."""
        name = getattr(__obj, "__name__", "")
        if name in _PADDING_CALLS:
            _refuse_wide((*args, *kwargs.values()))
        elif name == "generate_lorem_ipsum":
            _refuse_wide((*args, *kwargs.values()), PARAGRAPHS)
        elif name in {"format", "format_map"}:
            text = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", "")  # jinja2 wraps them, to guard attributes
            _refuse_wide((text, *args, *kwargs.values()))
        return super().call(__context, __obj, *args, **kwargs)


def _refuse_large(operator: str, left: object, right: object) -> None:
    """Raise OverflowError where the result would be larger than anybody wants."""
    sizes = [len(one) for one in (left, right) if isinstance(one, str | bytes | list | tuple)]
    numbers = [one for one in (left, right) if isinstance(one, int)]
    if operator == "%" and isinstance(left, str):
        _refuse_wide((left, *(right if isinstance(right, tuple) else (right,))))
    elif operator == "*" and sizes:
        _refuse_past(prod([*sizes, *numbers]))
    elif len(numbers) == 2:
        bits = [number.bit_length() for number in numbers]
        _refuse_past(bits[0] * numbers[1] if operator == "**" else sum(bits))


def _refuse_past(size: int) -> None:
    if size > LARGEST:
        raise OverflowError("the result would be too large")


def _refuse_wide(values: Iterable[object], most: int = WIDEST) -> None:
    """Raise OverflowError for a width or count past `most`, in a text that is a format too."""
    for value in values:
        if (isinstance(value, int) and value > most) or (isinstance(value, str) and _WIDE.search(value)):
            raise OverflowError(f"a width or count is larger than {most:,}")


def _bounded(plain: Callable[..., Any], chosen: Callable[[tuple[Any, ...]], Iterable[object]]) -> Callable[..., Any]:
    """Return a filter that pads or fills, with its widths limited. `chosen` are those of its arguments that may be one."""

    @wraps(plain)  # keeps the marks by which jinja2 knows what else to pass
    def limited(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 as jinja2 has it
        _refuse_wide((*chosen(args), *kwargs.values()))
        return plain(*args, **kwargs)

    return limited


_BOUNDED = {name: _bounded(FILTERS[name], lambda args: args[1:]) for name in _PADDING_FILTERS} | {
    "format": _bounded(FILTERS["format"], lambda args: args)
}
"""The filters of jinja2 that need a limit; made once, since every bundle has an environment of its own."""
