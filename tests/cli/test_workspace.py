"""`workspace`, `server` and `taskserv`: what can be looked at without running anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.calls import Caller

from provisioning import userfile


def test_use_makes_a_workspace_active_where_no_other_is_meant(cli: Caller, sample: Path) -> None:
    assert cli("workspace", "show").code == 4
    assert cli("workspace", "use", str(sample)).code == 0
    assert cli("workspace", "show", "-o", "json").json["path"] == str(sample)
    assert cli("workspace", "list", "-o", "json").json["workspaces"] == [
        {"name": "test", "path": str(sample), "active": True, "exists": True}
    ]
    assert cli("workspace", "use", "test").code == 0
    answer = cli("workspace", "use", "tst")
    assert answer.code == 4
    assert "test" in answer.err


def test_the_nearest_workspace_upward_comes_before_the_active_one(
    cli: Caller, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "workspace.toml").write_text('name = "other"\n')
    cli("workspace", "use", str(other))
    monkeypatch.chdir(sample / "infra" / "main")
    assert cli("workspace", "show", "-o", "json").json["name"] == "test"
    assert cli("-w", str(other), "workspace", "show", "-o", "json").json["name"] == "other"


def test_an_active_workspace_that_is_gone_is_said(cli: Caller, tmp_path: Path) -> None:
    userfile.write(userfile.UserFile(path=userfile.config_path(), active=str(tmp_path / "gone")))
    answer = cli("dag", "show")
    assert answer.code == 4
    assert "is gone" in answer.err


def test_validate_checks_every_infra_at_once(cli: Caller, sample: Path) -> None:
    assert cli("-w", str(sample), "workspace", "validate", "-o", "json").json["valid"]
    for name in ("one", "two"):
        (sample / "infra" / name).mkdir()
        (sample / "infra" / name / "servers.json").write_text("{")
    answer = cli("-w", str(sample), "workspace", "validate", "-o", "json")
    assert answer.code == 3
    assert {fault["file"] for fault in answer.json["faults"]} == {"infra/one/servers.json", "infra/two/servers.json"}


@pytest.mark.parametrize("noun", ["workspace", "dag"])
@pytest.mark.parametrize(
    "text", ["name = 3", "name = ", 'name = "x"\n[settings.run]\nmax_paralel = 3'], ids=["type", "syntax", "setting"]
)
def test_a_broken_workspace_file_is_a_fault_like_every_other(cli: Caller, sample: Path, noun: str, text: str) -> None:
    (sample / "workspace.toml").write_text(text)
    answer = cli("-w", str(sample), noun, "validate", "-o", "json")
    assert answer.code == 3
    assert answer.json["valid"] is False
    assert answer.json["faults"][0]["file"] == "workspace.toml"


def test_a_workspace_without_any_infra_is_not_valid(cli: Caller, tmp_workspace: Path) -> None:
    assert cli("-w", str(tmp_workspace), "workspace", "validate").code == 3


def test_a_new_workspace_is_valid_and_known(cli: Caller, tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    made = cli("workspace", "init", str(folder), "-o", "json")
    assert (made.code, made.json["name"], made.json["path"]) == (0, "fresh", str(folder))
    assert all((folder / file).is_file() for file in made.json["files"])
    assert cli("-w", str(folder), "workspace", "validate", "-o", "json").json["faults"] == []
    assert cli("-w", str(folder), "dag", "plan").code == 0
    assert cli("workspace", "use", "fresh").code == 0
    assert cli("workspace", "show", "-o", "json").json["name"] == "fresh"


@pytest.mark.parametrize("there", ["workspace.toml", "dag.json", "dag.ncl", "infra"])
def test_init_never_writes_over_or_beside_what_contradicts_it(cli: Caller, tmp_path: Path, there: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / there).write_text("mine")
    assert cli("workspace", "init", str(folder)).code == 2
    assert [path.name for path in folder.iterdir()] == [there]
    assert (folder / there).read_text() == "mine"


def test_init_keeps_a_gitignore_that_is_there(cli: Caller, tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine")
    assert cli("workspace", "init", str(tmp_path), "--name", "x").code == 0
    assert (tmp_path / ".gitignore").read_text() == "mine"


@pytest.mark.parametrize("name", ["../up", "a/b", "-x", "a b", "", "a\n", "x" * 129, "ü"])
def test_hostile_names_make_nothing(cli: Caller, sample: Path, tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert cli("-w", str(sample), "taskserv", "generate", "--", name).code == 2
    if name:
        assert cli("workspace", "init", str(tmp_path / "new"), f"--name={name}").code == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_a_generated_taskserv_is_valid_and_executable(cli: Caller, sample: Path) -> None:
    made = cli("-w", str(sample), "taskserv", "generate", "web", "-o", "json")
    assert made.code == 0
    script = sample / "taskservs/web/default/install-web.sh"
    assert script.stat().st_mode & 0o111
    assert cli("-w", str(sample), "taskserv", "validate", "web", "-o", "json").json["faults"] == []
    assert cli("-w", str(sample), "taskserv", "generate", "web").code == 2


def test_servers_are_listed_and_shown_with_their_formulas(cli: Caller, sample: Path) -> None:
    servers = cli("-w", str(sample), "server", "list", "-o", "json").json["servers"]
    assert [(one["hostname"], one["address"], one["formulas"]) for one in servers] == [
        ("s-0", "192.0.2.1", ["base"]),
        ("s-1", "192.0.2.2", ["app"]),
    ]
    assert "192.0.2.1" in cli("-w", str(sample), "s", "show", "s-0").out
    answer = cli("-w", str(sample), "server", "show", "s0")
    assert answer.code == 4
    assert "s-0" in answer.err


def test_ssh_calls_openssh_with_the_declared_login(cli: Caller, sample: Path) -> None:
    (sample / "infra/main/servers.json").write_text(
        '{"servers": [{"hostname": "s-0", "address": "192.0.2.1", "ssh": {"user": "admin", "port": 2200, "key_path": "keys/id",'
        ' "proxy_jump": "jump@192.0.2.9"}}, {"hostname": "s-1", "address": "192.0.2.2"}]}'
    )
    answer = cli("-w", str(sample), "server", "ssh", "-o", "json", "s-0", "ls", "-l", "-o")
    assert answer.json["command"] == [
        *("ssh", "-p", "2200", "-i", str(sample / "keys/id"), "-J", "jump@192.0.2.9", "--", "admin@192.0.2.1"),
        *("ls", "-l", "-o"),
    ]


def test_taskservs_are_listed_shown_and_validated(cli: Caller, sample: Path) -> None:
    listed = cli("-w", str(sample), "taskserv", "list", "-o", "json").json["taskservs"]
    assert {one["name"]: one["formulas"] for one in listed}["redis"] == ["base", "app"]
    shown = cli("-w", str(sample), "t", "show", "redis", "-o", "json").json
    assert (shown["profiles"], shown["servers"]) == (["default"], [])
    assert cli("-w", str(sample), "taskserv", "validate", "redis", "-o", "json").json["valid"]
    (sample / "taskservs/redis/default/install-redis.sh").unlink()
    answer = cli("-w", str(sample), "taskserv", "validate", "-o", "json")
    assert answer.code == 3
    assert answer.json["faults"][0]["code"] == "missing_script"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "nushell"])
def test_every_shell_gets_a_script(cli: Caller, shell: str) -> None:
    text = cli("completion", shell).out
    assert "_PROVISIONING_COMPLETE" in text
    assert cli("completion", shell, "-o", "json").json == {"shell": shell, "script": text}


def test_an_unknown_shell_is_a_usage_error(cli: Caller) -> None:
    assert cli("completion", "tcsh").code == 2


def test_nushell_is_given_names_as_json(cli: Caller, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sample)
    monkeypatch.setenv("_PROVISIONING_COMPLETE", "nushell_complete")
    monkeypatch.setenv("PROVISIONING_SPANS", '["provisioning", "taskserv", "create", "red"]')
    assert cli().json == [{"value": "redis", "description": ""}]
    monkeypatch.setenv("PROVISIONING_SPANS", '["provisioning", "ru"]')
    assert [item["value"] for item in cli().json] == ["run"]


def test_completion_says_nothing_where_there_is_no_workspace(cli: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_PROVISIONING_COMPLETE", "nushell_complete")
    monkeypatch.setenv("PROVISIONING_SPANS", '["provisioning", "taskserv", "create", ""]')
    answer = cli()
    assert (answer.json, answer.err) == ([], "")
