"""One throw-away OpenSSH daemon: its configuration, its start, its end. Listens on loopback only."""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from processes import Process, alive, descendants, identify, kill, send

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PRIVILEGE_FOLDER = Path("/run/sshd")  # compiled into Debian's sshd; it refuses to start as root without it
ADDRESSES_PER_DAEMON = 16  # sshd's own limit on listening sockets

CONFIGURATION = """\
{listen}
HostKey {host_key}
AuthorizedKeysFile {authorized_keys}
PidFile none
LogLevel VERBOSE
AuthenticationMethods publickey
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PermitUserEnvironment no
UsePAM {pam}
StrictModes no
UseDNS no
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
MaxStartups 1000
{extra}
"""


class SshdError(RuntimeError):
    """The daemon is missing, or did not start; the message has its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One server's place on a daemon."""

    name: str
    address: str
    home: Path  # its `state` is PROVISIONING_HOME, its `root` DEMO_ROOT, its `tmp` TMPDIR


@dataclass(slots=True, kw_only=True)
class Daemon:
    """One sshd with the servers that share it."""

    folder: Path
    seats: tuple[Seat, ...]
    authorized_keys: Path
    port: int
    process: Process | None = None
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def host_key(self) -> Path:
        """The private half of its host key."""
        return self.folder / "host_key"

    def launch(self) -> None:
        """Start it without waiting; `wait` does that. Its log starts anew."""
        configuration = self.folder / "sshd.conf"
        configuration.write_text(self._configuration(), "utf-8")
        with (self.folder / "sshd.log").open("wb") as log:
            self.child = subprocess.Popen(
                [sshd_path() or "sshd", "-D", "-f", configuration, "-E", self.folder / "sshd.log"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": PATH},
                start_new_session=True,
            )
        self.process = identify(self.child.pid)

    def wait(self, *, patience_s: float = 60.0) -> bool:
        """Return True once it greets; False when another program took the port first.

        Raises SshdError when it ended for any other reason, or does not greet in time.
        """
        until = time.monotonic() + patience_s
        while True:
            words = (self.folder / "sshd.log").read_text("utf-8", "replace")
            if "Address already in use" in words:
                self.stop()
                return False
            if words.count("Server listening on") >= len(self.seats) and greets(self.seats[-1].address, self.port):
                return True
            if time.monotonic() > until or (self.child is not None and self.child.poll() is not None):
                self.stop()
                raise SshdError(f"sshd did not start on port {self.port}: {words.strip()[-500:] or 'it said nothing'}")
            time.sleep(0.005)

    def sessions(self) -> list[Process]:
        """Return the processes that serve connections; not the commands they started."""
        return [one for one in descendants(self.process.pid) if _is_sshd(one)] if self.process else []

    def stop(self) -> None:
        """End it and its connections. Commands that run on behind a connection are not touched."""
        if self.process is not None:
            send([self.process], signal.SIGSTOP)  # or a client that comes back at once is let in behind our back
            kill([*self.sessions(), self.process])
        if self.child is not None:
            self.child.wait()
        self.process = self.child = None

    def _configuration(self) -> str:
        listen = "\n".join(f"ListenAddress {seat.address}:{self.port}" for seat in self.seats)
        extra = ["PerSourcePenalties no"] if ssh_version() >= (9, 8) else []
        for seat in self.seats:
            extra += [f"Match LocalAddress {seat.address}", f"    {_environment(seat)}"]
        return CONFIGURATION.format(
            listen=listen,
            host_key=quoted(self.host_key),
            authorized_keys=quoted(self.authorized_keys).replace("%", "%%"),
            pam="yes" if account_is_locked() else "no",
            extra="\n".join(extra),
        )


def sshd_path() -> str | None:
    """Return where OpenSSH's server is, None when it is not installed. It insists on being called by its full path."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:{PATH}")


def ssh_version() -> tuple[int, int]:
    """Return OpenSSH's version, (0, 0) when it cannot be told."""
    said = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr
    match = re.search(r"OpenSSH_(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def make_key(path: Path) -> subprocess.Popen[bytes]:
    """Begin to make an ed25519 key pair without a passphrase; an older one of that name is replaced."""
    path.unlink(missing_ok=True)
    return subprocess.Popen(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "throw-away", "-f", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def free_port() -> int:
    """Return a port that is free on 127.0.0.1 now. Somebody may still be faster: see `Daemon.wait`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def greets(address: str, port: int, *, patience_s: float = 2.0) -> bool:
    """Whether an SSH server answers there."""
    try:
        with socket.create_connection((address, port), timeout=patience_s) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def account_is_locked() -> bool:
    """Whether the login's password is locked with `!`: without PAM, sshd refuses such an account even with a key."""
    try:
        lines = Path("/etc/shadow").read_text("utf-8", "replace").splitlines()
    except OSError:  # then sshd, run by the same user, cannot see it either
        return False
    user = pwd.getpwuid(os.geteuid()).pw_name
    return any(line.startswith(f"{user}:!") for line in lines)


@contextmanager
def privilege_folder(starting: list[Daemon]) -> Iterator[None]:
    """Have `/run/sshd` while daemons start, and note in it which ones need it.

    A folder that was there before is the system's and is left alone. One that we made holds a note per daemon, so
    that whoever stops last, in whichever process, removes it.
    """
    if os.geteuid() != 0:
        yield
        return
    with _alone():
        try:
            PRIVILEGE_FOLDER.mkdir(mode=0o755)
            ours = True
        except FileExistsError:
            ours = any(PRIVILEGE_FOLDER.iterdir())
        try:
            yield
        finally:
            for daemon in starting:
                if ours and daemon.process is not None:
                    (PRIVILEGE_FOLDER / f"throw-away-{daemon.process.pid}-{daemon.process.started}").touch()
            _prune()


def leave_privilege_folder() -> None:
    """Remove `/run/sshd` if we made it and nobody needs it any more."""
    if os.geteuid() == 0 and PRIVILEGE_FOLDER.is_dir():
        with _alone():
            _prune()


def _prune() -> None:
    notes = list(PRIVILEGE_FOLDER.glob("throw-away-*"))
    for note in notes:
        pid, started = note.name.split("-")[-2:]
        if not alive(Process(pid=int(pid), started=int(started))):
            note.unlink()
    if notes and not any(PRIVILEGE_FOLDER.iterdir()):
        PRIVILEGE_FOLDER.rmdir()


@contextmanager
def _alone() -> Iterator[None]:
    """Keep other starts and stops away: the lock is on the folder above, which always exists."""
    handle = os.open(PRIVILEGE_FOLDER.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _environment(seat: Seat) -> str:
    values = {
        "PROVISIONING_HOME": seat.home / "state",
        "DEMO_ROOT": seat.home / "root",
        "TMPDIR": seat.home / "tmp",
        "PATH": _remote_path(),
        "SHLVL": 1,  # keeps Debian's bash from reading ~/.bashrc, which may say anything and costs time
    }
    return "SetEnv " + " ".join(quoted(f"{name}={value}") for name, value in values.items())


def _remote_path() -> str:
    """Return the servers' PATH: the usual folders, and that of our own Python where they have none."""
    return PATH if shutil.which("python3", path=PATH) else f"{PATH}:{Path(sys.base_prefix) / 'bin'}"


def quoted(value: object) -> str:
    """Return a value as sshd's configuration wants it."""
    text = str(value)
    if '"' in text or "\n" in text:
        raise SshdError(f"sshd cannot be given {text!r}: it has a quote or a line end in it")
    return f'"{text}"'


def _is_sshd(process: Process) -> bool:
    try:
        return Path(f"/proc/{process.pid}/comm").read_text().startswith("sshd")
    except OSError:
        return False
