"""Where the published schemas and Nickel contracts are: in the installed package, or in a checkout."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from provisioning.errors import NotFoundError

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

SCHEMAS = ("dag", "servers", "workspace")


@cache
def schema_folder() -> Path:
    """Return the folder of the schemas. A wheel has them in the package, an editable install only in the checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "_schemas", package.parent / "schemas"):
        if (folder / "dag.schema.json").is_file():
            return folder
    raise NotFoundError("the schemas are missing from this installation", hint="install provisioning again")


def contract_folder() -> Path:
    """Return the folder from which Nickel files import `provisioning/dag.ncl` and `provisioning/servers.ncl`."""
    return schema_folder() / "nickel"


def schema_text(name: str) -> str:
    """Return a published schema: dag, servers or workspace. Raises NotFoundError."""
    if name not in SCHEMAS:
        raise NotFoundError(f"no schema is called {name!r}", hint=f"there are {', '.join(SCHEMAS)}")
    return (schema_folder() / f"{name}.schema.json").read_text(encoding="utf-8")


@cache
def schema(name: str) -> dict[str, object]:
    """Return a published schema, parsed."""
    return cast("dict[str, object]", json.loads(schema_text(name)))


@cache
def validator(name: str, definition: str = "") -> Draft202012Validator:
    """Return the validator of a schema or of one of its definitions, compiled once.

    Importing jsonschema costs about 75 ms: valid files are read without it.
    """
    from jsonschema import Draft202012Validator

    whole = schema(name)
    part = {"$ref": f"#/$defs/{definition}", "$defs": whole["$defs"]} if definition else whole
    return Draft202012Validator(part)
