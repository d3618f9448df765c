"""Who takes part, and how each is called. What is laid out for a contestant beforehand is not timed; all it does itself is."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.work import GATE, TASKSERVS, Job

HERE = Path(__file__).parent
PROJECT = HERE.parent
PEERS = PROJECT / ".venv-bench" / "bin"  # made by `make bench` from peers/requirements.txt
FORKS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A command, what its environment has beside the usual, and where it runs."""

    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """`lay_out` writes what it needs into the job's folder and returns how to call it."""

    name: str
    title: str
    lay_out: Callable[[Job], Call]
    most: int | None = None  # servers, unless it is named with --only: its runs are long
    every: int = 1  # it takes part in the first of so many rounds
    program: Path = Path(sys.executable)

    @property
    def there(self) -> bool:
        """Whether it is installed."""
        return self.program.exists()


def contestants(checkout: Path) -> tuple[Contestant, ...]:
    """Return all, `provisioning` being the one of `checkout`."""
    return (
        Contestant(name="scripts", title="the scripts alone, no SSH", lay_out=_scripts),
        Contestant(name="floor", title="paramiko, tuned: the floor", lay_out=_floor),
        Contestant(name="provisioning", title="provisioning", lay_out=lambda job: _provisioning(job, checkout)),
        Contestant(name="pyinfra", title="pyinfra", lay_out=_pyinfra, program=PEERS / "pyinfra"),
        Contestant(name="mitogen", title="Ansible with mitogen", lay_out=_mitogen, most=10, program=PEERS / "ansible-playbook"),
        Contestant(
            name="ansible", title="Ansible, tuned", lay_out=_ansible, most=10, every=5, program=PEERS / "ansible-playbook"
        ),
    )


def environment(home: Path) -> dict[str, str]:
    """Return what every contestant gets: a clean home and no settings of the developer's."""
    return {"HOME": str(home), "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}


def program(checkout: Path, folder: Path, *words: str) -> Call:
    """Return a call of the program, with the code of `checkout` and the packages of this environment."""
    command = (str(Path(sys.executable).with_name("provisioning")), *words)
    return Call(command=command, folder=folder, environment={"PYTHONPATH": f"{checkout}:{checkout / 'cli'}"})


def _scripts(job: Job) -> Call:
    return Call(command=(sys.executable, str(HERE / "scripts_alone.py"), "job.json"), folder=job.folder)


def _floor(job: Job) -> Call:
    return Call(command=(sys.executable, str(HERE / "floor.py"), "job.json"), folder=job.folder)


def _provisioning(job: Job, checkout: Path) -> Call:
    folder = job.folder / "workspace"
    folder.mkdir()
    (folder / "workspace.toml").write_text('name = "bench"\n', "utf-8")
    (folder / "servers.json").write_text(json.dumps({"servers": [_declared(job, one) for one in _rows(job)]}), "utf-8")
    (folder / "dag.json").write_text(json.dumps({"formulas": [_formula(one) for one in _rows(job)]}), "utf-8")
    for name in TASKSERVS:
        shutil.copytree(job.bundles / name, folder / "taskservs" / name / "default")
    (folder / ".provisioning").mkdir(mode=0o700)
    shutil.copy(job.known_hosts, folder / ".provisioning" / "known_hosts")
    return program(checkout, folder, "taskserv", "create", "--all")


def _declared(job: Job, row: Mapping[str, object]) -> dict[str, object]:
    login = {"user": row["user"], "port": row["port"], "key_path": str(job.key)}
    return {"hostname": row["hostname"], "address": row["address"], "ssh": login}


def _formula(row: Mapping[str, object]) -> dict[str, object]:
    nodes = [{"taskserv": name} for name in TASKSERVS]
    return {"id": row["hostname"], "server": row["hostname"], "nodes": nodes, "health_gate": {"check_cmd": GATE}}


def _pyinfra(job: Job) -> Call:
    for file in ("inventory.py", "deploy.py"):
        shutil.copy(HERE / "peers" / "pyinfra" / file, job.folder / file)
    command = (str(PEERS / "pyinfra"), "-y", "--parallel", str(FORKS), "--no-wait", "inventory.py", "deploy.py")
    return Call(command=command, folder=job.folder)


def _ansible(job: Job) -> Call:
    for file in ("ansible.cfg", "playbook.yml", "taskserv.yml"):
        shutil.copy(HERE / "peers" / "ansible" / file, job.folder / file)
    hosts = {str(row["hostname"]): _ansible_variables(job, row) for row in _rows(job)}
    common = {"gate": GATE, "bundles": str(job.bundles)}
    inventory = {"all": {"hosts": hosts, "vars": common}}
    (job.folder / "inventory.json").write_text(json.dumps(inventory), "utf-8")
    (job.folder / "c").mkdir()  # control sockets: their whole path may have about a hundred characters
    command = (str(PEERS / "ansible-playbook"), "-f", str(FORKS), "-i", "inventory.json", "playbook.yml")
    arguments = f"-o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile={job.known_hosts}"
    return Call(command=command, folder=job.folder, environment={"ANSIBLE_SSH_ARGS": arguments})


def _mitogen(job: Job) -> Call:
    call = _ansible(job)
    site = next((PEERS.parent / "lib").glob("python3*/site-packages/ansible_mitogen/plugins/strategy"))
    mitogen = {"ANSIBLE_STRATEGY_PLUGINS": str(site), "ANSIBLE_STRATEGY": "mitogen_linear"}
    return Call(command=call.command, folder=call.folder, environment={**call.environment, **mitogen})


def _ansible_variables(job: Job, row: Mapping[str, object]) -> dict[str, object]:
    return {
        "ansible_host": row["address"],
        "ansible_port": row["port"],
        "ansible_user": row["user"],
        "ansible_ssh_private_key_file": str(job.key),
        "ansible_python_interpreter": str(Path(sys.base_prefix) / "bin" / "python3"),
        "ansible_remote_tmp": f"{row['home']}/tmp",
        "root": row["root"],
        "server": {"hostname": row["hostname"], "address": row["address"]},
    }


def _rows(job: Job) -> list[dict[str, object]]:
    return [asdict(machine) for machine in job.machines]
