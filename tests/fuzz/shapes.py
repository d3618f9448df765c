"""What must hold of anything that is shown, whatever it is made from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from unicodedata import category
from xml.etree import ElementTree

from provisioning.core.faults import Fault
from provisioning.formats.draw import notation
from provisioning.formats.draw.escape import width
from provisioning.formats.draw.picture import Picture
from provisioning.formats.draw.svg import svg
from provisioning.formats.draw.tree import tree
from provisioning.userfile import cache_folder

_QUOTED = re.compile(r'"(?:[^"\\\n]|\\[^\n])*+"')
_DOT = re.compile(
    r'digraph dag \{|\}|  rankdir=TB;|  node \[[a-z=, ""]*\];|  f\d+ \[[a-z=, ""]*\];|  f\d+ -> f\d+(?: \[[a-z=, ""]*\])?;'
    r'|  subgraph cluster_apart \{ label=""; style=dashed;(?: f\d+;)+ \}'
)
_MERMAID = re.compile(
    r'flowchart TD|  f\d+\["(?:[^"<>#;`{}\\]|#\d+;|<br/>)*+"\](?::::[a-z]+)?'
    r'|  f\d+ (?:-->|-\. [a-z]+ \.->) f\d+|  classDef [^"]*|  subgraph apart \[handlers\]|    f\d+|  end'
)


def seemly(faults: Iterable[Fault]) -> None:
    """Faults are one printable line each, of bounded length, with places that can be."""
    for fault in faults:
        shown = fault.message + fault.hint + fault.path + fault.file
        assert shown.isprintable(), shown
        assert len(fault.message) < 700, fault.message
        assert fault.line >= 0, fault
        assert fault.column >= 0, fault
        assert fault.code.isidentifier(), fault


def no_crash(said: str) -> None:
    """No traceback, and no report of a bug; where there is one, fail with what it says."""
    assert "Traceback" not in said, said
    if "this is a bug" in said:
        reports = sorted((cache_folder() / "crashes").glob("*"))
        text = "".join(report.read_text("utf-8") for report in reports)
        for report in reports:
            report.unlink()
        raise AssertionError(f"{said}\n{text}")


def safe_for_a_terminal(text: str, *, lines: bool = True) -> None:
    """No control code, direction mark or half character; line breaks only where there may be lines."""
    for char in set(text):
        assert (lines and char == "\n") or category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}, repr(char)


def strict_json(text: str) -> object:
    """Return what JSON says, read as strictly as any other program would, and as safe as text for a terminal."""
    text.encode("utf-8")
    for char in set(text):
        assert char == "\n" or category(char) not in {"Cc", "Cs"}, repr(char)
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(name: str) -> object:
    raise AssertionError(f"{name} is no JSON")


def drawn_well(drawn: Picture) -> None:
    """Every drawing of it can be read by whoever reads its notation."""
    for text in (svg(drawn), notation.mermaid(drawn), notation.dot(drawn), tree(drawn, 60, _unpainted)):
        safe_for_a_terminal(text)
    root = ElementTree.fromstring(svg(drawn))
    assert root.tag.endswith("svg")
    assert not [one for one in root.iter() if one.tag.rpartition("}")[2] in {"script", "image", "a", "foreignObject", "use"}]
    for line in notation.mermaid(drawn).splitlines():
        assert _MERMAID.fullmatch(line), line
    for line in notation.dot(drawn).splitlines():
        assert _DOT.fullmatch(_QUOTED.sub('""', line)), line
    assert max((width(line) for line in tree(drawn, 60, _unpainted).splitlines()), default=0) <= 60
    strict_json(json.dumps(notation.rows(drawn), ensure_ascii=True))


def _unpainted(text: str, _style: str, _stream: object = None) -> str:
    return text
