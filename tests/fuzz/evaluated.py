"""Targets: what is evaluated rather than read. Nickel in its child process, templates, the patterns of gates, secrets."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from fuzz.documents import dags
from fuzz.shapes import seemly
from fuzz.target import Check, Target
from fuzz.words import damaged, hostile, noise, values
from hypothesis import strategies as st
from support.bundles import DictSecrets, request_for

from provisioning.adapters.render import Compiled, Renderer
from provisioning.adapters.secrets import ReferenceSecrets
from provisioning.core.health import matches
from provisioning.errors import ConfigError
from provisioning.formats.dagdoc import read_dag
from provisioning.formats.export import dump_dag
from provisioning.formats.imports import check_imports
from provisioning.formats.jsontext import parse_json
from provisioning.formats.nickel import NickelLimits, evaluate, frames, outcome
from provisioning.formats.schemas import contract_folder

LIMITS = NickelLimits(wall_s=20, cpu_s=2, memory_bytes=512 << 20, output_bytes=1 << 20)
WORDS = (
    *(b" let x = ", b" in ", b" fun a => ", b"import ", b'import "x.ncl"', b'import "/etc/hostname"', b'import "../x"'),
    *(b"std.string", b" | "),
    *(b"%{x}", b'm%"', b'"%', b"'Tag", b"match {", b"=>", b" & ", b" @ ", b" ++ ", b"rec", b"{..}", b"forall a.", b"# "),
    *(b"Number", b"\xff"),
    *(b"let rec f = fun x => f x in f 1", b"std.array.range 0 100000000", b"\x1b[31m", b"(" * 300, b"[" * 3000),
    *(b"{ a = " * 300, b'"', b"\0"),
)  # fmt: skip


def as_nickel(document: object) -> bytes:
    """Write a valid DAG as Nickel."""
    return dump_dag(read_dag(document).dag, "nickel").encode()


nickel_files = damaged(dags().map(as_nickel), WORDS) | noise | st.lists(st.sampled_from(WORDS), max_size=6).map(b"".join)


def nickel_file(folder: Path) -> Check:
    """A file of Nickel, evaluated in its child: JSON, or faults that name no folder of this machine."""

    def check(data: bytes) -> str:
        path = folder / "dag.ncl"
        path.write_bytes(data)
        (found,) = evaluate([path], root=folder, limits=LIMITS)
        seemly(found.faults)
        assert str(folder) not in "".join(fault.message + fault.hint + fault.file for fault in found.faults)
        if found.faults:
            return f"refused: {found.faults[0].code}"
        assert not [fault for fault in parse_json(found.data).faults if fault.code == "syntax"]
        return "accepted"

    return check


def nickel_imports(folder: Path) -> Check:
    """What a file imports, before it is evaluated: nothing outside of the workspace, by whatever name."""
    (folder / "inside").mkdir()
    (folder / "inside" / "x.ncl").write_text("1", "utf-8")
    (folder / "outside.ncl").write_text("1", "utf-8")
    (folder / "inside" / "link.ncl").symlink_to(folder / "outside.ncl")
    (folder / "inside" / "loop.ncl").symlink_to("loop.ncl")

    def check(data: bytes) -> str:
        path = folder / "inside" / "dag.ncl"
        path.write_bytes(data)
        faults = check_imports(path, folder / "inside", contract_folder())
        seemly(faults)
        for name in (b"../outside.ncl", b"link.ncl", b"/etc/hostname"):
            assert faults or b'import "%s"' % name not in data
        return f"refused: {faults[0].code}" if faults else "accepted"

    return check


paths = (
    st.sampled_from(
        ("x.ncl", "../outside.ncl", "link.ncl", "loop.ncl", "/etc/hostname", ".", "a" * 300, "provisioning/dag.ncl")
    )
    | hostile
)
before = st.sampled_from(("import ", "import", "import\n#x\n", "ximport ", "# import "))
one_import = st.tuples(before, paths, st.sampled_from(("", " in\n", "'Nickel")))
imports = st.lists(one_import.map(lambda said: f'{said[0]}"{said[1]}"{said[2]}'.encode("utf-8", "replace")), max_size=4).map(
    b" ".join
)


def nickel_messages(folder: Path) -> Check:
    """What the child wrote, torn anywhere, and what Nickel says, made one line without codes, folders and colours."""

    def check(data: bytes) -> str:
        for kind, text in frames(data):
            assert len(kind) + len(text) < len(data)
        found = outcome("error", data, folder / "dag.ncl", folder, contract_folder(), LIMITS)
        shown = "".join(fault.message + fault.hint + fault.file for fault in found.faults)
        assert shown.isprintable()
        assert str(folder) not in shown
        return "accepted" if frames(data) else f"refused: {found.faults[0].code}"

    return check


MESSAGE = (
    b"error: contract broken by the value of `a`\n   \xe2\x94\x8c\xe2\x94\x80 /tmp/x/dag.ncl:1:2\n  \xe2\x94\x82\n  = note\n"
)
messages = damaged(
    st.sampled_from(
        (MESSAGE, b"\x1b[1merror\x1b[0m: import of x failed (looked in [/a/b, /c])", b"ok 3\n{}\nerror 2\nab", b"ok 0\n")
    ),
    (
        b"ok 5\n",
        b"ok -5\n",
        b"ok x\n",
        b"error 9999999999\n",
        b"/a/" * 50,
        b"\x1b[",
        b" (looked in [",
        b"= ",
        b"\xe2\x94\x8c\xe2\x94\x80 /a:0:0\n",
    ),
)


# ---------------------------------------------------------------- templates

PIECES = (
    *("{{ params.x }}", "{{ params.x | sh }}", "{{ params | tojson }}", "{{ nothing }}", "{{ params.nothing.more }}"),
    *("{{ secret('s') }}",),
    *("{{ secret('t') }}", "{% if params.x %}", "{% endif %}", "{% for a in params.x %}", "{% endfor %}", "{{ a }}"),
    *("{{ server.hostname }}",),
    *("{{ fail('no') }}", "{# c #}", "{% raw %}", "{% endraw %}", "{% set a = 1 %}", "{% include 'b.j2' %}"),
    *("{% include 'env.j2' %}",),
    *("{{ ''.__class__ }}", "{{ params.__class__.__mro__ }}", "{{ self }}", "{{ range(10) | list }}", "{{ 1 // 0 }}"),
    *("{{ 'x' * 3 }}",),
    *("{{ 'x' * 9999999999 }}", "{{ 9 ** 9 ** 9 }}", "{{ [1] * 9999999999 }}", "{{ range(99999999) | list }}"),
    *("{{ '%999999999d' | format(1) }}",),
    *("{{ 'x' | center(9999999999) }}", "{{ lipsum(n=999999) }}", "{{ '{:>9999999999}'.format(1) }}"),
    *("{{ 'x'.ljust(9999999999) }}",),
    *("{{", "}}", "{%", "%}", "{{ params.x", "\n", "a b", "$(x)", "'", '"', "{{ params.x | nofilter }}"),
    *("{% extends 'env.j2' %}", "{{ 1 | map('x') }}"),
)  # fmt: skip
templates = st.lists(st.sampled_from(PIECES) | hostile, max_size=6).map("".join)


def template(folder: Path) -> Check:
    """A template and the params it is rendered with: text, or one error with file and line; quoted values stay words."""
    profile = folder / "os" / "default"
    files = {"b.j2": b"b {{ params.x }}\n", "quoted.j2": b"{{ params.x | sh }}"}

    def check(example: tuple[str, dict[str, object]]) -> str:
        text, given = example
        request = request_for(profile, params=given, secrets={"s": "env:S"})
        sources = {**files, "env.j2": text.encode()}
        render = Renderer(request, DictSecrets({"env:S": "hunter22"}), sources, Compiled()).render
        if isinstance(given["x"], str):
            assert shlex.split(render("quoted.j2")[0]) == [given["x"]]
        return _rendered(render)

    return check


def _rendered(render: Callable[[str], tuple[str, bool]]) -> str:
    try:
        render("env.j2")
    except ConfigError as error:
        shown, faults = error.message + error.hint, error.faults
    else:
        return "accepted"
    assert "hunter22" not in shown
    seemly(faults)
    return "refused"


# ---------------------------------------------------------------- gates, secrets

ATOMS = (
    "a",
    "b",
    ".",
    "[a-z]",
    r"\w",
    r"\s",
    "(a",
    ")",
    "(",
    "(?:",
    "(?=",
    "(?P<n>",
    r"\1",
    "|",
    "^",
    "$",
    "*",
    "+",
    "?",
    "{2,}",
    "{1,9999}",
    "*?",
    "++",
)
BOMBS = (
    "(a+)+$",
    "(a|a)*$",
    "(a|aa)+$",
    r"(\w*)*\d",
    "(.*)*x",
    r"(a+){10}$",
    "a*a*a*a*a*a*b",
    r"(?:a?){30}a{30}",
    r"^(\s|.)*$",
)
patterns = st.lists(st.sampled_from(ATOMS), max_size=8).map("".join) | st.sampled_from(BOMBS) | hostile
outputs = (
    st.tuples(st.sampled_from(("a", "ab", "x\n", " ", "a\n", "\u2028", "\r\n")), st.integers(0, 3000)).map(
        lambda parts: parts[0] * parts[1]
    )
    | hostile
)


def gate_pattern(_folder: Path) -> Check:
    """What a gate expects, against any output: an answer in bounded time, or a pattern that is none."""

    def check(example: tuple[str, str, bool]) -> str:
        expected, output, pattern = example
        return f"accepted: {matches(f're:{expected}' if pattern else expected, output)}"

    return check


def secret_reference(folder: Path) -> Check:
    """References of secrets: a value that is there, or an error that shows no value."""
    (folder / "kept").write_text("hunter22\n", "utf-8")

    def check(reference: str) -> str:
        value = ReferenceSecrets(folder, {"S": "hunter22"}).resolve(reference)
        assert value
        return "accepted"

    return check


references = (
    st.sampled_from(("env:S", "env:T", "file:kept", "file:no", "file:", "env:", "file:.", "S", "file:kept/x", "file:~nobody/x"))
    | hostile
)

TARGETS = (
    Target(name="nickel-file", examples=nickel_files, prepare=nickel_file, quick=6, limit_s=10),
    Target(name="nickel-imports", examples=imports, prepare=nickel_imports, quick=50),
    Target(name="nickel-messages", examples=messages, prepare=nickel_messages, quick=50),
    Target(name="template", examples=st.tuples(templates, st.fixed_dictionaries({"x": values})), prepare=template, quick=50),
    Target(name="gate-pattern", examples=st.tuples(patterns, outputs, st.booleans()), prepare=gate_pattern, quick=50),
    Target(name="secret-reference", examples=references, prepare=secret_reference, quick=60),
)
