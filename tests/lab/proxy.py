"""The hosts' only way out: a proxy that fetches packages from this machine's archives, each one once.

    python proxy.py ADDRESS PORT CACHE URI...

Says "ready" and then works until it is ended. Only GET, and only from the hosts of the named archives.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class Fetcher:
    """Gets files from the archives, and keeps those that never change."""

    def __init__(self, cache: Path, archives: list[str]) -> None:
        self._cache = cache
        self._schemes = {urlsplit(uri).netloc: urlsplit(uri).scheme for uri in archives}

    def fetch(self, url: str) -> Path | int:
        """Return the file, or the HTTP status that says why not."""
        asked = urlsplit(url)
        scheme = self._schemes.get(asked.netloc)
        if scheme is None or asked.scheme != "http":
            return 403
        kept = self._cache / hashlib.sha256(url.encode()).hexdigest()
        lasting = asked.path.endswith(".deb") or "/by-hash/" in asked.path
        return kept if lasting and kept.exists() else self._download(asked._replace(scheme=scheme).geturl(), kept)

    def _download(self, url: str, kept: Path) -> Path | int:
        part = kept.with_name(f"{kept.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            with urllib.request.urlopen(url, timeout=60) as answer, part.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code
        except OSError:
            return 502
        return part.replace(kept)


def handler(fetcher: Fetcher) -> type[BaseHTTPRequestHandler]:
    """Return the class that answers one connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: Any) -> None:
            """Say nothing: every package would be a line."""

        def do_GET(self) -> None:
            found = fetcher.fetch(self.path)
            if isinstance(found, int):
                self.send_error(found)
                return
            with found.open("rb") as file:
                self.send_response(200)
                self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
                self.end_headers()
                shutil.copyfileobj(file, self.wfile)

    return Handler


if __name__ == "__main__":
    folder = Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    server = ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), handler(Fetcher(folder, sys.argv[4:])))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve_forever()
