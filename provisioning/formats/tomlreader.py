"""A TOML file that is read strictly: all faults at once, each with the line it is about."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from provisioning.core.faults import Fault
from provisioning.core.shown import quote, step
from provisioning.core.suggest import nearest
from provisioning.formats.tomltext import parse_toml

FAULT_LIMIT = 100


@dataclass(slots=True)
class TomlReader:
    """One file being read, and the faults found in it."""

    text: str
    file: str
    faults: list[Fault] = field(default_factory=list)

    def parse(self) -> dict[str, object]:
        """Return the document; nothing when it is no TOML."""
        parsed = parse_toml(self.text)
        if isinstance(parsed, Fault):
            self.faults.append(replace(parsed, file=self.file))
            return {}
        return parsed

    def fault(self, code: str, message: str, keys: tuple[str, ...], hint: str = "") -> None:
        """Remember a fault of what stands under `keys`."""
        if len(self.faults) >= FAULT_LIMIT:  # each looks through the whole text for its line
            if self.faults[-1].code != "too_many":
                self.faults.append(Fault(code="too_many", message="found more faults than are shown", file=self.file))
            return
        path = "$" + "".join(step(key) for key in keys)
        self.faults.append(Fault(code=code, message=message, file=self.file, path=path, line=self._line(keys), hint=hint))

    def unknown_keys(self, table: Mapping[str, object], known: Collection[str], above: tuple[str, ...] = ()) -> None:
        """Remember every key that nobody knows."""
        for key in table:
            if key not in known:
                near = nearest(key, known)
                hint = f"did you mean {quote(near)}?" if near else f"known: {', '.join(known)}"
                self.fault("unknown_key", f"unknown key {quote(key)}", (*above, key), hint)

    def _line(self, keys: tuple[str, ...]) -> int:
        """Return the line of a key, as far as it can be found: each is looked for behind the one that it is under."""
        at = -1
        for key in keys:
            named = re.compile(rf"""^[ \t]*\[?(?:[\w."'-]+\.)?["']?{re.escape(key)}["']?[ \t]*[=\].]""", re.MULTILINE)
            if found := named.search(self.text, max(at, 0)):
                at = found.start()
        return self.text.count("\n", 0, at) + 1 if at >= 0 else 0
