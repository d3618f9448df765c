"""SSE: everything that happens, once and in order, whoever drives the run and however often the connection breaks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.served import Served, Stream, eventually, served

from provisioning.api import sse
from provisioning.core.access import Role
from provisioning.errors import UsageError
from provisioning.operations.hosting.looking import ATTEMPT, OVER
from provisioning.operations.hosting.topics import TOPICS_MOST, parse_positions, parse_topics, written

CHAIN = "steps:\n" + "".join(f"  - {{name: s{n}, command: 'true'{f', depends: s{n - 1}' if n else ''}}}\n" for n in range(12))


def test_a_stream_that_breaks_again_and_again_goes_on_without_a_gap_or_a_repetition(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"chain": CHAIN}) as here:
            id = await here.started("chain")
            seen: list[int] = []
            position = ""
            while True:
                async with here.stream(f"run:{id}", position=position) as stream:
                    position, _kind, data = await stream.next()
                    seen.append(data["event"]["seq"])
                    assert position == str(seen[-1]), "of one run the id is the number of the event"
                    if data["event"]["kind"] == "run_finished":
                        break
            journal = (await here.get(f"/runs/{id}/events"))["events"]
            assert seen == [event["seq"] for event in journal] == list(range(1, len(journal) + 1))

    asyncio.run(story())


def test_one_connection_follows_many_runs_and_each_goes_on_where_it_was(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"chain": CHAIN}) as here:
            ids = [await here.started("chain") for _ in range(3)]
            topics = ",".join(f"run:{id}" for id in ids)
            seen: dict[str, list[int]] = {id: [] for id in ids}
            finished, position = 0, ""
            while finished < 3:
                async with here.stream(topics, position=position) as stream:
                    for _ in range(7):
                        if finished == 3:
                            break
                        position, _kind, data = await stream.next()
                        seen[data["topic"].removeprefix("run:")].append(data["event"]["seq"])
                        finished += data["event"]["kind"] == "run_finished"
            for id in ids:
                assert seen[id] == list(range(1, len(seen[id]) + 1))

    asyncio.run(story())


def test_a_hundred_who_look_at_one_run_cost_the_journal_no_more_than_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"chain": CHAIN}) as here:
            reads = 0
            pages = here.host.reading.pages(here.host.places.data)
            real = pages.events

            def counted(run: str, after: int = 0, most: int = -1) -> object:
                nonlocal reads
                reads += 1
                return real(run, after, most)

            pages.events = counted  # type: ignore[method-assign, assignment]
            id = await here.started("chain")
            streams = [here.stream(f"run:{id}") for _ in range(100)]
            for stream in streams:
                await stream.__aenter__()
            found = await asyncio.gather(*(stream.events() for stream in streams))
            assert len({tuple(event["seq"] for _id, event in one) for one in found}) == 1
            assert reads <= 3 * len(found[0]), "one read serves all that are equally far"
            for stream in streams:
                await stream.__aexit__()

    asyncio.run(story())


def test_a_log_comes_as_it_grows_in_whole_characters_and_goes_on_at_the_byte(tmp_path: Path) -> None:
    async def story() -> None:
        gate = tmp_path / "gate"
        wait = f"while ! test -e {gate}; do sleep 0.02; done"
        text = f"steps: [{{name: a/b, command: \"printf 'ä\\\\303'; {wait}; printf '\\\\244\\\\033[31mred\\\\n'\"}}]"
        async with served(tmp_path, {"umlauts": text}) as here:
            id = await here.started("umlauts")
            await eventually(lambda: _exists(here, id))
            async with here.stream(f"log:{id}/a/b") as stream:
                position, _kind, first = await stream.next()
                assert first["text"] == "ä", "the second one is not whole yet"
            assert position == str(ATTEMPT + 2)
            gate.touch()
            async with here.stream(f"log:{id}/a/b", position=position) as stream:
                texts, over = [], False
                while not over:
                    position, _kind, data = await stream.next()
                    texts.append(data["text"])
                    over = data["over"]
                assert "".join(texts) == "ä\x1b[31mred\n"
            assert position == str(ATTEMPT + OVER + 13)
            await here.until(id)

    asyncio.run(story())


async def _exists(here: Served, id: str) -> bool:
    answer = await here.call("GET", f"/api/v1/runs/{id}/steps/a/b/log", Role.VIEWER)
    return answer.status_code == 200 and len(answer.content) == 3


def test_of_a_step_that_is_tried_again_every_attempts_log_comes(tmp_path: Path) -> None:
    async def story() -> None:
        command = f"echo x | tee -a {tmp_path}/n; test $(wc -l < {tmp_path}/n) -ge 3"
        text = f"steps: [{{name: one, command: '{command}', retry_policy: {{limit: 5, interval_sec: 0}}}}]"
        async with served(tmp_path, {"retries": text}) as here:
            id = await here.started("retries")
            await here.until(id)
            async with here.stream(f"log:{id}/one") as stream:
                found: list[Any] = []
                while not found or not found[-1]["over"]:
                    found.append((await stream.next())[2])
            assert [(one["attempt"], one["text"]) for one in found] == [(1, "x\n"), (2, "x\n"), (3, "x\n"), (3, "")]

    asyncio.run(story())


def test_lists_say_when_they_have_changed(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"chain": CHAIN}) as here, here.stream("runs,dags") as stream:
            first = [(await stream.next())[2]["topic"] for _ in range(2)]
            assert sorted(first) == ["dags", "runs"], "once at the beginning: nothing is missed after a list was read"
            await here.until(await here.started("chain"))
            assert (await stream.next())[2]["topic"] == "runs"
            here.dag("another", CHAIN)
            while (await stream.next())[2]["topic"] != "dags":
                pass

    asyncio.run(story())


def test_one_who_takes_nothing_costs_no_memory_and_is_dropped_while_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "STALL_S", 0.3)

    async def story() -> None:
        many = "steps:\n" + "".join(f"  - {{name: s{n}, command: 'true'}}\n" for n in range(300))
        async with served(tmp_path, {"many": many}) as here:
            id = await here.started("many")
            slow = here.stream(f"run:{id}")
            slow.may_send.clear()
            await slow.__aenter__()
            async with here.stream(f"run:{id}") as quick:
                events = await quick.events()
            assert len(events) > 600
            await eventually(lambda: _gone(here))
            await slow.__aexit__()
            async with here.stream(f"run:{id}", position=events[299][0]) as again:
                rest = await again.events()
            assert [event["seq"] for _id, event in rest] == [event["seq"] for _id, event in events[300:]]

    asyncio.run(story())


async def _gone(here: Served) -> bool:
    return here.host.feeds.clients == 0


def test_a_stream_ends_when_its_token_is_revoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "CHECK_S", 0.05)

    async def story() -> None:
        async with served(tmp_path) as here, here.stream("dags") as stream:
            await stream.next()
            here.people.revoke_token(here.people.tokens("viewer")[0].id)
            assert (await stream.next())[1:] == ("dropped", {"reason": "you may not look any more"})

    asyncio.run(story())


def test_a_stream_of_a_run_that_is_removed_ends(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"chain": CHAIN}) as here:
            id = await here.started("chain")
            async with here.stream(f"run:{id}") as stream:
                await stream.events()
                assert (await here.call("DELETE", f"/api/v1/runs/{id}")).status_code == 200
                assert (await stream.next())[1] == "dropped"

    asyncio.run(story())


def test_the_end_of_the_server_is_told(tmp_path: Path) -> None:
    async def story() -> Stream:
        async with served(tmp_path) as here:
            stream = await here.stream("dags").__aenter__()
            await stream.next()
        return stream

    async def whole() -> None:
        stream = await story()
        assert (await stream.next())[1:] == ("dropped", {"reason": "the server stops"})
        await stream.__aexit__()

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("topics", "status"), [("run:nosuch", 404), ("log:nosuch/x", 404), ("x", 400), ("run:..", 400), (",", 400)]
)
def test_topics_that_nothing_has_are_refused(tmp_path: Path, topics: str, status: int) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            assert (await here.call("GET", f"/api/v1/events/stream?topics={topics}", Role.VIEWER)).status_code == status

    asyncio.run(story())


def test_topics_are_written_as_they_are_read() -> None:
    text = "run:a,log:a/b/c,log:a/b@c@stderr,runs,dags"
    assert ",".join(map(str, parse_topics(text))) == text
    assert [topic.step for topic in parse_topics(text)] == ["", "b/c", "b@c", "", ""]
    with pytest.raises(UsageError):
        parse_topics(",".join(f"run:r{n}" for n in range(TOPICS_MOST + 1)))


@pytest.mark.parametrize(
    ("text", "positions"),
    [("", (0, 0)), ("3,4", (3, 4)), ("3", (3, 0)), ("3,4,5", (3, 4)), ("x,-1", (0, 0)), ("9" * 40, (0, 0))],
)
def test_positions_that_nobody_gave_are_the_beginning(text: str, positions: tuple[int, ...]) -> None:
    assert parse_positions(text, 2) == positions
    assert parse_positions(written(positions), 2) == positions
