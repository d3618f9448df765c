"""Steps in containers: from what a Dagu file says of one to the settings of the action `docker`, or words of its client.

There has to be a shell in a container only where the file names one, or gives several commands or a script.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType

from provisioning.core.dagu.shells import Shell, command_words, interpreter, script_words, split_words
from provisioning.core.frozen import dataclass

CLIENT = "docker"
_READ_PROGRAM = 'eval "$(cat)"'
_EACH = 'for one; do {start} "$one" || exit; done'
_IDLE = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A container whose texts are evaluated: one from an image, or (`exec_in`) a running one."""

    image: str = ""
    exec_in: str = ""
    name: str = ""
    pull_policy: str = "missing"  # missing | always | never
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    volumes: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    platform: str = ""
    ports: tuple[str, ...] = ()
    network: str = ""
    keep: bool = False
    shell: tuple[str, ...] = ()


# ---------------------------------------------------------------- one step


def docker_settings(
    box: Box,
    *,
    commands: Sequence[str] = (),
    script: str | None = None,
    argv: Sequence[str] = (),
    cwd: str = "",
    home: str = "",
) -> dict[str, object]:
    """Return the settings of the action `docker`. `cwd` and `home` are what folders of this machine are relative to."""
    settings: dict[str, object] = {"exec": box.exec_in} if box.exec_in else _of_image(box, cwd, home)
    settings |= {"user": box.user, "workdir": box.working_dir, "env": dict(box.env)}
    return {name: value for name, value in settings.items() if value} | _work(box.shell, commands, script, argv)


def _of_image(box: Box, cwd: str, home: str) -> dict[str, object]:
    return {
        "image": box.image,
        "name": box.name,
        "pull": box.pull_policy,
        "volumes": [volume_from(volume, cwd, home) for volume in box.volumes],
        "platform": box.platform,
        "ports": list(box.ports),
        "network": box.network,
        "keep": box.keep,
    }


def _work(shell: Sequence[str], commands: Sequence[str], script: str | None, argv: Sequence[str]) -> dict[str, object]:
    """Return command and input. A script never stands in arguments, and it needs no file."""
    if argv:
        return {"command": list(argv)}
    if script is not None:
        named = [word for command in commands for word in split_words(command)]
        starter = named or (script_words(Shell(words=tuple(shell))) if shell else interpreter(script)) or ["sh"]
        return {"command": ["sh", "-c", _READ_PROGRAM], "stdin": script_program(starter, script)}
    if not commands:
        return {}
    if shell:
        *start, only = command_words(Shell(words=tuple(shell)), commands[0])
        each = ["sh", "-c", _EACH.format(start=shlex.join(start)), "sh", *commands]
        return {"command": [*start, only] if len(commands) == 1 else each}
    words = [split_words(command) for command in commands]
    return {"command": words[0] if len(words) == 1 else ["sh", "-c", " && ".join(shlex.join(one) for one in words if one)]}


def script_program(starter: Sequence[str], script: str) -> str:
    """Return what a shell reads that is to run a script, with the program that `starter` is, from no file at all."""
    mark = "END_OF_SCRIPT"
    while mark in script:
        mark += "_"
    body = script if script.endswith("\n") else f"{script}\n"
    return f"{{ exec {shlex.join(starter)} /dev/fd/3 3<<'{mark}' </dev/null\n{body}{mark}\n}}\n"


def volume_from(volume: str, cwd: str, home: str) -> str:
    """Return a volume whose folder on this machine, unless it is a name, stands there from the root on."""
    source, colon, rest = volume.partition(":")
    if not colon or not (source.startswith((".", "~/")) or source == "~"):
        return volume
    base, relative = (home, source[1:].lstrip("/")) if source.startswith("~") else (cwd, source)
    return f"{posixpath.normpath(posixpath.join(base, relative))}:{rest}"


# ---------------------------------------------------------------- a container for a whole run


def start_words(box: Box, name: str, *, run: str, cwd: str = "", home: str = "", client: str = CLIENT) -> list[str]:
    """Return the words that start a container in which nothing happens until somebody runs commands in it."""
    words = [client, "run", "--detach", "--init", f"--name={name}", f"--label=provisioning.run={run}"]
    options = (
        *(("pull", box.pull_policy), ("platform", box.platform), ("network", box.network)),
        *(("user", box.user), ("workdir", box.working_dir)),
    )
    words += [f"--{option}={value}" for option, value in options if value]
    words += [f"--volume={volume_from(volume, cwd, home)}" for volume in box.volumes]
    words += [f"--publish={port}" for port in box.ports]
    return [*words, "--entrypoint=sh", "--", box.image, "-c", _IDLE]


def inside(box: Box, name: str) -> Box:
    """Return the box that steps use while the container of their run lives: the same, running under a name."""
    where = box.exec_in or name
    return Box(exec_in=where, env=box.env, user=box.user, working_dir=box.working_dir, shell=box.shell)


def remove_words(name: str, *, client: str = CLIENT) -> list[str]:
    """Return the words that end a container and remove it, whatever it does."""
    return [client, "rm", "--force", "--volumes", "--", name]
