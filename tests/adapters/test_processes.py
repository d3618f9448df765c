"""Programs on this machine: whatever they leave behind, hold open, ignore or print."""

from __future__ import annotations

import asyncio
import os
import resource
import stat
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from support.acting import Heard, alive, holders
from support.remote import until

from provisioning.adapters import processes as module
from provisioning.adapters.processes import LocalProcesses
from provisioning.core.outside import Content, Ears, Ended, Program

READY = b"ready\n"


class Started:
    """A program that runs in `folder`, until it is stopped."""

    def __init__(self, folder: Path, script: str, *, grace_s: float = 5.0) -> None:
        self.folder, self.heard = folder, Heard()
        self._ready = asyncio.Event()
        ears = Ears(stdout=self._out, stderr=self.heard.write, note=self.heard.note)
        program = Program(words=["bash", "-c", script], cwd=str(folder), grace_s=grace_s)
        self.job = asyncio.create_task(LocalProcesses().run(program, ears))

    def _out(self, data: bytes) -> None:
        self.heard.write(data)
        if READY in self.heard.data:
            self._ready.set()

    async def ready(self) -> None:
        """Wait until it has said so."""
        await self._ready.wait()

    async def stop(self, count: int = 1) -> list[int]:
        """Cancel it when it has so many processes; return them."""
        await self.ready()
        await until(lambda: len(holders(self.folder)) >= count)
        before = holders(self.folder)
        self.job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.job
        return before


def _ignore(_data: bytes) -> None: ...


async def ran(*words: str | Content, heard: Heard | None = None, **more: object) -> Ended:
    to = heard or Heard()
    return await LocalProcesses().run(Program(words=words, **more), Ears(stdout=to.write, stderr=to.write, note=to.note))  # type: ignore[arg-type]


# ---------------------------------------------------------------- stopping


@pytest.mark.parametrize(
    ("script", "count"),
    [
        pytest.param("sleep 1000 & echo ready; wait", 2, id="A41 a child that holds the pipe"),
        pytest.param("sh -c 'sleep 1000 & wait' & echo ready; wait", 3, id="a shell that waits for its child"),
        pytest.param("setsid sleep 1000 & echo ready; wait", 2, id="a child in a session of its own"),
        pytest.param("setsid -f sleep 1000; echo ready; wait; exec sleep 1000", 2, id="a child without a parent"),
        pytest.param("set -m; sleep 1000 & echo ready; wait", 2, id="a child in a group of its own"),
        pytest.param("sleep 1000 & sleep 1000 & echo ready; kill -STOP $$", 3, id="a stopped one"),
        pytest.param("sleep 1000 >/dev/null 2>&1 & echo ready; exec >&- 2>&-; wait", 2, id="one that has closed its output"),
    ],
)
async def test_stopping_ends_every_process_of_the_program(tmp_path: Path, script: str, count: int) -> None:
    assert len(await Started(tmp_path, script).stop(count)) == count
    assert holders(tmp_path) == []


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("trap '' TERM; echo ready; while :; do sleep 0.05; done", id="A41 the program"),
        pytest.param("(trap '' TERM; exec setsid sleep 1000) & sleep 0.2; echo ready; wait", id="one that has left"),
        pytest.param(
            "trap '' TERM; echo ready; while :; do setsid sleep 1000 & sleep 0.02; done", id="one that goes on starting others"
        ),
    ],
)
async def test_what_ignores_being_asked_is_killed_after_its_grace(tmp_path: Path, script: str) -> None:
    assert await Started(tmp_path, script, grace_s=0.3).stop()
    assert holders(tmp_path) == []


async def test_a_program_has_its_grace_to_clean_up_and_is_heard_meanwhile(tmp_path: Path) -> None:
    """Its cleaning starts programs of its own, which are not asked to end."""
    started = Started(tmp_path, "trap 'sleep 0.3; rm note; echo cleaned; exit' TERM; touch note; echo ready; sleep 1000 & wait")
    await started.stop()

    assert started.heard.data == b"ready\ncleaned\n"
    assert not (tmp_path / "note").exists()


async def test_being_cancelled_twice_does_not_cut_the_stopping_short(tmp_path: Path) -> None:
    started = Started(tmp_path, "trap '' TERM; echo ready; while :; do sleep 0.05; done", grace_s=0.3)
    await started.ready()
    for _ in range(5):
        started.job.cancel()
        await asyncio.sleep(0.02)
    with pytest.raises(asyncio.CancelledError):
        await started.job

    assert holders(tmp_path) == []


async def test_being_cancelled_before_it_has_begun_leaves_nothing(tmp_path: Path) -> None:
    for turns in range(8):
        started = Started(tmp_path, "sleep 1000 & wait")
        for _ in range(turns):
            await asyncio.sleep(0)
        started.job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await started.job

    assert holders(tmp_path) == []


async def test_another_program_that_looks_just_like_it_is_left_alone(tmp_path: Path) -> None:
    bystander = asyncio.create_task(ran("bash", "-c", "echo ready; exec sleep 1000", cwd=str(tmp_path)))
    await Started(tmp_path, "echo ready; sleep 1000").stop()
    left = holders(tmp_path)
    bystander.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bystander

    assert len(left) == 1


async def test_what_cannot_be_stopped_is_named_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = Started(tmp_path, "echo ready; exec sleep 1000", grace_s=0.0)
    await started.ready()
    with monkeypatch.context() as patched:
        patched.setattr(module, "_HOPELESS_S", 0.05)
        patched.setattr(module, "_signal", lambda *_arguments: None)  # as if it waited for a dead disk
        pids = await started.stop()

    assert [alive(pid) for pid in pids] == [True]
    assert started.heard.notes == [f"could not be stopped: sleep ({pids[0]})"]
    os.kill(pids[0], 9)


# ---------------------------------------------------------------- ending


async def test_a_normal_end_leaves_what_the_program_has_left_and_does_not_wait_for_it(tmp_path: Path) -> None:
    heard = Heard()
    ended = await ran("bash", "-c", "sleep 1000 & echo $!; exit 3", heard=heard, cwd=str(tmp_path))
    left = int(heard.data)

    assert ended == Ended(kind="exit", code=3)
    assert alive(left)
    os.kill(left, 9)


async def test_everything_that_was_said_before_the_end_is_heard_although_the_pipe_stays_open(tmp_path: Path) -> None:
    heard = Heard()
    await ran("bash", "-c", "sleep 1000 & head -c 60000 /dev/zero; echo $! >&2; exit", heard=heard, cwd=str(tmp_path))
    os.kill(holders(tmp_path)[0], 9)

    assert heard.data.count(b"\0") == 60_000


async def test_a_child_that_goes_on_printing_does_not_keep_a_program_that_has_ended(tmp_path: Path) -> None:
    ended = await ran("bash", "-c", "yes & sleep 0.1; exit 0", heard=Heard(keep_bytes=0), cwd=str(tmp_path))

    assert ended == Ended(kind="exit")
    await until(lambda: not holders(tmp_path))  # nobody listens to it any more: the system ends it


async def test_it_works_where_handles_of_processes_are_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", refuse)

    assert await ran("sh", "-c", "exit 5") == Ended(kind="exit", code=5)
    await Started(tmp_path, "sleep 1000 & echo ready; wait").stop()
    assert holders(tmp_path) == []


# ---------------------------------------------------------------- starting


@pytest.mark.parametrize(
    ("more", "ended"),
    [
        pytest.param(
            {"words": ["no-such", "x"], "env": {"PATH": "/bin:/none"}},
            Ended(kind="missing", message="there is no program no-such in PATH (/bin:/none)"),
            id="not found",
        ),
        pytest.param(
            {"words": ["/etc/passwd"]},
            Ended(kind="start", message="/etc/passwd could not be started: permission denied"),
            id="no program",
        ),
        pytest.param(
            {"words": ["true"], "cwd": "/none"},
            Ended(kind="start", message="true could not be started in /none: no such file or directory"),
            id="no folder",
        ),
        pytest.param(
            {"words": ["true"], "env": {"A": "x" * 200_000}},
            Ended(kind="start", message="true could not be started: its arguments or environment are too large"),
            id="too large",
        ),
        pytest.param(
            {"words": ["ls", "a\0b"]}, Ended(kind="start", message="ls could not be started: embedded null byte"), id="NUL"
        ),
    ],
)
async def test_what_cannot_be_started_is_said(more: dict[str, object], ended: Ended) -> None:
    assert await LocalProcesses().run(Program(**more), Ears(stdout=_ignore, stderr=_ignore)) == ended  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, 60_000, 3_000_000])
async def test_standard_input_is_read_whole(size: int) -> None:
    heard = Heard()
    await ran("wc", "-c", stdin=b"x" * size, heard=heard)

    assert int(heard.data) == size


async def test_standard_input_need_not_be_read() -> None:
    assert await ran("true", stdin=b"x" * 3_000_000) == Ended(kind="exit")


async def test_without_standard_input_there_is_nothing_to_read() -> None:
    heard = Heard()
    await ran("cat", heard=heard)

    assert heard.data == b""


async def test_the_environment_is_ours_or_only_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "1")
    full, clean = Heard(), Heard()
    await ran("env", env={"A": "ä b\nc"}, heard=full)
    await ran("/usr/bin/env", env={"A": "1"}, clean_env=True, heard=clean)

    assert {b"OURS=1", "A=ä b".encode()} <= set(bytes(full.data).splitlines())
    assert [line.partition(b"=")[0] for line in sorted(clean.data.split())] == [b"A", b"PROVISIONING_PROCESS"]


def _modes(folder: Path) -> list[int]:
    return [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()]


SHOW = 'echo "$0"; stat -c %a "$0"; cat "$0"'


async def test_a_private_file_is_ours_alone_and_gone_afterwards() -> None:
    heard = Heard()
    await ran("bash", Content(SHOW.encode()), heard=heard)
    path, mode, *content = heard.data.decode().splitlines()

    assert (mode, content) == ("600", [SHOW])
    assert not os.access(path, os.F_OK)


@pytest.mark.parametrize("words", [("bash", Content(b"echo ready; exec sleep 1000")), ("/none", Content(b""))])
async def test_a_private_file_is_gone_after_a_stop_and_where_nothing_started(
    words: tuple[str, Content], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHARED_MEMORY", tmp_path)
    job = asyncio.create_task(ran(*words))
    await asyncio.wait([job], timeout=0.3)
    there = _modes(tmp_path)
    job.cancel()
    await asyncio.wait([job])

    assert there == ([0o600] if words[0] == "bash" else [])
    assert _modes(tmp_path) == []


async def test_without_a_place_in_memory_private_files_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHARED_MEMORY", tmp_path / "none")

    assert await ran("bash", Content(b"exit 6")) == Ended(kind="exit", code=6)


# ---------------------------------------------------------------- cost


def _children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked


async def test_nothing_stays_open_and_nobody_is_left_unburied(tmp_path: Path) -> None:
    processes, quiet = LocalProcesses(), Ears(stdout=_ignore, stderr=_ignore)

    async def round_of_everything() -> None:
        await processes.run(Program(words=["true"], stdin=b"x"), quiet)
        await processes.run(Program(words=["/none", Content(b"x")]), quiet)
        job = asyncio.create_task(processes.run(Program(words=["sleep", "1000"], cwd=str(tmp_path)), quiet))
        await asyncio.sleep(0.01)
        job.cancel()
        await asyncio.wait([job])

    others = _children()  # programs under test are forked from one
    await round_of_everything()
    before = _descriptors()
    for _ in range(10):
        await round_of_everything()

    assert _descriptors() == before
    assert _children() == others


async def test_100_mb_without_a_newline_cost_no_memory() -> None:
    heard = Heard(keep_bytes=1000)
    tracemalloc.start()
    try:
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await ran("head", "-c", "100000000", "/dev/zero", heard=heard)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert heard.total_bytes == 100_000_000
    assert peak_bytes < 2_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 10_000


async def test_a_flood_on_one_stream_does_not_starve_the_other() -> None:
    heard: dict[str, int] = {"out": 0, "err": 0}

    def listener(name: str) -> Callable[[bytes], None]:
        return lambda data: heard.update({name: heard[name] + len(data)})

    script = "head -c 5000000 /dev/zero >&2; head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2"
    await LocalProcesses().run(Program(words=["sh", "-c", script]), Ears(stdout=listener("out"), stderr=listener("err")))

    assert heard == {"out": 5_000_000, "err": 10_000_000}
