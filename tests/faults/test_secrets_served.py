"""Secrets through a server: what people type to get in, and what its runs are given, is in no answer, stream, log or file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from servers import ThrowawayServers
from support.canaries import SEED, canaries, files_with, new_files_with, sampled, shared_entries
from support.dagengine import Engine, until
from support.natsservers import free_port
from support.outside import outside
from support.overheard import Overheard
from support.secretdag import STEPS, SecretiveEngine
from support.secretive import SecretiveWorkspace

from provisioning.core.access import Role

Say = Callable[[str], None]
TYPED = ("set-up password", "password", "changed password", "new password", "wrong password", "wrong token", "password as name")


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    return canaries(tmp_path)


@pytest.fixture
def typed(tmp_path: Path) -> dict[str, str]:
    """What people type, right and wrong."""
    return dict(zip(TYPED, canaries(tmp_path / "typed", len(TYPED)).values(), strict=True))


@pytest.fixture
def engine(tmp_path: Path, secrets: Mapping[str, str]) -> SecretiveEngine:
    (tmp_path / "home").mkdir()
    return SecretiveEngine(tmp_path / "home", secrets, free_port())


def let_in(asked: Overheard, engine: SecretiveEngine, typed: Mapping[str, str]) -> dict[str, str]:
    """Make users and tokens, and fail to get in; return the keys that the server has made."""
    log = engine.folder / "server.log"
    until(lambda: "give this token: " in log.read_text("utf-8"))
    first = log.read_text("utf-8").partition("give this token: ")[2].split()[0]
    admin = {"name": "admin", "password": typed["set-up password"]}
    session = asked.server.ask("POST", "/api/v1/setup", None, {"token": first, **admin}).headers["set-cookie"]
    cookie = session.partition(";")[0]
    made = asked.server.ask("POST", "/api/v1/tokens", None, {"role": "admin"}, Cookie=cookie, Origin=asked.origin)
    token = str(made.json["token"])
    asked.server = replace(asked.server, tokens=dict.fromkeys(Role, token))
    assert asked("POST", "/users", body={"name": "ann", "password": typed["password"], "role": "viewer"}).status == 201
    assert asked("PATCH", "/users/ann", body={"password": typed["new password"]}).status == 200
    change = {"old": typed["set-up password"], "new": typed["changed password"]}
    assert asked("POST", "/me/password", None, change, Cookie=cookie, Origin=asked.origin).status == 200
    for name, password in (("admin", "wrong password"), ("nobody", "wrong password")):
        assert asked("POST", "/login", None, {"name": name, "password": typed[password]}).status == 401
    assert asked("POST", "/login", None, {"name": typed["password as name"], "password": "x" * 12}).status == 401
    assert asked("GET", "/runs", None, Authorization="Bearer wrong-" + typed["wrong token"][:20]).status == 401
    assert asked("POST", "/users", body={"name": "ben", "password": typed["password"], "role": "king"}).status == 422
    return {"token": token, "session": cookie.partition("=")[2]}


@pytest.mark.timeout(300)
def test_what_goes_into_a_server_in_secret_does_not_come_out(
    engine: SecretiveEngine, tmp_path: Path, secrets: Mapping[str, str], typed: Mapping[str, str], say: Say
) -> None:
    before = shared_entries()
    with outside(engine, known={}) as server, sampled({**secrets, **typed}) as seen:
        asked = Overheard(server=server)
        made = let_in(asked, engine, typed)
        run = str(asked("POST", "/dags/outer/runs", body={}).json["run_id"])
        with asked.stream([f"run:{run}", "runs", "dags", *(f"log:{run}/{step}" for step in STEPS)]):
            ended = asked.server.until("ended", run)
        inner = next(one["run_id"] for one in asked("GET", "/runs?inside=true").json["runs"] if one["workflow"] == "inner")
        asked.all_of(run, STEPS)
        asked.all_of(inner, ["told"])
        asked.everything_else("/dags/outer", "/dags/outer/source", "/dags/outer/graph", "/dags/outer/validate")
        assert asked("POST", f"/runs/{run}/retry", body={}).status == 202
        asked.server.until("ended", run)
        asked.all_of(run, STEPS)

    assert {step["id"]: step["state"] for step in ended["steps"]} == STEPS, "each has been at work"
    assert b"***" in dict(asked.said)[f"GET /runs/{run}/log"]
    given = {**secrets, **typed, **made}
    assert asked.with_secrets(given) == []
    found, files = files_with(tmp_path, given, engine.kept_files)
    new, more = new_files_with(before, given)
    assert found + new == []
    assert [one for one in seen.found if one.startswith("cmdline")] == [], "variables are what steps get their secrets in"
    answers = f"{len(asked.said)} answers of {asked.size_bytes / 1000:.0f} kB"
    say(f"{len(given)} secrets, seed {SEED}: 0 hits in {answers}, {files + more} files, {seen.reads} reads of /proc")


@pytest.mark.sshd
@pytest.mark.timeout(300)
def test_what_a_workspace_is_given_in_secret_does_not_come_out_of_a_server(
    tmp_path: Path,
    throwaway_servers: Callable[..., ThrowawayServers],
    secrets: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    say: Say,
) -> None:
    before = shared_entries()
    workspace = SecretiveWorkspace(tmp_path / "workspace", throwaway_servers("one"), secrets)
    with workspace.agent() as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        monkeypatch.setenv("CANARY", secrets["secret_19"])
        with outside(Engine(workspace.folder)) as server, sampled(secrets) as seen:
            asked = Overheard(server=server)
            for body in ({"everything": True, "keep_going": True}, {"taskserv": "broken"}):
                run = str(asked("POST", "/workspaces/test/provision", body=body).json["run_id"])
                steps = [step["id"] for step in asked("GET", f"/runs/{run}/steps").json["steps"]]
                with asked.stream([f"run:{run}", "runs", *(f"log:{run}/{quote(step, safe='')}" for step in steps)]):
                    server.until("ended", run)
                asked.all_of(run, steps)
            asked.everything_else(*(f"/workspaces/test{part}" for part in ("", "/plan", "/state", "/servers", "/graph")))

    assert b"***" in dict(asked.said)[f"GET /runs/{run}/log"]
    assert asked.with_secrets(secrets) == []
    found, files = files_with(tmp_path, secrets, workspace.allowed)
    new, more = new_files_with(before, secrets)
    assert found + new == []
    assert [one for one in seen.found if "19" not in one] == [], "the variable is in the environment of the server itself"
    answers = f"{len(asked.said)} answers of {asked.size_bytes / 1000:.0f} kB"
    say(f"{len(secrets)} secrets, seed {SEED}: 0 hits in {answers}, {files + more} files, {seen.reads} reads of /proc")
