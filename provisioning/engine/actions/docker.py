"""Runs a container through the command line of Docker or Podman. Settings: see docs/reference/actions.md."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from provisioning.core.outside import Content, Ears, Ended, Processes, Program
from provisioning.core.ports import Task
from provisioning.core.stopping import stop_script
from provisioning.core.text import plain_text
from provisioning.engine.actions import Context, Result, Traits
from provisioning.engine.actions.checking import (
    Check,
    environment,
    faults,
    flag,
    given,
    name,
    one_of,
    refused,
    text,
    texts,
    whole,
)
from provisioning.engine.actions.programs import (
    CAPTURE_BYTES,
    GRACE_S,
    OUTPUT_SETTINGS,
    Kept,
    first_line,
    marks,
    result_of,
    to_its_end,
    variables,
)

CLIENT_FAILED = 125  # what the client ends with when it could not start the container
PATIENCE_S = 15.0  # with a client that is to stop or remove a container, besides the container's own grace
_TAIL_BYTES = 4096
_FILE_LINE = 32 * 1024  # characters of a variable that a file of variables can hold
_STEERING = ("DOCKER_", "CONTAINERS_", "CONTAINER_", "BUILDKIT_", "LD_", "XDG_", "SSL_CERT_")
_STEERS = frozenset(
    {"PATH", "HOME", "TMPDIR", "GODEBUG", "SSH_AUTH_SOCK", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"}
)
_PORT = re.compile(r"(?:[0-9.]+:|\[[0-9a-fA-F:]+\]:)?(?:[0-9]+(?:-[0-9]+)?:)?[0-9]+(?:-[0-9]+)?(?:/(?:tcp|udp|sctp))?\Z")
_NOT_THERE = re.compile(
    r"^error\b.*(?:no such container|no container with name|is not running|container state improper)", re.I | re.M
)
_NO_DAEMON = (
    "cannot connect to the docker daemon",
    "is the docker daemon running",
    "failed to connect to the docker api",
    "permission denied while trying to connect to the docker",
    "error during connect",
    "cannot connect to podman",
)


# ---------------------------------------------------------------- settings


def check_settings(settings: Mapping[str, object]) -> list[str]:
    """Return what is wrong with the settings of a docker step, all of it."""
    found = faults(settings, SETTINGS)
    if settings.get("exec") is None:
        return found if settings.get("image") is not None else [*found, "image has to be there"]
    if useless := given(settings, *sorted(SETTINGS.keys() - _OF_EXEC)):
        found.append(f"exec takes a container as it is, so it goes without {', '.join(useless)}")
    if not _words(settings.get("command") if not _command(settings.get("command")) else None):
        found.append("exec needs a command")
    return found


def _command(value: object) -> str:
    if isinstance(value, str):
        try:
            shlex.split(value)
        except ValueError as error:
            return f"text that splits into words ({str(error).lower()}), or a list of texts"
        return text(value)
    return "" if not texts(value) else "a text or a list of texts"


def _volumes(value: object) -> str:
    if wanted := texts(value):
        return wanted
    for volume in cast("Sequence[str]", value):
        source, _, rest = volume.partition(":")
        target, _, mode = rest.partition(":")
        if not source or not target.startswith("/") or (mode and not mode.replace(",", "").isalpha()):
            return f"a list of SOURCE:/TARGET or SOURCE:/TARGET:ro, unlike {volume!r}"
    return ""


def _ports(value: object) -> str:
    if wanted := texts(value):
        return wanted
    wrong = next((port for port in cast("Sequence[str]", value) if not _PORT.match(port)), None)
    return "" if wrong is None else f"a list of PORT, HOST_PORT:PORT or ADDRESS:HOST_PORT:PORT, unlike {wrong!r}"


def _cpus(value: object) -> str:
    right = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 10_000
    return "" if right else "a number above 0"


_RUN_OPTIONS = ("network", "user", "workdir", "memory", "cpus", "pull", "platform")
_EXEC_OPTIONS = ("user", "workdir")
SETTINGS: Mapping[str, Check] = {
    "image": name,
    "exec": name,
    "name": name,
    "command": _command,
    "entrypoint": _command,
    "env": environment,
    "volumes": _volumes,
    "network": name,
    "user": name,
    "workdir": name,
    "memory": name,
    "cpus": _cpus,
    "pull": one_of("missing", "always", "never"),
    "platform": name,
    "ports": _ports,
    "stdin": text,
    "docker": name,
    "keep": flag,
    **OUTPUT_SETTINGS,
    "grace_s": whole,
}
_OF_EXEC = frozenset({"exec", "command", "env", "stdin", "docker", *_EXEC_OPTIONS, *OUTPUT_SETTINGS})


# ---------------------------------------------------------------- the action


class DockerAction:
    """The action `docker`."""

    traits = Traits()

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    async def run(self, task: Task, context: Context) -> Result:
        """Run a container. Cancelling stops it, removes it and ends the client, and returns when that is done."""
        settings = task.action.settings
        env, wrong = variables(task)
        if found := check_settings(settings) + wrong + _beside_the_file(env):
            return refused(found)
        limit = settings.get("capture_bytes")
        kind = _Container if settings.get("exec") is None else _Inside
        container = kind(self._processes, task, context)
        kept = Kept(context, CAPTURE_BYTES if limit is None else int(cast("int", limit)))
        ended, said = await container.run(env, kept)
        if ended.code == CLIENT_FAILED and container.ours and container.name in said and "is already in use" in said:
            context.note(f"removing container {container.name}: a worker that was lost has left it")
            await container.remove()
            ended, said = await container.run(env, kept)
        label = first_line(" ".join([str(settings.get("exec") or settings["image"]), *_words(settings.get("command"))]))
        result = result_of(ended, label, kept, context, wants_json=settings.get("output") == "json")
        return _explained(result, ended, said, container.client, inside=kind is _Inside)


class _Container:
    """The container of one attempt."""

    def __init__(self, processes: Processes, task: Task, context: Context) -> None:
        self._processes, self._task, self._context = processes, task, context
        self._settings = task.action.settings
        grace = self._settings.get("grace_s")
        self._grace_s = int(GRACE_S if grace is None else cast("int", grace))
        self.client = str(self._settings.get("docker") or "docker")
        self.ours = self._settings.get("name") is None
        self.name = container_name(task) if self.ours else str(self._settings["name"])

    async def run(self, env: Mapping[str, str], kept: Kept) -> tuple[Ended, str]:
        """Run it to its end; return that, and the last words on standard error."""
        said = bytearray()

        def heard(data: bytes) -> None:
            said.extend(data)
            del said[:-_TAIL_BYTES]
            kept.ears.stderr(data)

        program = Program(
            words=self._call(env),
            env={name: value for name, value in env.items() if not _fits_a_file(value)},
            stdin=str(self._settings.get("stdin") or "").encode("utf-8", "surrogateescape"),
            grace_s=1.0,  # of the client, whose container has been stopped
        )
        client = asyncio.ensure_future(self._processes.run(program, replace(kept.ears, stderr=heard)))
        try:
            ended = await asyncio.shield(client)
        except asyncio.CancelledError:
            await to_its_end(self._stop(client))
            raise
        return ended, plain_text(bytes(said))

    async def _stop(self, client: asyncio.Future[Ended]) -> None:
        """Stop the container, then the client: it may still be about to make one. What it has made is removed after that."""
        await self._ask("stop", "-t", str(self._grace_s), self.name, patience_s=self._grace_s + PATIENCE_S)
        client.cancel()
        await asyncio.wait([client])
        if not self._settings.get("keep"):
            await self.remove()

    async def remove(self) -> None:
        """Remove it, whatever it does. One that is not there is no error."""
        await self._ask("rm", "-f", self.name, patience_s=PATIENCE_S)

    async def _ask(self, *words: str, patience_s: float) -> Ended | None:
        """Have a client do something about the container; return how that ended, or None when it hangs."""
        ears = Ears(stdout=lambda _data: None, stderr=lambda _data: None)
        program = Program(words=[self.client, *words], grace_s=0.0)
        try:
            return await asyncio.wait_for(self._processes.run(program, ears), patience_s)
        except TimeoutError:
            where = self._settings.get("exec") or self.name
            self._context.note(f"`{self.client} {words[0]}` did not end within {patience_s:g} s: look after {where}")
            return None

    def _call(self, env: Mapping[str, str]) -> list[str | Content]:
        settings, task = self._settings, self._task
        words: list[str | Content] = [self.client, "run", f"--name={self.name}"]
        words += [] if settings.get("keep") else ["--rm"]
        words += [f"--label=provisioning.run={task.run}", f"--label=provisioning.step={task.step}"]
        words += self._options(_RUN_OPTIONS)
        words += [f"--volume={volume}" for volume in cast("Sequence[str]", settings.get("volumes") or ())]
        words += [f"--publish={port}" for port in cast("Sequence[str]", settings.get("ports") or ())]
        words += self._variables({**env, **marks(task)})
        entry, command = _words(settings.get("entrypoint")), _words(settings.get("command"))
        if settings.get("entrypoint") is not None:
            words.append(f"--entrypoint={entry[0] if entry else ''}")
        return [*words, str(settings["image"]), *entry[1:], *command]

    def _options(self, names: Sequence[str]) -> list[str]:
        settings = self._settings
        words = ["--interactive"] if settings.get("stdin") is not None else []
        return words + [f"--{option}={settings[option]}" for option in names if settings.get(option) is not None]

    def _variables(self, inside: Mapping[str, str]) -> list[str | Content]:
        lines = "".join(f"{name}={value}\n" for name, value in inside.items() if _fits_a_file(value))
        beside = [f"--env={name}" for name, value in inside.items() if not _fits_a_file(value)]
        return ["--env-file", Content(lines.encode("utf-8", "surrogateescape")), *beside]


class _Inside(_Container):
    """A command in a container that runs already, and goes on when the command has ended."""

    @property
    def _mark(self) -> str:
        """What the command's processes have among their variables, and nobody else has."""
        return f"PROVISIONING_ERRAND={container_name(self._task)}"

    async def _stop(self, client: asyncio.Future[Ended]) -> None:
        """End what runs inside: it would go on without its client. Only a shell in the container can do that."""
        script = stop_script(self._mark, grace_s=self._grace_s)
        words = [*self._options(_EXEC_OPTIONS), str(self._settings["exec"]), "sh", "-c", script]
        words = [word for word in words if word != "--interactive"]
        ended = await self._ask("exec", *words, patience_s=self._grace_s + PATIENCE_S)
        if ended is not None and (ended.kind, ended.code) != ("exit", 0):
            self._context.note(f"what runs in container {self._settings['exec']} could not be stopped: look after it")
        client.cancel()
        await asyncio.wait([client])

    def _call(self, env: Mapping[str, str]) -> list[str | Content]:
        name, _, value = self._mark.partition("=")
        words: list[str | Content] = [self.client, "exec", *self._options(_EXEC_OPTIONS)]
        words += self._variables({**env, **marks(self._task), name: value})
        return [*words, str(self._settings["exec"]), *_words(self._settings.get("command"))]


def container_name(task: Task) -> str:
    """Return the name of an attempt's container: another one for every run, step and attempt."""
    digest = hashlib.sha256(f"{task.run}\0{task.step}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"prov-{digest[:16]}-{task.attempt}"


def _words(value: object) -> list[str]:
    """Return a command as a list; a text is split as a shell would, but no shell is asked."""
    if value is None:
        return []
    return shlex.split(value) if isinstance(value, str) else list(cast("Sequence[str]", value))


# ---------------------------------------------------------------- variables


def _fits_a_file(value: str) -> bool:
    """Whether a file of variables, which has a line for each, can hold it: the others go through the client's environment."""
    return len(value) < _FILE_LINE and "\n" not in value and "\r" not in value


def _beside_the_file(env: Mapping[str, str]) -> list[str]:
    """Return what is wrong with variables that only the client's environment can hold, when they would steer the client."""
    return [
        f"env cannot give {name} a value of several lines, or of more than {_FILE_LINE:,} characters: it steers the client"
        for name, value in env.items()
        if not _fits_a_file(value) and (name.upper() in _STEERS or name.upper().startswith(_STEERING))
    ]


# ---------------------------------------------------------------- why not


def _explained(result: Result, ended: Ended, said: str, client: str, *, inside: bool) -> Result:
    """Return the end of a step, told apart where it was the client that failed and not the container."""
    if ended.kind == "missing":
        hint = "install Docker or Podman on this worker, or name the program in the setting docker"
        return replace(result, error_kind="docker_missing", error=f"{ended.message}; {hint}")
    if ended.kind != "exit" or not (ended.code == CLIENT_FAILED or (inside and ended.code == 1 and _NOT_THERE.search(said))):
        return result
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip() and "--help" not in line), "")
    if any(sign in said.lower() for sign in _NO_DAEMON):
        return replace(result, error_kind="docker_unavailable", error=f"{client} does not reach its daemon: {last[:300]}")
    return replace(result, error_kind="docker", error=f"{client} could not run the container: {last[:300] or 'exit code 125'}")
