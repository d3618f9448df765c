"""One machine of the lab: its file system, its boot, its end. What can go wrong with it is in `hosts.py`."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from lab.base import USERS
from lab.disk import Disk, is_mounted, unmount
from lab.network import PROXY_PORT, Network
from lab.place import Place, locked
from lab.shell import LabError, ended, killed, recorded, run, start, tail
from processes import PROC, Process, identify

CGROUPS = Path("/sys/fs/cgroup")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """A server with systemd as process 1 and sshd as a unit, in namespaces of its own."""

    def __init__(self, place: Place, number: int, base: Path) -> None:
        self.place, self.number, self.base = place, number, base
        self.network = Network(place)
        self.folder = place.hosts / str(number)
        self.root = self.folder / "root"
        self.disk = Disk(self.folder / "disk.img", self.folder / "disk")

    def __repr__(self) -> str:
        return f"<host {self.number} at {self.address}>"

    @property
    def address(self) -> str:
        """Its IP address."""
        return self.place.address(self.number)

    @property
    def key(self) -> Path:
        """The private key that it accepts for root and the users of the base."""
        return self.place.key

    @property
    def known_hosts(self) -> Path:
        """The lab's known_hosts."""
        return self.place.known_hosts

    @property
    def first(self) -> Process | None:
        """Its process 1 as the machine below sees it, None while it is down."""
        boss = recorded(self._record)
        if boss is None:
            return None
        with contextlib.suppress(OSError):
            for child in (PROC / str(boss.pid) / "task" / str(boss.pid) / "children").read_text().split():
                if _pid_namespace(int(child)) != _pid_namespace(os.getpid()):
                    return identify(int(child))
        return None

    # ------------------------------------------------------------ life

    def create(self, *, disk_mb: int | None) -> None:
        """Make its files and its link. With `disk_mb` it writes to a disk of its own, whose power can be cut."""
        self.folder.mkdir(parents=True)
        if disk_mb:
            self.disk.make(disk_mb)
        self.network.attach(self.number)
        self.plug_in()
        self.seed()

    def plug_in(self) -> None:
        """Mount its file system: the base, and a layer with what the machine itself has written."""
        layer = self._layer()
        for name in ("upper", "work"):
            (layer / name).mkdir(exist_ok=True)
        self.root.mkdir(exist_ok=True)
        if not is_mounted(self.root):
            options = f"lowerdir={self.base},upperdir={layer / 'upper'},workdir={layer / 'work'}"
            run("mount", "-t", "overlay", self.place.namespace(self.number), "-o", options, self.root)

    def seed(self) -> None:
        """Write what makes it a machine of this lab: name, proxy, keys."""
        etc = self.root / "etc"
        (etc / "hostname").write_text(f"h{self.number}\n", "utf-8")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n{self.address} h{self.number}\n", "utf-8")
        proxy = f'Acquire::http::Proxy "http://{self.place.runner}:{PROXY_PORT}";\n'
        (etc / "apt/apt.conf.d/91proxy").write_text(proxy, "utf-8")
        self.make_host_key()
        public = self.key.with_suffix(".pub").read_text("utf-8")
        for home in (self.root / "root", *(self.root / "home" / user for user in USERS)):
            owner = home.stat()
            (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
            (home / ".ssh/authorized_keys").write_text(public, "utf-8")
            for path in (home / ".ssh", home / ".ssh/authorized_keys"):
                os.chown(path, owner.st_uid, owner.st_gid)
        run("sync", "--file-system", self._layer())  # power losses are for what comes later

    def make_host_key(self, *, known: bool = True) -> None:
        """Make a new host key; unless told otherwise, the lab's known_hosts learns it."""
        key = self.root / "etc/ssh/ssh_host_ed25519_key"
        for old in self.root.glob("etc/ssh/ssh_host_*"):
            old.unlink()
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"h{self.number}", "-f", key)
        if not known:
            return
        with locked(self.place.folder, "known_hosts"):  # machines may be made at the same time
            kept = self.known_hosts.read_text("utf-8").splitlines() if self.known_hosts.exists() else []
            kind, public, *_ = key.with_suffix(".pub").read_text("utf-8").split()
            lines = [line for line in kept if line.split()[0] != self.address] + [f"{self.address} {kind} {public}"]
            self.known_hosts.write_text("\n".join(lines) + "\n", "utf-8")

    def start(self) -> None:
        """Boot it, unless it runs; return at once. It first joins control groups of its own, or all would share one."""
        if self.first is not None:
            return
        self.plug_in()
        groups = list(self._groups())
        for group in groups:
            group.mkdir(exist_ok=True)
            if (group / "cgroup.freeze").exists():  # one that was frozen when its lab was removed would stay so
                (group / "cgroup.freeze").write_text("0", "utf-8")
        join = "".join(f"echo $$ >{group}/cgroup.procs; " for group in groups)
        name = self.place.namespace(self.number)
        log = self.folder / "console.log"
        words = f"--directory={self.root} --machine={name} --network-namespace-path=/run/netns/{name}".split()
        quiet = "--quiet --boot --register=no --keep-unit --resolv-conf=off --timezone=off --link-journal=no --console=pipe"
        start("sh", "-c", join + 'exec "$@"', "sh", "systemd-nspawn", *quiet.split(), *words, record=self._record, log=log)

    def wait(self, *, patience_s: float = 60.0) -> None:
        """Wait until sshd greets. Raises LabError."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection((self.address, 22), timeout=1) as connection:
                if connection.recv(4) == b"SSH-":
                    return
            time.sleep(0.1)
        raise LabError(f"{self}: no SSH within {patience_s:g} s: {tail(self.folder / 'console.log')}")

    def kill(self) -> None:
        """End every process of it at once."""
        killed(self.first)
        ended(self._record)  # nspawn goes by itself when its child is gone
        for group in self._groups():
            for path in sorted(group.rglob("*/"), key=lambda path: -len(path.parts)):
                with contextlib.suppress(OSError):
                    path.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
        with contextlib.suppress(OSError):
            Path("/run/systemd/nspawn/propagate", self.place.namespace(self.number)).rmdir()

    def unplug(self) -> None:
        """Unmount its file systems."""
        unmount(self.root)
        if self.disk.image.exists():
            self.disk.detach()

    def remove(self) -> None:
        """Remove everything of it."""
        self.kill()
        self.unplug()
        self.network.detach(self.number)
        shutil.rmtree(self.folder, ignore_errors=True)

    def empty(self) -> None:
        """Delete what it has written; it has to be down."""
        unmount(self.root)
        for name in ("upper", "work"):
            shutil.rmtree(self._layer() / name, ignore_errors=True)

    # ------------------------------------------------------------ being there

    def execute(self, *command: str, check: bool = True, timeout_s: float = 60) -> str:
        """Run a command on it, past its network and sshd; return its output. Raises LabError when it fails."""
        first = self.first
        if first is None:
            raise LabError(f"{self} is down")
        enter = ["nsenter", f"--target={first.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wdns=/"]
        words = [*enter, "env", "-i", "HOME=/root", "LC_ALL=C.UTF-8", f"PATH={PATH}", *command]
        done = subprocess.run(
            words, check=False, capture_output=True, text=True, errors="replace", timeout=timeout_s, stdin=subprocess.DEVNULL
        )
        if check and done.returncode:
            raise LabError(
                f"{self}: {' '.join(command)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}"
            )
        return done.stdout

    def shell(self, script: str, *, check: bool = True, timeout_s: float = 60) -> str:
        """Run a bash script on it, past its network and sshd."""
        return self.execute("bash", "-c", script, check=check, timeout_s=timeout_s)

    def ssh(self, *command: str, user: str = "root") -> list[str]:
        """Return the words of an ssh command that logs in as a user, with strict host keys."""
        options = ("BatchMode=yes", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={self.known_hosts}", "IdentitiesOnly=yes")
        set_up = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", "none", *set_up, "-i", str(self.key), f"{user}@{self.address}", *command]

    def processes(self) -> dict[int, str]:
        """Return its processes: id as the machine below counts, and what each was called with (blank: the kernel's)."""
        return {pid: _command_line(pid) for pid in self._pids()}

    def _pids(self) -> Iterator[int]:
        first = self.first
        if first is None:
            return
        own = _pid_namespace(first.pid)
        for path in PROC.iterdir():
            if path.name.isdigit() and _pid_namespace(int(path.name)) == own:
                yield int(path.name)

    @property
    def _record(self) -> Path:
        return self.folder / "nspawn.pid"

    def _layer(self) -> Path:
        if not self.disk.image.exists():
            return self.folder
        self.disk.attach()
        return self.disk.mount

    def _groups(self) -> Iterator[Path]:
        name = self.place.namespace(self.number)
        if (CGROUPS / "cgroup.controllers").exists():
            yield CGROUPS / name
            return
        for hierarchy in ("systemd", "unified"):
            if (CGROUPS / hierarchy).is_dir():
                yield CGROUPS / hierarchy / name


def _pid_namespace(pid: int) -> int:
    try:
        return (PROC / str(pid) / "ns/pid").stat().st_ino
    except OSError:
        return 0


def _command_line(pid: int) -> str:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""
