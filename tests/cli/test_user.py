"""`provisioning user` and `token`: who may use the server, without one that runs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from provisioning_cli.main import call

PASSWORD = "a long sentence\n"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROVISIONING_DAGU_DATA", str(tmp_path))
    return tmp_path


def said(words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str = "") -> tuple[int, Any]:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    code = call([*words.split(), "-o", "json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out or captured.err)


def test_users_and_tokens_are_made_listed_and_taken_away(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said("user add ann --role admin --password-stdin", capsys, monkeypatch, PASSWORD)[0] == 0
    assert said("user add bob --password-stdin", capsys, monkeypatch, PASSWORD)[1] == {"name": "bob", "role": "viewer"}
    assert [one["name"] for one in said("user list", capsys, monkeypatch)[1]["users"]] == ["ann", "bob"]
    code, made = said("token create graphs --user bob", capsys, monkeypatch)
    assert (code, made["role"], made["token"][:4]) == (0, "viewer", "prv_")
    listed = said("token list", capsys, monkeypatch)[1]["tokens"]
    assert [(one["user"], one["purpose"]) for one in listed] == [("bob", "graphs")]
    assert made["token"] not in str(listed)
    assert said(f"token revoke {made['id']}", capsys, monkeypatch)[0] == 0
    assert said("user role bob operator", capsys, monkeypatch)[1]["role"] == "operator"
    assert said("user remove bob", capsys, monkeypatch)[0] == 0
    assert (data / ".provisioning" / "server.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "text", "code"),
    [
        ("user add ann --password-stdin", PASSWORD, 2),
        ("user add eve --password-stdin", "short\n", 2),
        ("user add ../x --password-stdin", PASSWORD, 2),
        ("user remove ann", "", 2),
        ("user role ann viewer", "", 2),
        ("user remove an", "", 4),
        ("token create --user nosuch", "", 4),
        ("token revoke nosuch", "", 4),
    ],
)
def test_what_cannot_be_done_is_said(
    words: str, text: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said("user add ann --role admin --password-stdin", capsys, monkeypatch, PASSWORD)
    ended, told = said(words, capsys, monkeypatch, text)
    assert (ended, told["error"]["exit_code"]) == (code, code)
