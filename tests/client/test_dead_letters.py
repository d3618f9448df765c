"""Dead letters are replayed for real, counted and removed. Ids are those of `docs/reference/engine-cases.md`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.flows import client, flow, play, stage, states

from provisioning.core.events import Kind
from provisioning.errors import UsageError


async def test_a28_a_replay_runs_the_step_again_and_the_letter_says_as_which_attempt(folder: Path | None) -> None:
    on = stage()
    on.failures["a"] = 1
    wf = flow()
    a = wf.step("a", play, "a", 7)
    wf.step("b", play, "b", a.ref())

    async with client(folder) as it:
        run = await it.submit(wf)
        await it.wait(run)
        (letter,) = await it.dead_letters()
        assert (letter.run_id, letter.step, letter.attempt, letter.error_kind) == (run, "a", 1, "scripted")
        assert await it.replay(letter.id) == run
        assert await it.result(run, "b") == 7
        (after,) = await it.dead_letters(replayed=True)
        assert (after.id, after.replayed_attempt) == (letter.id, 2)
        assert "@" in after.replayed_by
        with pytest.raises(UsageError, match=f"dead letter {letter.id} was replayed as attempt 2"):
            await it.replay(letter.id)

    assert on.called == ["a", "a", "b"]


async def test_a28_a_letter_is_replayed_while_its_run_goes_on(folder: Path | None) -> None:
    on = stage()
    on.failures["a"] = 1
    on.close("other")
    wf = flow()
    wf.step("a", play, "a", 7)
    wf.step("other", play, "other")

    async with client(folder) as it:
        run = await it.submit(wf)
        async for event in it.watch(run):
            if event.kind is Kind.STEP_FAILED:
                break
        await it.replay((await it.dead_letters())[0].id)
        assert await it.result(run, "a") == 7
        on.open("other")
        assert states(await it.wait(run)) == {"a": "succeeded", "other": "succeeded"}


async def test_the_alarm_goes_off_when_the_number_is_reached_and_again_after_it_fell_below(
    folder: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVISIONING_DEAD_LETTERS_ALERT_AT", "2")
    on, heard = stage(), list[int]()
    on.failures["a"] = 10
    wf = flow()
    wf.step("a", play, "a")

    async with client(folder, on_alarm=heard.append) as it:
        runs = [await it.submit(wf) for _ in range(3)]
        for run in runs:
            await it.wait(run)
        assert heard == [2]
        on.failures["a"] = 0
        for letter in (await it.dead_letters())[:2]:
            await it.wait(await it.replay(letter.id))
        on.failures["a"] = 1
        await it.wait(await it.submit(wf))

    assert heard == [2, 2]


async def test_the_alarm_goes_off_again_after_letters_were_removed(
    folder: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVISIONING_DEAD_LETTERS_ALERT_AT", "2")
    on, heard = stage(), list[int]()
    on.failures.update(a=2, b=2)
    on.close("a", "b")
    wf = flow()
    wf.step("a", play, "a")
    wf.step("b", play, "b")

    async with client(folder, on_alarm=heard.append) as it:
        for _ in range(2):
            run = await it.submit(wf)
            on.open("a", "b")
            await it.wait(run)
            assert await it.purge_dead_letters(waiting=True) == 2

    assert heard == [2, 2]


async def test_without_anybody_to_call_the_alarm_is_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVISIONING_DEAD_LETTERS_ALERT_AT", "1")
    on = stage()
    on.failures["a"] = 1
    wf = flow()
    wf.step("a", play, "a")

    async with client() as it:
        await it.wait(await it.submit(wf))

    lines = [(one.name, one.levelno, one.getMessage()) for one in caplog.records if one.name == "provisioning"]
    assert lines == [("provisioning", logging.WARNING, "1 dead letter waits: `provisioning deadletter list` shows them")]


async def test_an_alarm_that_fails_does_not_stop_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISIONING_DEAD_LETTERS_ALERT_AT", "1")
    on = stage()
    on.failures["a"] = 1
    wf = flow()
    wf.step("a", play, "a")

    def fail(_count: int) -> None:
        raise RuntimeError("no line to the pager")

    async with client(on_alarm=fail) as it:
        assert (await it.wait(await it.submit(wf))).status == "failed"
        assert (await it.wait(await it.submit(wf))).status == "succeeded"


async def test_letters_are_removed_once_replayed_or_when_all_are_meant(folder: Path | None) -> None:
    on = stage()
    on.failures["a"] = 2
    wf = flow()
    wf.step("a", play, "a")

    async with client(folder) as it:
        for _ in range(2):
            await it.wait(await it.submit(wf))
        newest = (await it.dead_letters())[0]
        await it.wait(await it.replay(newest.id))
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        assert await it.purge_dead_letters(before=tomorrow - timedelta(days=2), waiting=True) == 0
        assert await it.purge_dead_letters(before=tomorrow) == 1
        assert [letter.id for letter in await it.dead_letters(replayed=None)] == [newest.id - 1]
        assert await it.purge_dead_letters(waiting=True) == 1
        assert await it.dead_letters(replayed=None) == ()
