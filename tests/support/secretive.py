"""A workspace that is given a secret by every way there is, and whose scripts and gates tell what they were given."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from servers import ThrowawayServers
from support.real import Ended, RealWorkspace, formula
from support.ssh import agent_with

# Stands in for sudo: asks on standard error, reads one line, goes on with a clean environment.
SUDO = """#!/bin/bash
prompt=
while [[ $1 == -* ]]; do
    case $1 in -p) prompt=$2; shift ;; --) shift; break ;; esac
    shift
done
printf '%s' "$prompt" >&2
IFS= read -r line || exit 1
[[ $line == "$(cat "{folder}/password")" ]] || exit 1
echo asked >>"{folder}/asked"
exec env -i PATH="$PATH" HOME="$HOME" {kept} "$@"
"""
ENV = """\
V2={{ secret('secret_2') | sh }}
V3={{ secret('secret_3') | sh }}
V4={{ secret('secret_4') | sh }}
V5={{ secret('secret_5') | sh }}
V19={{ secret('secret_19') | sh }}
"""
CONF = """\
plain {{ secret('secret_6') }} and {{ secret('secret_7') }}
json {{ {'a': secret('secret_8'), 'b': [secret('secret_9')]} | tojson }}
url postgres://u:{{ secret('secret_10') | urlencode }}@h/{{ secret('secret_11') | urlencode }}
params {{ secret(params.of_the_taskserv) }} {{ secret(params.of_the_dag) }} {{ secret(params.other) | sh }}
"""
USER = """
. ./env-user
printf '%s\\n' "$V2" >&2
printf '%s' "${V3:0:9}"; sleep 0.1; printf '%s\\n' "${V3:9}"
for ((at = 0; at < ${#V4}; at++)); do printf '%s' "${V4:at:1}"; sleep 0.002; done; echo
printf 'x%s' "$V5" | base64 -w0; echo; printf '%s' "$V19"; echo
cat app.conf; cat from-prepare
(ulimit -c unlimited; bash -c '. ./env-user; kill -SEGV $$')
install -m 600 secret.conf "$DEMO_ROOT/installed"
sleep 0.3
"""
BROKEN = '. ./env-broken; echo "$V" >&2; exit 3'
LATE = '. ./env-late; umask 077; echo "$V" >"$DEMO_ROOT/installed"'
PARAMS = """
idempotent = true
[params.of_the_taskserv]
type = "secret"
default = "secret_12"
[params.of_the_dag]
type = "secret"
[params.other]
type = "secret"
"""


class SecretiveWorkspace(RealWorkspace):
    """Secrets 0 to 19: sudo's password (0), a key's passphrase (1), templates of each kind, params, a variable (19).

    `user` prints what it is given, `broken` does and fails; `reader` and the gates print what `user` or `late` has
    installed (18), and the gate of `late` never opens.
    """

    def __init__(self, folder: Path, servers: ThrowawayServers, secrets: Mapping[str, str]) -> None:
        super().__init__(folder, servers)
        self.kept = folder.parent / "kept"  # where the secrets are on purpose
        self.kept.mkdir(mode=0o700)
        self._public = servers.client_key.with_suffix(".pub").read_bytes()
        self._declare(secrets)
        self._write_taskservs()
        self._ask_for_a_password(secrets["secret_0"])
        self._lock_the_key(secrets["secret_1"])

    def run(self, *arguments: str, timeout_s: float = 150) -> Ended:
        """Run the program as a user does, whose environment is seen by whoever looks for it."""
        with self.start(*arguments) as running:
            out, err = running.communicate(timeout=timeout_s)
            return Ended(code=running.returncode, out=out, err=err)

    @property
    def allowed(self) -> frozenset[Path]:
        """The files that hold secrets because they are meant to."""
        installed = self.servers.server("one").root / "installed"
        return frozenset([*self.kept.iterdir(), installed])

    def _declare(self, secrets: Mapping[str, str]) -> None:
        lines = []
        for name, value in secrets.items():
            (self.kept / name).write_text(value + "\n", "utf-8")
            lines.append(f'{name} = "file:{self.kept}/{name}"' if name != "secret_19" else 'secret_19 = "env:CANARY"')
        toml = self.folder / "workspace.toml"
        toml.write_text(toml.read_text("utf-8") + "[secrets]\n" + "\n".join(lines) + "\n", "utf-8")

    def _write_taskservs(self) -> None:
        more = {"env-user.j2": ENV, "app.conf.j2": CONF, "secret.conf.j2": "{{ secret('secret_18') }}\n"}
        self.taskserv("user", USER, toml=PARAMS, extra={**more, "prepare": "env >from-prepare\n"})
        self.taskserv("reader", 'cat "$DEMO_ROOT/installed"; sleep 0.2')
        self.taskserv("broken", BROKEN, extra={"env-broken.j2": "V={{ secret('secret_13') | sh }}\n"})
        self.taskserv("late", LATE, extra={"env-late.j2": "V={{ secret('secret_18') | sh }}\n"})
        gate = {"check_cmd": 'cat "$DEMO_ROOT/installed"; sleep 0.1', "expected": "re:cnry"}
        node = {"taskserv": "user", "params": {"of_the_dag": "secret_14", "other": "secret_15"}}
        whole = {"id": "a", "server": "one", "nodes": [node, {"taskserv": "reader"}], "health_gate": gate}
        closed = {"check_cmd": 'cat "$DEMO_ROOT/installed" >&2; exit 4', "retries": 2, "timeout_ms": 2000, "interval_ms": 100}
        self.dag(whole, formula("b", "one", "broken"), formula("c", "one", "late", health_gate=closed))

    def _ask_for_a_password(self, password: str) -> None:
        """Put our own sudo in front of the server's."""
        folder = self.kept.parent / "sudo"
        folder.mkdir()
        (self.kept / "password").write_text(password, "utf-8")
        server = self.servers.server("one")
        words = f"PROVISIONING_HOME={server.home} DEMO_ROOT={server.root}"
        text = SUDO.replace("{folder}/password", f"{self.kept}/password").replace("{folder}", str(folder))
        (folder / "sudo").write_text(text.replace("{kept}", words), "utf-8")
        (folder / "sudo").chmod(0o755)
        public = self.servers.client_key.with_suffix(".pub")
        forced = f'command="PATH={folder}:$PATH; export PATH; eval \\"$SSH_ORIGINAL_COMMAND\\"" '
        public.write_text(forced + public.read_text("utf-8"), "utf-8")
        self.change_server("one", become={"method": "sudo", "password": f"file:{self.kept}/password"})

    def _lock_the_key(self, passphrase: str) -> None:
        self.locked = self.kept.parent / "locked"
        self.locked.write_bytes(self.servers.client_key.read_bytes())
        self.locked.chmod(0o600)
        self.locked.with_suffix(".pub").write_bytes(self._public)
        subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", passphrase, "-f", self.locked], check=True)
        self.change_server("one", key_path=str(self.locked))

    @contextmanager
    def agent(self) -> Iterator[Path]:
        """Have an agent that holds the locked key; yield its socket. It is told the passphrase by a program that it asks."""
        ask = self.kept.parent / "ask"
        ask.write_text(f"#!/bin/sh\ncat {self.kept}/secret_1\n", "utf-8")
        ask.chmod(0o700)
        socket = self.kept.parent / "agent"
        with agent_with(self.locked, socket, ask=ask):
            yield socket
