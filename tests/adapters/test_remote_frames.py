"""What goes to the wrapper and what comes back: nothing in arguments, nothing lost at a cut, nobody else believed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.remote import bundle_of, packed, unit_of

import provisioning.adapters.remote as package
from provisioning.adapters.remote.frames import Frame, FrameReader, Verdict, frame_bytes, netstrings, verdict_of
from provisioning.adapters.remote.program import COMMAND, SUDO_COMMAND, SUDO_PASSWORD_COMMAND, program_bytes
from provisioning.adapters.remote.quote import quote
from provisioning.adapters.remote.request import path_token, probe_request, start_request, unit_name
from provisioning.errors import ProvisioningError

NONCE = "0123456789abcdef0123456789abcdef"
READY = b"\x1e@" + NONCE.encode() + b" ready\n"
PARTS = sorted(
    (Path(package.__file__).parent / "wrapper").glob("*.pl"),
    key=lambda part: (part.stem not in ("common", "places"), part.stem),  # what these declare is used by all
)

words = st.sampled_from(["out", "err", "begin", "end", "gap", "waits"])
payloads = st.one_of(st.binary(max_size=80), st.sampled_from([READY, b"out 1 3\nabc", b"\n"]))
frames = st.builds(lambda word, id, payload: Frame(word=word, id=id, payload=payload), words, st.integers(0, 99_999), payloads)


def fed(reader: FrameReader, data: bytes, places: list[int]) -> list[Frame]:
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [frame for a, b in pairwise(edges) for frame in reader.feed(data[a:b])]


@given(noise=st.binary(max_size=3000), sent=st.lists(frames, max_size=8), places=st.lists(st.integers(0, 4000), max_size=30))
def test_frames_come_through_whole_wherever_they_are_cut(noise: bytes, sent: list[Frame], places: list[int]) -> None:
    reader = FrameReader(NONCE)
    data = noise + READY + b"".join(frame_bytes(frame.word, frame.id, frame.payload) for frame in sent)

    assert fed(reader, data, places) == sent
    assert reader.ready


@given(noise=st.binary(max_size=9000))
def test_what_a_login_shell_prints_is_not_believed(noise: bytes) -> None:
    reader = FrameReader(NONCE)

    assert fed(reader, noise + b"end 1 6\nexit 0", [5, 500]) == []
    assert not reader.ready


@given(data=st.binary(max_size=300), places=st.lists(st.integers(0, 300), max_size=8))
def test_nonsense_is_an_error_of_ours_or_waits_for_more(data: bytes, places: list[int]) -> None:
    with contextlib.suppress(ProvisioningError):
        fed(FrameReader(NONCE), READY + data, places)


@pytest.mark.parametrize("data", [b"no frame at all, but very long text that goes on and on", b"out 1 9999999999\n", b"x\n"])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(ProvisioningError):
        fed(FrameReader(NONCE), READY + data, [])


def test_half_a_frame_is_no_frame() -> None:
    whole = frame_bytes("end", 1, b"exit 3")
    for size in range(len(whole)):
        assert fed(FrameReader(NONCE), READY + whole[:size], []) == []


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("exit 3", Verdict(word="exit", code=3)),
        ("refused 0 no reason at all", Verdict(word="refused", text="no reason at all")),
        ("absent", Verdict(word="absent")),
        ("exit ٣", Verdict(word="exit")),
    ],
)
def test_a_verdict_is_a_word_a_number_and_words(text: str, verdict: Verdict) -> None:
    assert verdict_of(text) == verdict


@given(values=st.lists(st.binary(max_size=50), max_size=6))
def test_netstrings_are_read_back_by_the_wrapper(values: list[bytes]) -> None:
    common = (Path(package.__file__).parent / "wrapper" / "common.pl").read_text()
    script = common + "\nmy $text = do { local $/; <STDIN> }; print scalar(words($text)), ':', netstrings(words($text));"

    done = subprocess.run(["perl", "-e", script], input=netstrings(values), capture_output=True, check=True, timeout=120)

    assert done.stdout.partition(b":")[2] == netstrings(values)


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60))
def test_any_text_is_one_word_of_ascii_that_means_itself(text: str) -> None:
    word = quote(text)

    assert word.isascii()
    assert word.isprintable()
    shown = subprocess.run(["bash", "-c", f"printf %s {word}"], check=True, capture_output=True, timeout=120).stdout
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

    assert b"s3cret" in request.payload
    assert "s3cret" not in repr(request)
    assert NONCE not in COMMAND + SUDO_COMMAND + SUDO_PASSWORD_COMMAND
    assert NONCE.encode() in program_bytes(NONCE)


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "ash", "ksh", "zsh", "fish"])
def test_the_command_means_the_same_to_every_login_shell(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    request = probe_request("printf ready", timeout_s=10)
    process = subprocess.Popen([shell, "-c", COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(program_bytes(NONCE) + frame_bytes(request.verb, 1, request.payload))
        process.stdin.flush()
        reader, found = FrameReader(NONCE), list[Frame]()
        while not found or found[-1].word != "end":
            found += reader.feed(os.read(process.stdout.fileno(), 4096))
        process.stdin.close()

    assert [frame.payload for frame in found] == [b"ready", b"exit 0"]


def test_the_command_has_nothing_that_shells_read_differently() -> None:
    inside = COMMAND.split("'")[1]

    assert "\\" not in inside
    assert "!" not in inside
    assert COMMAND.count("'") == 2


def test_the_wrapper_compiles_without_a_warning() -> None:
    text = "".join(part.read_text("ascii") for part in PARTS)

    done = subprocess.run(["perl", "-wc"], input=text, capture_output=True, text=True, check=False, timeout=120)

    assert done.stderr == "- syntax OK\n"


def test_the_wrapper_needs_no_module(tmp_path: Path) -> None:
    loaded = tmp_path / "loaded"
    program = (
        program_bytes(NONCE).split(b"\n", 2)[2].decode() + f"open my $f, '>', '{loaded}'; print $f join ' ', sort keys %INC;"
    )

    subprocess.run(["perl", "-e", program], check=True, timeout=120)

    assert loaded.read_text() == ""


def test_the_wrapper_is_small_enough_to_travel_with_every_connection() -> None:
    assert len(program_bytes(NONCE)) < 32 * 1024
