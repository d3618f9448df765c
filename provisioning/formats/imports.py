"""Look at what a Nickel file imports, before it is evaluated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from provisioning.core.faults import Fault
from provisioning.core.shown import quote

FILE_LIMIT = 1_000
SOURCE_LIMIT_BYTES = 16 * 1024 * 1024
# Also finds the word in comments, texts and longer words: that can refuse a file for nothing, but never lets an import
# through. The grammar of Nickel wants a plain text after `import`, so there are no computed ones.
_IMPORT = re.compile(r'import(?:\s|#[^\n]*\n)*"((?:[^"\\]|\\.)*)"', re.DOTALL)
_DATA = frozenset({".json", ".yaml", ".yml", ".toml", ".txt"})


@dataclass(slots=True)
class _Search:
    root: Path
    contracts: Path
    allowed: list[Path]
    seen: set[Path]
    faults: list[Fault]

    def visit(self, source: Path) -> list[Path]:
        """Look at one file; return the Nickel files that it imports and that were not seen before."""
        text = _text(source)
        if len(text) > SOURCE_LIMIT_BYTES:
            self._refuse(source, 0, f"has more than {SOURCE_LIMIT_BYTES:,} bytes, too many for Nickel")
            return []
        fresh = []
        for match in _IMPORT.finditer(text):
            target, reason = self._resolve(match[1], source)
            line = text.count("\n", 0, match.start()) + 1
            if reason:
                self._refuse(source, line, f"imports {quote(match[1])}, {reason}")
            elif target is not None and target not in self.seen:
                self.seen.add(target)
                if len(self.seen) > FILE_LIMIT:
                    self._refuse(source, line, f"imports more than {FILE_LIMIT:,} files in all")
                    return []
                if target.suffix not in _DATA or "'Nickel" in text:
                    fresh.append(target)
        return fresh

    def _refuse(self, source: Path, line: int, message: str) -> None:
        shown = str(source.relative_to(self.root)) if source.is_relative_to(self.root) else source.name
        hint = "import from the file's own folder, the workspace or provisioning/"
        fault = Fault(code="nickel_import", message=message, file=shown, line=line, column=1 if line else 0, hint=hint)
        self.faults.append(fault)

    def _resolve(self, name: str, source: Path) -> tuple[Path | None, str]:
        if "\\" in name or "%{" in name or "\0" in name:
            return None, "expected a name without escapes"
        if Path(name).is_absolute():
            return None, "expected a relative path"
        for folder in (source.parent, self.root, self.contracts):
            if (target := _target(folder / name)) is not None:
                if not any(target.is_relative_to(one) for one in self.allowed):
                    return None, "which is outside of the workspace"
                return (target, "") if target.is_file() else (None, "which is no regular file")
        return None, ""


def check_imports(file: Path, root: Path, contracts: Path) -> tuple[Fault, ...]:
    """Return faults for everything `file` imports, directly or not, from outside its folder, `root` and `contracts`.

    Names are looked up as Nickel does: beside the importing file, then in `root`, then in `contracts`. Links are followed
    first. A name that leads nowhere is left for Nickel to report.
    """
    allowed = [folder.resolve() for folder in (file.parent, root, contracts)]
    search = _Search(root, contracts, allowed, {file.resolve()}, [])
    work = [file]
    while work and not search.faults:
        work += search.visit(work.pop())
    return tuple(search.faults)


def _target(path: Path) -> Path | None:
    """Return where a name leads, links followed; None where there is nothing, or can be nothing."""
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: Python 3.11 and 3.12 on a loop of symlinks
        return None


def _text(path: Path) -> str:
    """Return a file's text; what cannot be read has nothing to look at, and Nickel says why."""
    if not path.is_file():  # opening a pipe would wait for its other end
        return ""
    try:
        with path.open("rb") as stream:
            return stream.read(SOURCE_LIMIT_BYTES + 1).decode("utf-8", "replace")
    except OSError:
        return ""
