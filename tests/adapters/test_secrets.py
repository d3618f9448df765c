from __future__ import annotations

import os
from pathlib import Path

import pytest

from provisioning.adapters.secrets import ReferenceSecrets
from provisioning.errors import ConfigError

VALUE = "correct-horse-battery"


@pytest.fixture
def secrets(tmp_path: Path) -> ReferenceSecrets:
    (tmp_path / "token").write_text(f"{VALUE}\n\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(VALUE.encode() + b"\xff")
    (tmp_path / "huge").write_bytes(b"x" * (1024 * 1024 + 1))
    return ReferenceSecrets(tmp_path, {"TOKEN": VALUE, "EMPTY": ""})


def test_a_variable_is_read_as_it_is(secrets: ReferenceSecrets) -> None:
    assert secrets.resolve("env:TOKEN") == VALUE


def test_of_a_file_exactly_one_newline_is_taken_off(secrets: ReferenceSecrets) -> None:
    assert secrets.resolve("file:token") == f"{VALUE}\n"


def test_an_absolute_path_is_taken_as_it_is(secrets: ReferenceSecrets, tmp_path: Path) -> None:
    assert secrets.resolve(f"file:{tmp_path}/token") == f"{VALUE}\n"


def test_a_file_that_changed_is_read_again(secrets: ReferenceSecrets, tmp_path: Path) -> None:
    secrets.resolve("file:token")
    (tmp_path / "token").write_text("rotated")
    assert secrets.resolve("file:token") == "rotated"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("env:MISSING", 'secret "env:MISSING": the variable is not set'),
        ("env:EMPTY", 'secret "env:EMPTY" is empty'),
        ("file:empty", 'secret "file:empty" is empty'),
        ("file:gone", 'secret "file:gone" cannot be read: No such file or directory'),
        ("file:.", 'secret "file:." cannot be read: Is a directory'),
        ("file:/dev/zero", 'secret "file:/dev/zero" is bigger than 1024 KiB'),
        ("file:huge", 'secret "file:huge" is bigger than 1024 KiB'),
        ("file:binary", 'secret "file:binary" is not UTF-8 text'),
        ("file:a\0b", 'secret "file:a\\x00b" cannot be read'),
        ("vault:kv/x", 'a secret reference has the unknown scheme "vault"'),
        (VALUE, "a secret reference has no scheme"),
        (f"{VALUE}:{VALUE}", "a secret reference has an unknown scheme"),
    ],
)
def test_what_cannot_be_resolved_is_named_and_no_value_is_shown(secrets: ReferenceSecrets, reference: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        secrets.resolve(reference)
    error = caught.value
    assert error.message.startswith(said)
    assert VALUE not in error.message + error.hint + repr(error)
    assert error.__cause__ is None


def test_an_unknown_scheme_is_answered_with_the_known_ones(secrets: ReferenceSecrets) -> None:
    with pytest.raises(ConfigError) as caught:
        secrets.resolve("fiel:x")
    assert caught.value.hint == 'did you mean "file"? known: env:NAME, file:PATH'


def test_values_are_not_in_its_repr(secrets: ReferenceSecrets) -> None:
    assert VALUE not in repr(secrets)


def test_what_can_be_read_without_waiting_is_told_and_the_rest_left_out(secrets: ReferenceSecrets, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    references = ["file:pipe", "file:token", "env:NO_SUCH", "file:missing", "file:empty", "nonsense", "env:TOKEN"]

    assert secrets.readable(references) == [f"{VALUE}\n", VALUE]
