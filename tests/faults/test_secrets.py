"""Twenty secrets through every way in: none lies or shows anywhere once it has done its work."""

from __future__ import annotations

import base64
import json
import os
import random
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from servers import ThrowawayServers
from support.real import RealWorkspace, formula

pytestmark = pytest.mark.sshd
SEED = 20260106
SAMPLE_EVERY_S = 0.01
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


def canaries(count: int = 20) -> list[str]:
    """Return secrets that nothing else contains, with what shells, URLs and JSON would change in them."""
    dice = random.Random(SEED)
    return [f"cnry{dice.getrandbits(64):016x} '\"$&/+%é{number}" for number in range(count)]


def forms(secret: str) -> Iterator[bytes]:
    """Yield how a secret may be written: plain, its telling part, URL-encoded, as JSON, base64 at each of three offsets."""
    raw = secret.encode()
    yield raw
    yield raw[:20]
    yield quote(secret, safe="").encode()
    yield json.dumps(secret).strip('"').encode()
    for shift in range(3):
        skipped = (3 - shift) % 3  # whole groups of three bytes look the same whatever is around them
        inner = raw[skipped : skipped + (len(raw) - skipped) // 3 * 3]
        yield base64.b64encode(inner)


def hits(data: bytes, secrets: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets that are in some bytes."""
    return [name for name, secret in secrets.items() if any(form in data for form in forms(secret))]


@contextmanager
def sampled(secrets: Mapping[str, str], own: set[int]) -> Iterator[tuple[list[str], list[int]]]:
    """Read every process's arguments and environment again and again; yield what is found and how many were read."""
    found: list[str] = []
    read = [0]
    over = threading.Event()
    telling = {name: secret.encode()[:20] for name, secret in secrets.items()}

    def look() -> None:
        while not over.wait(SAMPLE_EVERY_S):
            for process in Path("/proc").iterdir():
                if not process.name.isdigit() or int(process.name) in own:
                    continue
                for part in ("cmdline", "environ"):
                    try:
                        data = (process / part).read_bytes()
                    except OSError:
                        continue
                    read[0] += 1
                    found.extend(f"{part} of {process.name}: {name}" for name, mark in telling.items() if mark in data)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found, read
    finally:
        over.set()
        thread.join()


def files_with(folder: Path, secrets: Mapping[str, str], allowed: frozenset[Path]) -> tuple[list[str], int]:
    """Return the files below a folder that hold a secret, and how many were read."""
    found, count = [], 0
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path not in allowed:
            count += 1
            found += [f"{path.relative_to(folder)}: {name}" for name in hits(path.read_bytes(), secrets)]
    return found, count


@pytest.fixture
def secrets() -> dict[str, str]:
    return {f"secret_{number}": value for number, value in enumerate(canaries())}


@pytest.fixture
def workspace(tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers], secrets: Mapping[str, str]) -> RealWorkspace:
    """Ten secrets from files, ten from variables of a file's kind; the first one is sudo's password too."""
    servers = throwaway_servers("one")
    made = RealWorkspace(tmp_path / "workspace", servers)
    (tmp_path / "kept").mkdir(mode=0o700)
    lines = []
    for name, value in secrets.items():
        (tmp_path / "kept" / name).write_text(value + "\n", "utf-8")
        lines.append(f'{name} = "file:{tmp_path}/kept/{name}"')
    toml = made.folder / "workspace.toml"
    toml.write_text(toml.read_text("utf-8") + "[secrets]\n" + "\n".join(lines) + "\n", "utf-8")

    names = list(secrets)
    env = "".join(f"V_{name}={{{{ secret('{name}') | sh }}}}\n" for name in names[:8])
    conf = "".join(f"{name}: {{{{ secret('{name}') }}}}\n" for name in names[8:16])
    rest = "".join(f"{{{{ secret(params.{name}) | sh }}}}\n" for name in names[16:])
    # What the script prints of them is masked: as it is, in base64, in pieces, on both streams.
    body = """
. ./env-user
printf '%s\\n' "$V_secret_1" "$V_secret_2" >&2
printf '%s' "${V_secret_3:0:9}"; sleep 0.1; printf '%s\\n' "${V_secret_3:9}"
cat app.conf
sleep 0.3
"""
    body = body.replace("\\\\", "\\")
    params = "".join(f'[params.{name}]\ntype = "secret"\ndefault = "{name}"\n' for name in names[16:])
    toml_text = f"idempotent = true\n{params}"
    made.taskserv("user", body, toml=toml_text, extra={"env-user.j2": env, "app.conf.j2": conf, "rest.j2": rest})
    made.dag(formula("a", "one", "user", health_gate={"check_cmd": "true"}))
    sudo_for(made, tmp_path / "sudo", secrets["secret_0"], tmp_path / "kept" / "secret_0")
    return made


def sudo_for(workspace: RealWorkspace, folder: Path, password: str, kept: Path) -> None:
    """Put our own sudo in front of the server's, which asks for a password."""
    folder.mkdir()
    (folder / "password").write_text(password, "utf-8")
    server = workspace.servers.server("one")
    kept_words = f"PROVISIONING_HOME={server.home} DEMO_ROOT={server.root}"
    (folder / "sudo").write_text(SUDO.replace("{folder}", str(folder)).replace("{kept}", kept_words), "utf-8")
    (folder / "sudo").chmod(0o755)
    public = workspace.servers.client_key.with_suffix(".pub")
    forced = f'command="PATH={folder}:$PATH; export PATH; eval \\"$SSH_ORIGINAL_COMMAND\\"" '
    public.write_text(forced + public.read_text("utf-8"), "utf-8")
    workspace.change_server("one", become={"method": "sudo", "password": f"file:{kept}"})


def test_twenty_secrets_leave_no_trace(
    workspace: RealWorkspace, tmp_path: Path, secrets: Mapping[str, str], say: Callable[[str], None]
) -> None:
    shown = []
    with sampled(secrets, {os.getpid()}) as (seen, read):
        for words in (
            ("taskserv", "create", "--all", "--check", "-o", "json"),
            ("taskserv", "create", "--all"),
            ("taskserv", "create", "--all", "--reset", "-o", "json"),
            ("server", "check", "-o", "json"),
            ("run", "show", "last", "-o", "json"),
            ("run", "logs", "last"),
            ("state", "show", "-o", "json"),
            ("state", "history", "-o", "json"),
        ):
            ended = workspace.run(*words)
            assert ended.code == 0, (words, ended)
            shown.append((words, ended.out + ended.err))
    assert (tmp_path / "sudo" / "asked").exists(), "sudo asked for its password"
    assert "secret_8" in dict(shown)["run", "logs", "last"], "the script has printed what it was given"

    kept = frozenset([*(tmp_path / "kept").iterdir(), tmp_path / "sudo" / "password"])
    found, files = files_with(tmp_path, secrets, kept)
    leaks = [f"{' '.join(words)}: {name}" for words, text in shown for name in hits(text.encode(), secrets)]
    assert seen == []
    assert leaks == []
    printed = [one for one in found if one.partition(":")[0].endswith("/out")]
    assert found == printed, "what a script prints itself is kept as it is beside its claim, for whoever adopts it"
    assert {one.rpartition(" ")[2] for one in printed} == {"secret_1", "secret_2", "secret_3", *list(secrets)[8:16]}
    for path in tmp_path.glob("servers-0/one/state/*/units/*/out"):
        assert any(not stat.S_IMODE(folder.stat().st_mode) & 0o077 for folder in list(path.parents)[:4]), "others get no way in"
    told = f"{files} files, {len(shown)} outputs, {read[0]} reads of /proc"
    say(f"{len(secrets)} secrets, seed {SEED}: 0 hits beside what scripts print themselves, in {told}")


def test_secrets_of_the_environment_leave_no_trace_and_reach_no_program_that_we_start(
    tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = canaries()[0]
    workspace = RealWorkspace(tmp_path / "workspace", throwaway_servers("one"))
    toml = workspace.folder / "workspace.toml"
    toml.write_text(toml.read_text("utf-8") + '[secrets]\npassword = "env:CANARY"\n', "utf-8")
    workspace.taskserv(
        "user", '. ./env-user; test -n "$PASSWORD"', extra={"env-user.j2": "PASSWORD={{ secret('password') | sh }}\n"}
    )
    workspace.dag(formula("a", "one", "user"))
    monkeypatch.setenv("CANARY", secret)

    ended = workspace.run("taskserv", "create", "--all")

    assert ended.code == 0, ended.err
    found, _files = files_with(tmp_path, {"password": secret}, frozenset())
    assert found == []
    assert hits((ended.out + ended.err).encode(), {"password": secret}) == []


def test_the_search_finds_each_form() -> None:
    secret = canaries()[3]
    for form in (secret, quote(secret, safe=""), json.dumps(secret), base64.b64encode(f"x{secret}".encode()).decode()):
        assert hits(f"before {form} after".encode(), {"it": secret}) == ["it"]
