"""Where this machine gets its Debian packages from; the lab's hosts get theirs from there, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lab.shell import LabError

APT = Path("/etc/apt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One archive and one suite of it."""

    uri: str
    suite: str
    components: tuple[str, ...]

    @property
    def host(self) -> str:
        """The archive's host."""
        return urlsplit(self.uri).netloc

    def line(self) -> str:
        """As sources.list has it. Always http: hosts reach archives through the lab's proxy, which knows the scheme."""
        return f"deb {urlsplit(self.uri)._replace(scheme='http').geturl()} {self.suite} {' '.join(self.components)}"


def codename() -> str:
    """Return the name of this machine's release. Raises LabError."""
    for line in Path("/etc/os-release").read_text("utf-8").splitlines():
        name, _, value = line.partition("=")
        if name == "VERSION_CODENAME":
            return value.strip('"')
    raise LabError("/etc/os-release has no VERSION_CODENAME")


def sources(suite: str) -> tuple[Source, ...]:
    """Return the archives of a release, its updates and its security fixes. Raises LabError when apt has none."""
    wanted = (suite, f"{suite}-updates", f"{suite}-security")
    found = {(one.uri, one.suite): one for one in _all() if one.suite in wanted and one.uri.startswith("http")}
    if not any(one.suite == suite for one in found.values()):
        raise LabError(f"apt on this machine has no archive for {suite} over http")
    return tuple(sorted(found.values(), key=lambda one: wanted.index(one.suite)))


def _all() -> Iterator[Source]:
    for path in [APT / "sources.list", *sorted((APT / "sources.list.d").glob("*"))]:
        if path.is_file():
            text = path.read_text("utf-8", "replace")
            yield from _paragraphs(text) if path.suffix == ".sources" else _lines(text)


def _lines(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        words = [word for word in line.partition("#")[0].split() if not word.startswith("[") and not word.endswith("]")]
        if len(words) > 3 and words[0] == "deb":
            yield Source(uri=words[1].rstrip("/"), suite=words[2], components=tuple(words[3:]))


def _paragraphs(text: str) -> Iterator[Source]:
    for paragraph in text.split("\n\n"):
        pairs = (line.partition(":") for line in paragraph.splitlines() if not line.startswith("#"))
        field = {name.strip().lower(): value.split() for name, _, value in pairs}
        if "deb" in field.get("types", []):
            for uri in field.get("uris", []):
                for suite in field.get("suites", []):
                    yield Source(uri=uri.rstrip("/"), suite=suite, components=tuple(field.get("components", [])))
