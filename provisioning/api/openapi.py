"""`python -m provisioning.api.openapi`: the contract as JSON, as it stands in `schemas/openapi.json`."""

from __future__ import annotations

import json
import sys

from provisioning.api.app import bare_app
from provisioning.api.contract import contract


def text() -> str:
    """Return the document as it is kept."""
    return json.dumps(contract(bare_app()), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
