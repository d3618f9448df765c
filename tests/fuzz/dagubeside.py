"""Targets: files beside Dagu's YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w
from fuzz.documents import some
from fuzz.shapes import seemly
from fuzz.target import Check, Target
from fuzz.words import TOKENS, damaged, files, hostile
from hypothesis import strategies as st

from provisioning.formats.dagu.dotenv import read_dotenv
from provisioning.formats.dagu.functions import read_functions
from provisioning.formats.dagu.names import good_name

TOML_TOKENS = (b"[", b"[[", b"]", b"=", b'"""', b"'''", b"\\u0000", b"a.b.c", b"1979-05-27", b"{", *TOKENS)
ENV_TOKENS = (*(b"'", b'"', b"\\", b"\\$", b"$A", b"${", b"export ", b"A=", b" #", b"\r\n", b"\r", b"\x85", b"\0"), *TOKENS)


def dotenv(_folder: Path) -> Check:
    """A `.env` file: variables with names, in the order of their lines, or lines that were passed over."""

    def check(data: bytes) -> str:
        said, faults = read_dotenv(data.decode("utf-8", "replace"))
        seemly(faults)
        places = [one.line for one in said]
        assert places == sorted(set(places))
        assert not {fault.line for fault in faults}.intersection(places)
        for one in said:
            assert one.name.replace("_", "a").replace(".", "a").isalnum()
            assert one.name.isascii()
            assert "\0" not in one.value
            assert one.literal or "$" in one.value
        return f"refused: {faults[0].code}" if faults else "accepted"

    return check


def functions(_folder: Path) -> Check:
    """Functions that can be run, or faults with places."""

    def check(data: bytes) -> str:
        found, faults = read_functions(data, file="functions.toml", folder=Path("/dags"))
        seemly(faults)
        for id, function in found.items():
            assert id == function.id
            assert good_name(id)
            assert (function.command is None) == bool(function.argv)
            assert "\0" not in "".join([function.command or "", *function.argv, function.working_dir, *function.env.values()])
            assert function.working_dir == "" or Path(function.working_dir).is_absolute()
        return f"refused: {faults[0].code}" if faults else f"accepted: {min(len(found), 2)}"

    return check


def as_toml(value: Any) -> bytes:
    """Write a value as TOML, as far as it can be."""
    try:
        return tomli_w.dumps(value).encode("utf-8", "replace")
    except (TypeError, ValueError, AttributeError):
        return repr(value).encode("utf-8", "replace")


_function = some(
    {
        "working_dir": hostile,
        "env": st.dictionaries(hostile | st.just("A"), hostile | st.sampled_from((1, True, 1.5, [])), max_size=3),
        "description": hostile,
        "x": st.just(1),
    },
    {"command": st.sampled_from(("echo", ["echo", "a"], [], "", 1, ["", "a"])) | hostile},
)
_files = st.dictionaries(st.sampled_from(("a", "b.c", "../x", "a b", "")), _function, max_size=4)
_lines = st.tuples(st.sampled_from(("A=", "export B=", "C: ", "1=", "#", "D='", 'E="')), hostile).map("".join)
_env = st.lists(_lines, max_size=6).map(lambda lines: "\n".join(lines).encode("utf-8", "replace"))

TARGETS = (
    Target(name="dotenv", examples=damaged(_env, ENV_TOKENS), prepare=dotenv, quick=50),
    Target(name="functions", examples=files(_files, as_toml, TOML_TOKENS), prepare=functions, quick=50),
)
