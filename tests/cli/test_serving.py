"""Where a server is started: the workspace there is among those that it offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioning import userfile
from provisioning.errors import ConfigError, NotFoundError
from provisioning.operations.hosting.places import Workspaces
from provisioning_cli.context import App
from provisioning_cli.serving import offer_workspace


def workspace(folder: Path, text: str = 'name = "shop"\n') -> Path:
    folder.mkdir(parents=True)
    (folder / "workspace.toml").write_text(text)
    return folder


def offered() -> list[str]:
    return [str(folder) for folder, _name in Workspaces().folders()]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("PROVISIONING_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_workspace_in_which_a_server_is_started_is_offered_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = workspace(tmp_path / "shop")
    (shop / "infra").mkdir()
    monkeypatch.chdir(shop / "infra")
    offer_workspace(App())
    assert capsys.readouterr().err == f"workspace shop is known from now on: {shop}\n"
    offer_workspace(App())
    assert capsys.readouterr().err == ""
    assert offered() == [str(shop)]
    assert userfile.read().active is None, "which one is active is not changed"


def test_the_one_that_is_asked_for_is_offered(tmp_path: Path) -> None:
    shop, app = workspace(tmp_path / "shop"), App()
    app.given["workspace"] = str(shop)
    offer_workspace(app)
    assert offered() == [str(shop)]


def test_where_there_is_none_nothing_is_said_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    offer_workspace(App())
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "config").exists()


def test_a_name_that_another_workspace_has_is_not_taken_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = workspace(tmp_path / "one"), workspace(tmp_path / "two")
    for folder in (first, second):
        monkeypatch.chdir(folder)
        offer_workspace(App())
    assert offered() == [str(first)]
    assert capsys.readouterr().err.endswith(f"to offer the one here: provisioning workspace use {second}\n")
    (first / "workspace.toml").unlink()
    offer_workspace(App())
    assert offered() == [str(second)], "the other one is gone"


def test_a_wrong_one_keeps_a_server_from_starting_only_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, app = workspace(tmp_path / "wrong", "name = 3\n"), App()
    monkeypatch.chdir(wrong)
    offer_workspace(app)
    assert capsys.readouterr().err.startswith("the workspace here is not offered: ")
    for given, error in ((str(wrong), ConfigError), (str(tmp_path / "none"), NotFoundError)):
        app.given["workspace"] = given
        with pytest.raises(error):
            offer_workspace(app)
    assert offered() == []
