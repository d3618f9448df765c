"""What goes to the wrapper and what comes back: nothing in arguments, nothing lost at a cut, nobody else believed."""

from __future__ import annotations

import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.remote import bundle_of, packed, unit_of

import provisioning.adapters.remote as package
from provisioning.adapters.remote.answer import Answer, Verdict
from provisioning.adapters.remote.quote import quote
from provisioning.adapters.remote.request import (
    COMMAND,
    SUDO_COMMAND,
    SUDO_PASSWORD_COMMAND,
    path_token,
    probe_request,
    start_request,
    unit_name,
)

NONCE = "0123456789abcdef0123456789abcdef"
BEGIN = b"\x1e@" + NONCE.encode() + b" begin " + NONCE.encode() + b" \n"
END = b"\x1e@" + NONCE.encode() + b" exit 3 .\n"


def fed(answer: Answer, pieces: list[bytes]) -> bytes:
    return b"".join(answer.feed_out(piece) for piece in pieces)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


nasty = st.one_of(st.binary(max_size=60), st.sampled_from([b"\x1e", b"\x1e@", b"\x1e@0123", END[:20], b"\n"]))


@given(output=st.lists(nasty, max_size=8).map(b"".join), places=st.lists(st.integers(0, 400), max_size=30))
def test_output_comes_through_whole_wherever_it_is_cut(output: bytes, places: list[int]) -> None:
    answer = Answer(NONCE)

    assert fed(answer, cut(BEGIN + output + END + b"a daemon's later words", places)) == output
    assert answer.verdict == Verdict(word="exit", code=3)


@given(noise=st.binary(max_size=3000), places=st.lists(st.integers(0, 3000), max_size=10))
def test_what_a_login_shell_prints_first_is_not_output(noise: bytes, places: list[int]) -> None:
    answer = Answer(NONCE)

    assert fed(answer, cut(noise + BEGIN + b"out" + END, places)) == b"out"


@given(places=st.lists(st.integers(0, 400), max_size=30))
def test_output_is_passed_on_before_the_end(places: list[int]) -> None:
    answer = Answer(NONCE)

    assert fed(answer, cut(BEGIN + b"step 1\nstep 2\n", places)) == b"step 1\nstep 2\n"
    assert answer.verdict is None


def test_frames_of_another_request_are_output() -> None:
    other = END.replace(b"0123", b"9999")
    answer = Answer(NONCE)

    assert fed(answer, [BEGIN + other]) == other
    assert answer.verdict is None


def test_the_frame_of_an_adopted_unit_has_its_own_nonce() -> None:
    answer = Answer(NONCE)
    begin = b"\x1e@" + NONCE.encode() + b" begin ffff run-1.0123.1\n"

    assert fed(answer, [begin + b"out" + END + b"\x1e@ffff signal 9 .\n"]) == b"out" + END
    assert answer.verdict == Verdict(word="signal", code=9)
    assert answer.adopted == "run-1.0123.1"


@pytest.mark.parametrize("size", range(36, len(END)))
def test_a_frame_that_was_cut_by_a_size_limit_does_not_hide_the_whole_one(size: int) -> None:
    answer = Answer(NONCE)

    assert fed(answer, [BEGIN + b"out" + END[:size], END]) == b"out"
    assert answer.verdict == Verdict(word="exit", code=3)


@pytest.mark.parametrize("size", range(len(END)))
def test_half_an_end_frame_is_no_verdict(size: int) -> None:
    answer = Answer(NONCE)

    fed(answer, [BEGIN + b"out" + END[:size]])

    assert answer.verdict is None


def test_control_lines_are_believed_only_with_the_nonce() -> None:
    answer = Answer(NONCE)

    answer.feed_err(b"motd\n@provisioning hello \n@ffff end exit 0\nbash: tar: not found\n@" + NONCE.encode()[:7])
    assert answer.said_hello
    assert answer.verdict is None
    assert answer.notes == "bash: tar: not found"

    answer.feed_err(NONCE.encode()[7:] + b" end refused 0 no reason at all\n")
    assert answer.verdict == Verdict(word="refused", text="no reason at all")


def test_a_probe_ends_when_both_of_its_streams_have() -> None:
    answer = Answer(NONCE, framed_errors=True)

    assert answer.feed_err(b"motd\n@provisioning hello \n" + BEGIN + b"trouble" + END) == b"trouble"
    assert answer.verdict is None
    assert answer.feed_out(BEGIN + b"ready" + END) == b"ready"
    assert answer.verdict == Verdict(word="exit", code=3)


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60))
def test_any_text_is_one_word_of_ascii_that_means_itself(text: str) -> None:
    word = quote(text)

    assert word.isascii()
    assert word.isprintable()
    shown = subprocess.run(["bash", "-c", f"printf %s {word}"], check=True, capture_output=True, timeout=10).stdout
    assert shown == text.encode()


@given(st.text(max_size=200))
def test_any_name_is_fit_for_a_path(name: str) -> None:
    token = path_token(name)

    assert "/" not in token
    assert token not in {"", ".", ".."}
    assert len(token.encode()) <= 128


def test_different_names_have_different_folders() -> None:
    names = ["a", "A", "a/b", "a_b", "h-" + "0" * 32, "ü", "u", "..", "...", "", " "]

    assert len({path_token(name) for name in names}) == len(names)
    assert unit_name("r", 1, "a") != unit_name("r", 1, "b")
    assert unit_name("r", 1, "a") != unit_name("r", 11, "a")


def test_nothing_of_a_request_is_in_the_command() -> None:
    secret_files = packed({"x": "s3cret" * 9999})
    request = start_request(unit_of(secrets={"A": "s3cret"}), bundle_of("script", secret_data=secret_files))

    assert b"s3cret" in request.data
    assert b"s3cret" not in request.head, "it is read byte by byte, not evaluated"
    for command in (COMMAND, SUDO_COMMAND, SUDO_PASSWORD_COMMAND):
        assert request.nonce not in command
    assert "s3cret" not in repr(request)


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "ash", "ksh", "zsh", "fish"])
def test_the_command_means_the_same_to_every_login_shell(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    request = probe_request("printf ready", timeout_s=10)

    done = subprocess.run([shell, "-c", COMMAND], input=request.data, capture_output=True, timeout=20, check=False)

    answer = Answer(request.nonce, framed_errors=True)
    answer.feed_err(done.stderr)
    assert answer.feed_out(done.stdout) == b"ready"


def test_the_command_has_nothing_that_shells_read_differently() -> None:
    inside = COMMAND.split("'")[1]

    assert "\\" not in inside
    assert COMMAND.count("'") == 2


@pytest.mark.parametrize("script", sorted(Path(package.__file__).parent.glob("*.sh")), ids=lambda path: path.stem)
def test_the_wrapper_passes_shellcheck(script: Path) -> None:
    program = shutil.which("shellcheck") or str(Path(__file__).parents[2] / ".venv" / "bin" / "shellcheck")

    done = subprocess.run([program, script], capture_output=True, text=True, check=False)

    assert done.stdout == ""


def test_the_wrapper_is_small_enough_to_travel_with_every_request() -> None:
    assert len(start_request(unit_of(), None).head) < 16 * 1024
