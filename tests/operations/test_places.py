"""Where DAG files, their base, flags and history are."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioning.errors import UsageError
from provisioning.operations.dagu.places import Places, find_places
from provisioning.settings import DaguSettings


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home folder with DAG files in every place where they can be."""
    for name in ("option", "homeoption/dags", "setting", "variable/dags", "user/.dagu/dags", "user/.config/dagu/dags"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def found(home: Path, count: int) -> Places:
    """Return the places when only the last `count` of the ways to say the folder are used."""
    if count < 2:
        (home / "user/.dagu/dags").rmdir()
    return find_places(
        dags=str(home / "option") if count > 5 else None,
        home=str(home / "homeoption") if count > 4 else None,
        settings=DaguSettings(dags=str(home / "setting") if count > 3 else ""),
        environment={"HOME": str(home / "user")} | ({"DAGU_HOME": str(home / "variable")} if count > 2 else {}),
    )


@pytest.mark.parametrize(
    ("count", "dags"),
    [
        pytest.param(6, "option", id="--dags wins"),
        pytest.param(5, "homeoption/dags", id="then --dagu-home"),
        pytest.param(4, "setting", id="then the setting"),
        pytest.param(3, "variable/dags", id="then DAGU_HOME"),
        pytest.param(2, "user/.dagu/dags", id="then Dagu's old folder"),
        pytest.param(1, "user/.config/dagu/dags", id="then XDG's"),
    ],
)
def test_the_first_folder_that_is_said_wins(home: Path, count: int, dags: str) -> None:
    places = found(home, count)
    assert places.dags == home / dags
    assert places.named == (count > 2)
    assert places.functions == home / dags / "functions.toml"


@pytest.mark.parametrize(
    ("count", "base", "suspended"),
    [
        pytest.param(5, "homeoption/base.yaml", "homeoption/suspend", id="--dagu-home"),
        pytest.param(3, "variable/base.yaml", "variable/suspend", id="DAGU_HOME"),
        pytest.param(2, "user/.dagu/base.yaml", "user/.dagu/suspend", id="the old folder"),
        pytest.param(1, "user/.config/dagu/base.yaml", "user/.local/share/dagu/suspend", id="XDG"),
    ],
)
def test_base_and_flags_are_where_dagu_has_them(home: Path, count: int, base: str, suspended: str) -> None:
    assert found(home, count).base is None
    (home / base).write_text("")
    (home / "user/.dagu/dags").mkdir(exist_ok=True)
    places = found(home, count)
    assert (places.base, places.suspended) == (home / base, home / suspended)


def test_a_base_lies_in_a_named_folder_or_beside_one_that_is_called_dags(tmp_path: Path) -> None:
    dags, other = tmp_path / "dags", tmp_path / "other"
    for folder in (dags, other):
        folder.mkdir()
    (tmp_path / "base.yaml").write_text("")
    assert find_places(dags=str(dags), environment={}).base == tmp_path / "base.yaml"
    assert find_places(dags=str(other), environment={}).base is None, "a shared folder's base.yaml is anybody's"
    for folder in (dags, other):
        (folder / "base.yaml").write_text("")
        assert find_places(dags=str(folder), environment={}).base == folder / "base.yaml"


def test_of_a_folder_that_anybody_may_write_to_nothing_counts(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "base.yaml").write_text("")
    tmp_path.chmod(0o1777)
    places = find_places(dags=str(tmp_path / "dags"), settings=DaguSettings(data="/data"), environment={})
    assert (places.base, places.suspended) == (None, Path("/data/suspend"))


def test_history_is_in_the_users_data_folder_or_where_the_setting_says() -> None:
    assert find_places(environment={"HOME": "/h"}).data == Path("/h/.local/share/provisioning/dagu")
    assert find_places(environment={"HOME": "/h", "XDG_DATA_HOME": "/x"}).data == Path("/x/provisioning/dagu")
    assert find_places(environment={"HOME": "/h", "XDG_DATA_HOME": "x"}).data == Path("/h/.local/share/provisioning/dagu")
    assert find_places(settings=DaguSettings(data="/srv/history"), environment={}).data == Path("/srv/history")


def test_an_empty_option_does_not_mean_the_current_folder() -> None:
    with pytest.raises(UsageError, match="--dags is empty"):
        find_places(dags="")
    with pytest.raises(UsageError, match="--dagu-home is empty"):
        find_places(home="")


@pytest.mark.parametrize("folder", ["x" * 5000, "~nobody-of-that-name/dags", "a\0b"], ids=["long", "no user", "zero"])
def test_any_text_may_be_a_folder(folder: str) -> None:
    assert find_places(dags=folder, environment={}).base is None
    assert find_places(home=folder, environment={}).base is None


def test_an_unset_dagu_home_is_none() -> None:
    assert find_places(environment={"HOME": "/h", "DAGU_HOME": ""}).dags == Path("/h/.config/dagu/dags")
