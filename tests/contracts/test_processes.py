"""What everything that runs programs promises: this machine, and the fake that other tests use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.said import Said

from provisioning.adapters.memory.processes import FakeProcesses, Played
from provisioning.adapters.processes import LocalProcesses
from provisioning.core.outside import Content, Ended, Processes, Program

Playing = Callable[[Played], Processes]


@pytest.fixture(params=["fake", "local"])
def playing(request: pytest.FixtureRequest) -> Playing:
    """Return a maker of processes: the fake does what is played, the others what their words say."""

    def make(played: Played) -> Processes:
        if request.param == "local":
            return LocalProcesses()
        fake = FakeProcesses()
        fake.on("", played)
        return fake

    return make


@pytest.mark.parametrize(
    ("words", "played", "ended"),
    [
        pytest.param(["true"], Played(), Ended(kind="exit"), id="success"),
        pytest.param(["sh", "-c", "exit 3"], Played(code=3), Ended(kind="exit", code=3), id="failure"),
        pytest.param(["sh", "-c", "kill -9 $$"], Played(kind="signal", code=9), Ended(kind="signal", code=9), id="signal"),
        pytest.param(["sh", Content(b"exit 4")], Played(code=4), Ended(kind="exit", code=4), id="script"),
        pytest.param(
            ["/no/such/program"],
            Played(kind="missing", message="there is no program /no/such/program"),
            Ended(kind="missing", message="there is no program /no/such/program"),
            id="missing",
        ),
    ],
)
async def test_a_program_ends_as_it_does(playing: Playing, words: list[str | Content], played: Played, ended: Ended) -> None:
    assert await playing(played).run(Program(words=words), Said().ears) == ended


async def test_both_streams_are_heard_apart(playing: Playing) -> None:
    said = Said()
    processes = playing(Played(stdout=b"out\n", stderr=b"err\n"))
    await processes.run(Program(words=["sh", "-c", "echo out; echo err >&2"]), said.ears)

    assert (said.stdout, said.stderr) == (b"out\n", b"err\n")


async def test_output_is_heard_while_the_program_runs_and_cancelling_ends_it(playing: Playing) -> None:
    said = Said()
    processes = playing(Played(stdout=b"there\n", hang=True))
    job = asyncio.create_task(processes.run(Program(words=["sh", "-c", "echo there; sleep 1000"]), said.ears))
    await said.first.wait()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job

    assert said.stdout == b"there\n"
