from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning.formats.taskserv import Catalogue, catalogue_folders, load_catalogue, load_taskserv
from provisioning.formats.taskserv_toml import read_declaration
from provisioning.profiles import MAX_BYTES, SHIPPED

FULL = """\
name = "redis"
version = "7"
description = "a store"
operations = ["install", "status"]
idempotent = true
timeout_s = 60
requires = ["os.base"]
provides = ["cache.redis"]
conflicts_with = ["valkey"]

[params]
port = { type = "integer", default = 6379, description = "TCP port" }

[params.members]
type = "list"
required = true
"""


def make(folder: Path, toml: str | None = None, **files: str) -> Path:
    (folder / "default").mkdir(parents=True)
    if toml is not None:
        (folder / "taskserv.toml").write_text(toml)
    for name, text in (files or {f"install-{folder.name}.sh": "true\n"}).items():
        (folder / "default" / name).write_text(text)
    return folder


def codes(folder: Path) -> list[str]:
    return [fault.code for fault in load_taskserv(folder)[1]]


def test_everything_a_taskserv_declares_is_read(tmp_path: Path) -> None:
    taskserv, faults = load_taskserv(make(tmp_path / "redis", FULL))
    assert faults == []
    assert (taskserv.version, taskserv.operations, taskserv.timeout_s) == ("7", ("install", "status"), 60.0)
    assert (taskserv.requires, taskserv.provides, taskserv.conflicts_with) == (("os.base",), ("cache.redis",), ("valkey",))
    assert taskserv.params["port"].default == 6379
    assert taskserv.params["members"].required
    assert list(taskserv.profiles) == ["default"]


def test_without_a_declaration_everything_is_default(tmp_path: Path) -> None:
    taskserv, faults = load_taskserv(make(tmp_path / "mine"))
    assert faults == []
    assert (taskserv.name, taskserv.operations, taskserv.idempotent) == ("mine", ("install",), False)


@pytest.mark.parametrize(
    ("toml", "code", "path", "line", "hint"),
    [
        ("version = '1'\nidempotnt = true", "unknown_key", "$.idempotnt", 2, 'did you mean "idempotent"?'),
        ("operations = 'install'", "wrong_type", "$.operations", 1, ""),
        ("operations = []", "wrong_type", "$.operations", 1, ""),
        ("operations = ['rm -rf']", "wrong_type", "$.operations", 1, ""),
        ("idempotent = 1", "wrong_type", "$.idempotent", 1, ""),
        ("timeout_s = 0", "wrong_type", "$.timeout_s", 1, ""),
        ("timeout_s = inf", "wrong_type", "$.timeout_s", 1, ""),
        ("name = 'rediss'", "name_differs", "$.name", 1, ""),
        ("params = 1", "wrong_type", "$.params", 1, ""),
        ("[params]\nport = 1", "wrong_type", "$.params.port", 2, '{ type = "string", ... }'),
        ("[params]\nport = { typ = 'string' }", "unknown_key", "$.params.port.typ", 2, 'did you mean "type"?'),
        ("[params]\nport = { type = 'int' }", "unknown_type", "$.params.port", 2, None),
        ("[params]\nport = { type = ['a'] }", "unknown_type", "$.params.port", 2, None),
        ("[params.port]\ntype = 'integer'\ndefault = '1'", "wrong_type", "$.params.port", 1, ""),
        ("[params.port]\ntype = 'list'\ndefault = [2020-01-01]", "wrong_type", "$.params.port", 1, "write it as text"),
        ("[params.port]\nrequired = true\ndefault = 'x'", "useless_default", "$.params.port", 1, ""),
        ("[params]\nmy-port = {}", "bad_name", "$.params.my-port", 2, "letters, digits and _ only"),
    ],
)
def test_each_fault_says_where_and_what(tmp_path: Path, toml: str, code: str, path: str, line: int, hint: str | None) -> None:
    _, [fault] = load_taskserv(make(tmp_path / "redis", toml))
    assert (fault.code, fault.path, fault.line) == (code, path, line)
    assert hint is None or fault.hint == hint
    assert fault.file.endswith("redis/taskserv.toml")


def test_broken_toml_is_placed_by_line_and_column(tmp_path: Path) -> None:
    _, [fault] = load_taskserv(make(tmp_path / "redis", "version = '1'\nname = = 2"))
    assert (fault.code, fault.line, fault.column) == ("syntax", 2, 8)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"version = '\xff'", "encoding", id="not UTF-8"),
        pytest.param(b"#" * (1024 * 1024 + 1), "too_large", id="too big"),
        pytest.param(b"x = " + b"[" * 100_000, "too_deep", id="nested too deeply"),
    ],
)
def test_a_hostile_declaration_is_a_fault(tmp_path: Path, data: bytes, code: str) -> None:
    folder = make(tmp_path / "redis")
    (folder / "taskserv.toml").write_bytes(data)
    assert codes(folder) == [code]


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    assert codes(make(tmp_path / "redis", "verson = '1'\ntimeout_s = -1", other="")) == [
        "unknown_key",
        "wrong_type",
        "missing_script",
    ]


def test_a_taskserv_without_a_profile_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert codes(tmp_path / "empty") == ["no_profile"]


def link_out(folder: Path) -> None:
    (folder / "passwd").symlink_to("/etc/passwd")


def link_to_parent(folder: Path) -> None:
    (folder / "up").symlink_to("..")


def link_to_itself(folder: Path) -> None:
    (folder / "loop").symlink_to("loop")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def bad_name(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_text("")


@pytest.mark.parametrize("spoil", [link_out, link_to_parent, link_to_itself, pipe, bad_name])
def test_what_is_no_plain_file_of_the_folder_is_a_fault(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    folder = make(tmp_path / "redis")
    spoil(folder / "default")
    assert codes(folder) == ["bad_file"]


def test_a_profile_that_is_a_symlink_out_is_a_fault(tmp_path: Path) -> None:
    folder = make(tmp_path / "redis")
    (tmp_path / "elsewhere").mkdir()
    (folder / "other").symlink_to(tmp_path / "elsewhere")
    taskserv, faults = load_taskserv(folder)
    assert [fault.code for fault in faults] == ["bad_file"]
    assert list(taskserv.profiles) == ["default"]


def test_a_huge_profile_is_a_fault_and_is_not_read_into_memory(tmp_path: Path) -> None:
    folder = make(tmp_path / "redis")
    with (folder / "default" / "image").open("wb") as sparse:
        sparse.truncate(MAX_BYTES + 1)
    assert codes(folder) == ["profile_too_big"]


def test_a_symlink_inside_the_folder_is_followed(tmp_path: Path) -> None:
    folder = make(tmp_path / "redis")
    (folder / "default" / "again.sh").symlink_to("install-redis.sh")
    assert codes(folder) == []


def digest(folder: Path) -> str:
    return load_taskserv(folder)[0].profiles["default"].files_digest


def test_the_digest_does_not_depend_on_place_time_or_group_modes(tmp_path: Path) -> None:
    one = make(tmp_path / "a" / "redis", **{"install-redis.sh": "true\n", "b.conf": "1"})
    two = make(tmp_path / "b" / "redis", **{"b.conf": "1", "install-redis.sh": "true\n"})
    os.utime(two / "default" / "b.conf", (0, 0))
    (two / "default" / "b.conf").chmod(0o600)
    assert digest(one) == digest(two)


def change_content(folder: Path) -> None:
    (folder / "default" / "install-redis.sh").write_text("false\n")


def change_mode(folder: Path) -> None:
    (folder / "default" / "install-redis.sh").chmod(0o755)


def add_file(folder: Path) -> None:
    (folder / "default" / "new").write_text("")


def add_common(folder: Path) -> None:
    (folder / "_common").mkdir()
    (folder / "_common" / "shared.sh").write_text("")


def use_library(folder: Path) -> None:
    (folder / "default" / "install-redis.sh").write_text("true\n. ./provisioning-lib.sh\n")


@pytest.mark.parametrize("change", [change_content, change_mode, add_file, add_common, use_library])
def test_the_digest_changes_with_every_file_of_the_bundle(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = make(tmp_path / "redis")
    before = digest(folder)
    change(folder)
    assert digest(folder) != before


def test_folders_are_searched_from_the_nearest_to_the_shipped(tmp_path: Path) -> None:
    folders = catalogue_folders(tmp_path, "prod", {"XDG_DATA_HOME": "/data"})
    assert folders == [
        tmp_path / "infra" / "prod" / "taskservs",
        tmp_path / "taskservs",
        Path("/data/provisioning/taskservs"),
        SHIPPED,
    ]
    assert catalogue_folders(tmp_path, None, {})[1] == Path.home() / ".local/share/provisioning/taskservs"


def test_the_first_folder_wins(tmp_path: Path) -> None:
    make(tmp_path / "near" / "redis", "version = 'near'")
    make(tmp_path / "far" / "redis", "version = 'far'")
    make(tmp_path / "far" / "nats")
    catalogue = load_catalogue([tmp_path / "near", tmp_path / "missing", tmp_path / "far"])
    assert list(catalogue) == ["nats", "redis"]
    assert catalogue["redis"].version == "near"


@pytest.mark.parametrize("name", ["_lib", ".git", "a b", "x" * 129])
def test_folders_whose_name_breaks_the_name_rule_are_not_taskservs(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert list(load_catalogue([tmp_path])) == []


def test_listing_names_reads_no_taskserv(tmp_path: Path) -> None:
    make(tmp_path / "redis", "broken = = toml")
    catalogue = load_catalogue([tmp_path], tmp_path)
    assert (list(catalogue), len(catalogue), "redis" in catalogue) == (["redis"], 1, True)
    assert not list(catalogue.faults)
    assert catalogue["redis"].name == "redis"
    assert [(fault.code, fault.file) for fault in catalogue.faults] == [("syntax", "redis/taskserv.toml")]


def test_a_name_that_nothing_has_is_a_key_error_and_inspect_says_none(tmp_path: Path) -> None:
    catalogue = Catalogue([tmp_path])
    assert "redis" not in catalogue
    assert catalogue.get("redis") is None
    assert catalogue.inspect("redis") == (None, ())
    with pytest.raises(KeyError):
        catalogue["../redis"]


def test_of_ten_thousand_faults_the_first_hundred_are_shown() -> None:
    text = "".join(f"x{number}=1\n" for number in range(10_000))
    _read, faults = read_declaration(text, "os", "taskserv.toml")
    assert len(faults) == 101
    assert faults[-1].code == "too_many"
