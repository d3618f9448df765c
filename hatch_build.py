"""Build hook: a wheel and an sdist contain the built web UI, so that nobody who installs them needs Node."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BuildUi(BuildHookInterface):  # type: ignore[type-arg] -- hatchling's own configuration, which we do not read
    """Builds `web/`. An sdist holds the result: a wheel made from it needs no second build."""

    def dependencies(self) -> list[str]:
        """Ask for Node where there is none."""
        builder = _builder(Path(self.root))
        return [] if self._is_made() or builder.npm() else [builder.NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 -- as hatchling calls it
        """Build the UI, but for editable installs: `make ui` does it there."""
        if version == "editable" or self._is_made():
            return
        builder = _builder(Path(self.root))
        if builder.npm() is None:
            self.app.display_warning("without Node: the web UI is left out, the API answers all the same")
            return
        builder.build()

    def _is_made(self) -> bool:
        root = Path(self.root)
        return (root / "PKG-INFO").is_file() and (root / "provisioning" / "api" / "ui" / "index.html").is_file()


def _builder(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("web_build", root / "web" / "build.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("web/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
