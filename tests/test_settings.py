"""Settings come from the first layer that has them, and every wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioning import userfile
from provisioning.errors import ConfigError
from provisioning.settings import described, reference, resolve


def test_defaults_hold_where_nothing_is_said() -> None:
    settings = resolve(environment={})
    assert settings.run.max_parallel == 32
    assert {one.name: one.default for one in described()}["run.max_parallel"] == 32


@pytest.mark.parametrize(
    ("layers", "value"),
    [
        pytest.param(4, 1, id="a flag wins"),
        pytest.param(3, 2, id="then the environment"),
        pytest.param(2, 3, id="then the workspace"),
        pytest.param(1, 4, id="then the user"),
        pytest.param(0, 32, id="then the default"),
    ],
)
def test_the_first_layer_that_has_a_setting_wins(layers: int, value: int) -> None:
    settings = resolve(
        flags={"run.max_parallel": 1 if layers > 3 else None},
        environment={"PROVISIONING_RUN_MAX_PARALLEL": "2"} if layers > 2 else {},
        workspace={"run": {"max_parallel": 3}} if layers > 1 else {},
        user={"run.max_parallel": 4} if layers > 0 else {},
    )
    assert settings.run.max_parallel == value


def test_every_wrong_setting_is_named_with_its_place_and_the_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(
            environment={"PROVISIONING_SSH_CONNECT_TIMEOUT_S": "soon"},
            workspace={"run": {"max_paralel": 3, "max_parallel": 0}},
            user={"log": {"max_bytes": True}},
        )
    found = [(fault.file, fault.path) for fault in caught.value.faults]
    assert found == [
        ("config.toml", "$.settings.log.max_bytes"),
        ("workspace.toml", "$.settings.run.max_paralel"),
        ("workspace.toml", "$.settings.run.max_parallel"),
        ("environment", "$.settings.ssh.connect_timeout_s"),
    ]
    assert "run.max_parallel" in caught.value.faults[1].hint
    assert "at least 1" in caught.value.faults[2].message


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "1.5", "-1", "0", [], {}, None])
def test_values_that_are_no_whole_numbers_are_refused(value: object) -> None:
    if value == {}:
        assert resolve(environment={}, workspace={"run.max_parallel": value}).run.max_parallel == 32
        return
    with pytest.raises(ConfigError):
        resolve(environment={}, workspace={"run.max_parallel": value})


def test_texts_are_taken_as_they_are() -> None:
    settings = resolve(environment={"PROVISIONING_DAGU_DAGS": "/srv/dags"}, user={"dagu": {"default_type": "graph"}})
    assert (settings.dagu.dags, settings.dagu.data, settings.dagu.default_type) == ("/srv/dags", "", "graph")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"dagu.default_type": "grph"}, "chain or graph", id="a word that there is not"),
        pytest.param({"dagu.default_type": ""}, "chain or graph", id="no word"),
        pytest.param({"dagu.dags": 1}, "text", id="a number"),
        pytest.param({"dagu.dags": "a\0b"}, "text", id="a zero byte"),
    ],
)
def test_texts_that_do_not_fit_are_refused(given: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(environment={}, user=given)
    assert caught.value.faults[0].message.endswith(f"expected {expected}")


def test_the_reference_lists_every_setting() -> None:
    text = reference()
    for one in described():
        assert f"`{one.name}`" in text
        assert f"`{one.variable}`" in text


def test_a_user_without_a_file_has_an_empty_one(tmp_path: Path) -> None:
    assert userfile.read(tmp_path / "config.toml").workspaces == {}


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "config.toml"
    userfile.write(
        userfile.UserFile(path=path, active="/a b", workspaces={"näme": "/a b"}, settings={"run": {"max_parallel": 2}})
    )
    again = userfile.read(path)
    assert (again.active, again.workspaces, again.settings) == ("/a b", {"näme": "/a b"}, {"run": {"max_parallel": 2}})


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("active = 1", "$.active"),
        ("settings = 3", "$.settings"),
        ("[workspaces]\nx = 1", "$.workspaces.x"),
        ("[setings]", "$.setings"),
    ],
)
def test_a_wrong_user_file_is_refused_with_the_place(tmp_path: Path, text: str, path: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        userfile.read(file)
    assert [fault.path for fault in caught.value.faults] == [path]


def test_a_user_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xff = ")
    with pytest.raises(ConfigError, match="cannot read"):
        userfile.read(file)


def test_paths_follow_xdg_and_ignore_relative_ones() -> None:
    assert userfile.config_path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/provisioning/config.toml")
    assert userfile.config_path({"XDG_CONFIG_HOME": "x", "HOME": "/h"}) == Path("/h/.config/provisioning/config.toml")
    assert userfile.cache_folder({"HOME": "/h"}) == Path("/h/.cache/provisioning")


def test_the_url_of_a_cluster_has_a_short_variable_too_and_the_one_by_the_rule_wins() -> None:
    assert resolve(environment={"PROVISIONING_NATS": "nats://one"}).nats.url == "nats://one"
    both = {"PROVISIONING_NATS": "nats://one", "PROVISIONING_NATS_URL": "nats://two"}
    assert resolve(environment=both).nats.url == "nats://two"


@pytest.mark.parametrize(("said", "meant"), [("true", True), ("False", False), (True, True)])
def test_truths_are_words_in_the_environment_and_values_in_files(said: object, meant: object) -> None:
    assert resolve(environment={}, workspace={"nats": {"any_sync": said}}).nats.any_sync is meant


@pytest.mark.parametrize("said", [1, 0, "yes", "", None, []])
def test_what_is_no_truth_is_refused(said: object) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(environment={}, workspace={"nats": {"any_sync": said}})
    assert "true or false" in caught.value.faults[0].message
