"""No regular expression of ours takes long, whatever the text: each is found in the source, and attacked."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fuzz.target import within

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "provisioning").rglob("*.py"), *(ROOT / "cli").rglob("*.py")])
SOURCES = {path: path.read_text("utf-8") for path in FILES}
QUICK, SOAK = 8_000, 100_000  # characters, or bytes; what is quadratic takes three times the limit for the fewer already
LIMIT_S = 0.05  # of processor time
ANYWHERE = {"search", "sub", "findall", "finditer", "split"}
METHODS = ("match", "fullmatch", "search", "sub", "findall", "finditer", "split")
FUNCTIONS = {"re.compile", *(f"re.{method}" for method in METHODS)}
WRITTEN = re.compile(rf"\bre\.(?:compile|{'|'.join(METHODS)})\(")
NAMED = re.compile(r"""(\w+) = (r?b?(?:"[^"]*"|'[^']*'))(?:  #.*)?""")
TREES = {path: ast.parse(text) for path, text in SOURCES.items() if WRITTEN.search(text)}  # every worker collects: be quick
COMMON = ("a", "0", " ", "\n", "/", ".", '"', "\\", "\x1b", "é")


@dataclass(frozen=True, kw_only=True)
class Used:
    """A pattern, with the ways in which it is used."""

    place: str
    pattern: re.Pattern[Any]
    methods: tuple[str, ...]


def literal(node: ast.expr, names: dict[str, str | bytes]) -> str | bytes | None:
    """Return a pattern as far as it stands in the source: what is put into it is an `x`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [
            str(part.value) if isinstance(part, ast.Constant) else str(names.get(_name(part), "x")) for part in node.values
        ]
        return "".join(parts)
    return names.get(ast.unparse(node))


def _name(part: ast.expr) -> str:
    return ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else ""


def flags_of(call: ast.Call) -> int:
    """Return the flags that a call names."""
    said = [*call.args[1:], *(one.value for one in call.keywords)]
    words = {word for one in said for word in re.findall(r"re\.([A-Z]+)", ast.unparse(one))}
    return sum(int(getattr(re, word)) for word in words)


def constants() -> dict[str, str | bytes]:
    """Return the texts that the modules give names to, each on a line."""
    found: dict[str, str | bytes] = {"KEY_PARTS": "64"}
    for line in ("\n".join(SOURCES.values())).splitlines():
        if named := NAMED.fullmatch(line):
            found[named[1]] = ast.literal_eval(named[2])
    return found


def every_pattern() -> Iterator[Used]:
    """Yield all that is compiled or used by a function of `re`."""
    names, everything = constants(), "\n".join(SOURCES.values())
    for path, tree in TREES.items():
        above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        for node in filter(_is_of_re, above):
            assert isinstance(node, ast.Call)
            if (text := literal(node.args[0], names)) is None:
                continue
            function, where = ast.unparse(node.func), (SOURCES[path], everything)
            methods = {function.removeprefix("re.")} if function != "re.compile" else set(ways(node, above, *where))
            place = f"{path.relative_to(ROOT)}:{node.lineno}"
            yield Used(place=place, pattern=re.compile(text, flags_of(node)), methods=tuple(sorted(methods)))


def _is_of_re(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func) in FUNCTIONS


def ways(compiled: ast.Call, above: dict[ast.AST, ast.AST], own: str, everything: str) -> Iterator[str]:
    """Yield the methods that are called on a compiled pattern, wherever its name stands; a private one is its module's."""
    holder = above[compiled]
    if isinstance(holder, ast.Attribute):
        yield holder.attr
        return
    while not isinstance(holder, ast.Assign | ast.stmt):
        holder = above[holder]
    name = ast.unparse(holder.targets[0]) if isinstance(holder, ast.Assign) else ""
    text = own if name.startswith("_") else everything
    found = re.findall(rf"\b{re.escape(name)}\.({'|'.join(METHODS)})\(", text) if name else []
    yield from found or ("fullmatch", "match")  # given to somebody else, who asks whether a name fits


def attacks(pattern: re.Pattern[Any], size: int, *, anywhere: bool) -> Iterator[list[Any]]:
    """Yield long texts of what the pattern looks for: one character over and over, or two in turn, a misfit at the end.

    `anywhere`: it is looked for from each character on, so that of two in turn either may be the first.
    """
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    own = [char for char in dict.fromkeys(text) if not char.isalnum() or char in "xn0"][:12]
    chars = list(dict.fromkeys([*COMMON, *own]))
    for place, one in enumerate(chars):
        units = [one if one == two else one + two for two in (chars[place:] if anywhere else chars)]
        made = [unit * (size // len(unit)) + end for unit in units for end in ("", "!", "\0", '"')]
        yield made if isinstance(pattern.pattern, str) else [text.encode("utf-8")[:size] for text in made]


def call(used: Used, method: str) -> Callable[[Any], object]:
    """Return what uses the pattern as our code does."""
    if method == "sub":
        empty = "" if isinstance(used.pattern.pattern, str) else b""
        return lambda text: used.pattern.sub(empty, text)
    if method == "finditer":
        return lambda text: sum(1 for _ in used.pattern.finditer(text))
    return getattr(used.pattern, method)  # type: ignore[no-any-return]


def took_s(run: Callable[[Any], object], *texts: Any) -> float:
    """Return the processor time of all uses together; the least of three where the first was slow."""
    least = 99.0
    for _ in range(3 if len(texts) == 1 else 1):
        began_s = time.process_time()
        with within(0.5 * len(texts)):
            for text in texts:
                run(text)
        least = min(least, time.process_time() - began_s)
        if least < LIMIT_S:
            break
    return least


PATTERNS = list(every_pattern())


def test_every_pattern_of_the_source_is_found() -> None:
    written = sum(len(re.findall(rf"\bre\.(?:compile|{'|'.join(METHODS)})\(", path.read_text("utf-8"))) for path in SOURCES)
    built_at_run_time = 1  # the masker's, of the secrets themselves
    assert len(PATTERNS) == written - built_at_run_time


@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", [QUICK, pytest.param(SOAK, marks=pytest.mark.soak)])
@pytest.mark.parametrize("used", PATTERNS, ids=lambda used: used.place)
def test_no_pattern_takes_long_on_any_text(used: Used, size: int) -> None:
    for method in used.methods:
        run = call(used, method)
        for texts in attacks(used.pattern, size, anywhere=method in ANYWHERE):
            for text in () if took_s(run, *texts) < LIMIT_S else texts:
                took = took_s(run, text)
                assert took < LIMIT_S, (method, used.pattern.pattern, text[:4], text[-2:], f"{took:.3f} s")
