"""A unit on a real bash: claimed once, adopted, fenced, never executed by halves."""

from __future__ import annotations

import asyncio
import os
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.remote import (
    Heard,
    MortalShell,
    bundle_of,
    counting,
    local_link,
    local_shell,
    members_of,
    open_folders,
    packed,
    runs,
    unit_folder,
    unit_of,
    until,
)

from provisioning.adapters.remote.frames import frame_bytes
from provisioning.adapters.remote.link import RemoteLink
from provisioning.adapters.remote.program import program_bytes
from provisioning.adapters.remote.request import start_request
from provisioning.core.hosts import Bundle, Exit, Unit
from provisioning.errors import HostError


async def test_a_script_runs_in_its_bundle_with_its_operation_and_environment(link: RemoteLink) -> None:
    heard = Heard()
    script = 'cat data; echo "$1 $PWD"; env | grep ^PROVISIONING_ | sort\n'
    bundle = bundle_of("", data=packed({"install-web.sh": script, "data": "its data\n"}))
    unit = unit_of(operation="config", token=7, attempt=3, step="web/ünï 'codé' $(id)")

    assert await link.start(unit, bundle, heard) == Exit(kind="exit", code=0)

    assert heard.text.startswith("its data\nconfig /")
    expected = ["ATTEMPT=3", "FORMULA=web", "OPERATION=config", "PROFILE=default", "RUN_ID=run-1", "SERVER=web-0"]
    expected += ["STEP=web/ünï 'codé' $(id)", "TASKSERV=web", "TOKEN=7"]
    for line in expected:
        assert f"PROVISIONING_{line}\n" in heard.text


@pytest.mark.parametrize(
    ("script", "exit"),
    [
        pytest.param("exit 3", Exit(kind="exit", code=3), id="a code is a code"),
        pytest.param("exit 137", Exit(kind="exit", code=137), id="a code that looks like a signal is a code"),
        pytest.param("kill -KILL $$", Exit(kind="signal", code=9), id="a signal is a signal"),
        pytest.param("kill -TERM $$", Exit(kind="signal", code=15), id="also a polite one"),
        pytest.param("read -r line; exit $?", Exit(kind="exit", code=1), id="there is no input to wait for"),
    ],
)
async def test_the_outcome_is_told_apart(link: RemoteLink, script: str, exit: Exit) -> None:
    assert await link.start(unit_of(), bundle_of(script), Heard()) == exit


async def test_both_streams_come_in_order_and_byte_for_byte(link: RemoteLink) -> None:
    heard = Heard()
    script = "printf 'a\\n'; printf '\\377\\0b' >&2; printf '\\x1e@ no frame\\n'; printf 'no end of line'\n"

    await link.start(unit_of(), bundle_of(script), heard)

    assert heard.data == b"a\n\xff\0b\x1e@ no frame\nno end of line"


async def test_a_second_start_of_the_same_attempt_gets_the_result_and_the_output(link: RemoteLink, counter: Path) -> None:
    first, second = Heard(), Heard()
    bundle = bundle_of(counting(counter, "echo out", "exit 5"))

    assert await link.start(unit_of(), bundle, first) == Exit(kind="exit", code=5)
    assert await link.start(unit_of(), bundle, second) == Exit(kind="exit", code=5, adopted=True)

    assert first.data == second.data == b"out\n"
    assert runs(counter) == 1


async def test_a_second_start_while_it_runs_follows_the_one_that_runs(link: RemoteLink, home: Path, counter: Path) -> None:
    first, second = Heard(), Heard()
    release = home.parent / "release"
    bundle = bundle_of(counting(counter, "echo one", f"until [ -e '{release}' ]; do sleep 0.02; done", "echo two", "exit 4"))
    runner = asyncio.create_task(link.start(unit_of(), bundle, first))
    await until(lambda: first.data == b"one\n")

    other = asyncio.create_task(local_link(home).start(unit_of(run="run-2"), bundle, second))
    await until(lambda: second.data == b"one\n")
    release.touch()

    assert await other == Exit(kind="exit", code=4, adopted=True)
    assert await runner == Exit(kind="exit", code=4), "who comes later takes nothing from who was there"
    assert first.data == second.data == b"one\ntwo\n"
    assert runs(counter) == 1


async def test_when_the_unit_that_was_followed_is_cancelled_our_own_runs(link: RemoteLink, home: Path, counter: Path) -> None:
    first, second = Heard(), Heard()
    bundle = bundle_of(counting(counter, "echo one", '[ "$PROVISIONING_RUN_ID" = run-2 ] || sleep 300', "echo two"))
    runner = asyncio.create_task(link.start(unit_of(), bundle, first))
    await until(lambda: first.data)
    other = asyncio.create_task(local_link(home).start(unit_of(run="run-2"), bundle, second))
    await until(lambda: second.data)

    runner.cancel()

    assert await other == Exit(kind="exit", code=0)
    assert second.data.endswith(b"one\ntwo\n")
    assert runs(counter) == 2


async def _killed(home: Path, unit: Unit, bundle: Bundle) -> None:
    """Start a unit, or follow one, and kill the runner once there is output."""
    heard, shell = Heard(), MortalShell(local_shell(home))
    link = RemoteLink(shell, patience_s=0.1)
    task = asyncio.create_task(link.start(unit, bundle, heard))
    await until(lambda: heard.data)
    shell.die()
    link.close()
    await asyncio.gather(task, return_exceptions=True)


def _generation(number: int) -> Unit:
    """A unit that resumes the one of the run before."""
    return unit_of(run=f"run-{number}", token=number, resumes=(f"run-{number - 1}", 1, "web/web"))


@pytest.mark.parametrize("deaths", [1, 2, 3])
async def test_a_result_is_taken_however_many_runners_died_following_it(home: Path, counter: Path, deaths: int) -> None:
    release = home.parent / "release"
    bundle = bundle_of(counting(counter, "echo one", f"until [ -e '{release}' ]; do sleep 0.02; done"))
    for number in range(1, deaths + 1):
        await _killed(home, _generation(number), bundle)
    release.touch()
    await until((unit_folder(home, _generation(1)) / "result").exists)

    exit = await local_link(home).start(_generation(deaths + 1), bundle, Heard())

    assert exit == Exit(kind="exit", code=0, adopted=True)
    assert runs(counter) == 1


async def test_stopping_a_unit_that_follows_another_stops_that_one(home: Path, counter: Path) -> None:
    bundle = bundle_of(counting(counter, "echo one", "sleep 300"))
    await _killed(home, _generation(1), bundle)
    heard = Heard()
    task = asyncio.create_task(local_link(home).start(_generation(2), bundle, heard))
    await until(lambda: heard.data)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert not members_of(home, _generation(1))
    assert (unit_folder(home, _generation(1)) / "result").read_text() == "cancelled 0 .\n"


async def test_another_operation_waits_until_the_running_one_is_through(link: RemoteLink, tmp_path: Path) -> None:
    order = tmp_path / "order"
    slow = bundle_of(f"echo begin >> '{order}'; sleep 0.5; echo end >> '{order}'")
    runner = asyncio.create_task(link.start(unit_of(), slow, Heard()))
    await until(order.exists)

    other = await link.start(
        unit_of(attempt=2, operation="config", digest="d2"), bundle_of(f"echo config >> '{order}'", digest="d2"), Heard()
    )

    assert other == Exit(kind="exit", code=0)
    assert (await runner).ok
    assert order.read_text().split() == ["begin", "end", "config"]


async def test_taskservs_of_one_server_do_not_wait_for_one_another(link: RemoteLink, tmp_path: Path) -> None:
    scripts = [f"touch '{tmp_path}/{me}'; until [ -e '{tmp_path}/{you}' ]; do sleep 0.02; done" for me, you in ("ab", "ba")]

    exits = await asyncio.gather(
        *(
            link.start(unit_of(taskserv=f"t{n}", step=f"web/{n}"), bundle_of(script), Heard())
            for n, script in enumerate(scripts)
        )
    )

    assert all(exit.ok for exit in exits)


async def test_an_older_token_is_refused_and_nothing_runs(link: RemoteLink, counter: Path) -> None:
    await link.start(unit_of(token=8), bundle_of("exit 0"), Heard())

    late = await link.start(unit_of(run="run-0", token=7), bundle_of(counting(counter)), Heard())

    assert late.kind == "fenced"
    assert "8" in late.message
    assert runs(counter) == 0
    assert (await link.start(unit_of(attempt=2, token=8), bundle_of(counting(counter)), Heard())).ok


async def test_tokens_are_of_one_taskserv_on_one_server(link: RemoteLink) -> None:
    await link.start(unit_of(token=8), bundle_of("exit 0"), Heard())

    assert (await link.start(unit_of(taskserv="db", step="web/db", token=1), bundle_of("exit 0"), Heard())).ok


BIG = "# " + random.Random(1).randbytes(300_000).hex() + "\n"  # too big to travel with the request


@pytest.mark.parametrize("padding", [pytest.param("", id="small"), pytest.param(BIG, id="big")])
async def test_a_bundle_that_was_damaged_is_never_executed(link: RemoteLink, counter: Path, padding: str) -> None:
    whole = bundle_of(padding + counting(counter))
    for size in range(1, len(whole.data), 11 if len(whole.data) < 1000 else 49_999):
        with pytest.raises(HostError, match="could not be delivered"):
            await link.start(unit_of(), replace(whole, data=whole.data[:size]), Heard())
    assert runs(counter) == 0

    assert await link.start(unit_of(), whole, Heard()) == Exit(kind="exit", code=0)
    assert runs(counter) == 1


@pytest.mark.parametrize("padding", [pytest.param("", id="small"), pytest.param(BIG, id="big")])
async def test_an_upload_that_is_cut_is_never_executed_by_halves(home: Path, counter: Path, padding: str) -> None:
    request = start_request(unit_of(), bundle_of(padding + counting(counter)))
    whole = program_bytes("nonce") + frame_bytes("start", 1, request.payload)
    whole += frame_bytes("data", 1, request.archive) if request.archive else b""
    for size in (*range(0, len(whole), 2999), *range(len(whole) - 40, len(whole))):
        wire = await local_shell(home).open(whole[:size])
        wire.close()
        assert runs(counter) == 0, size

    assert await local_link(home).start(unit_of(), bundle_of(counting(counter)), Heard()) == Exit(kind="exit", code=0)
    assert runs(counter) == 1


async def test_a_claim_without_a_result_is_not_repeated(link: RemoteLink, home: Path, counter: Path) -> None:
    await leave_claim_without_result(link, home, counter)

    again = await link.start(unit_of(), bundle_of(counting(counter)), Heard())
    later = await link.start(unit_of(run="run-2"), bundle_of(counting(counter)), Heard())
    resumed = await link.start(unit_of(run="run-2", resumes=("run-1", 1, "web/web")), bundle_of(counting(counter)), Heard())

    assert {again.kind, later.kind, resumed.kind} == {"refused"}
    assert runs(counter) == 1


async def test_a_claim_without_a_result_is_repeated_when_that_does_no_harm(link: RemoteLink, home: Path, counter: Path) -> None:
    await leave_claim_without_result(link, home, counter)

    again = await link.start(unit_of(idempotent=True), bundle_of(counting(counter)), Heard())

    assert again == Exit(kind="exit", code=0)
    assert runs(counter) == 2


async def leave_claim_without_result(link: RemoteLink, home: Path, counter: Path) -> None:
    """Leave what a power cut leaves: the last line of the output comes after the result, so it is gone as well."""
    await link.start(unit_of(), bundle_of(counting(counter)), Heard())
    for name in ("result", "out"):
        (unit_folder(home, unit_of()) / name).unlink()


@pytest.mark.parametrize("torn", ["", "ex", "exit 0", "exit 0 "])
async def test_a_torn_result_is_no_result(link: RemoteLink, home: Path, torn: str) -> None:
    await link.start(unit_of(), bundle_of("exit 0"), Heard())
    (unit_folder(home, unit_of()) / "result").write_text(torn)

    assert (await link.start(unit_of(), bundle_of("exit 0"), Heard())).kind == "refused"


async def test_an_earlier_attempt_that_succeeded_is_taken(link: RemoteLink, counter: Path) -> None:
    bundle = bundle_of(counting(counter, "echo installed"))
    await link.start(unit_of(), bundle, Heard())
    heard = Heard()

    exit = await link.start(unit_of(run="run-2", resumes=("run-1", 1, "web/web")), bundle, heard)

    assert exit == Exit(kind="exit", code=0, adopted=True)
    assert heard.data == b"installed\n"
    assert runs(counter) == 1


@pytest.mark.parametrize(
    ("earlier", "now"),
    [
        pytest.param("exit 1", {}, id="it failed"),
        pytest.param("exit 0", {"digest": "d2"}, id="the bundle is another one"),
        pytest.param("exit 0", {"operation": "config"}, id="the operation is another one"),
    ],
)
async def test_an_earlier_attempt_is_not_taken_for_something_else(
    link: RemoteLink, counter: Path, earlier: str, now: dict[str, object]
) -> None:
    await link.start(unit_of(), bundle_of(earlier), Heard())

    exit = await link.start(unit_of(run="run-2", resumes=("run-1", 1, "web/web"), **now), bundle_of(counting(counter)), Heard())

    assert exit == Exit(kind="exit", code=0)
    assert runs(counter) == 1


async def test_an_earlier_attempt_that_the_server_never_heard_of_is_no_obstacle(link: RemoteLink) -> None:
    assert (await link.start(unit_of(resumes=("run-0", 4, "web/web")), bundle_of("exit 0"), Heard())).ok


async def test_what_is_uploaded_only_does_not_run(link: RemoteLink, home: Path, counter: Path) -> None:
    heard = Heard()

    exit = await link.start(unit_of(upload_only=True), bundle_of(counting(counter)), heard)

    assert exit == Exit(kind="exit", code=0)
    folder = Path(heard.text.removeprefix("delivered to ").strip())
    assert folder.is_relative_to(home)
    assert (folder / "install-web.sh").read_text() == counting(counter)
    assert runs(counter) == 0


async def test_the_bundle_goes_and_the_small_record_stays(link: RemoteLink, home: Path) -> None:
    await link.start(unit_of(), bundle_of("echo out"), Heard())

    folder = unit_folder(home, unit_of())
    await until(lambda: not (folder / "bundle").exists())
    assert (folder / "result").read_text() == "exit 0 .\n"
    assert (folder / "out").read_bytes() == b"out\n"
    assert open_folders(home) == []


async def test_old_records_are_cleared_away_but_not_unresolved_claims(link: RemoteLink, home: Path) -> None:
    old, unresolved = unit_of(run="old"), unit_of(run="unresolved", taskserv="db")
    for unit in (old, unresolved):
        await link.start(unit, bundle_of("exit 0"), Heard())
    (unit_folder(home, unresolved) / "result").unlink()
    for unit in (old, unresolved):
        os.utime(unit_folder(home, unit), (time.time() - 8 * 86400,) * 2)

    again = local_link(home)
    await again.start(unit_of(taskserv="cache"), bundle_of("exit 0"), Heard())
    await again.recorded()

    assert not unit_folder(home, old).exists()
    assert unit_folder(home, unresolved).exists()
    assert unit_folder(home, unit_of()).exists()


async def test_names_that_are_no_file_names_stay_inside_the_folder(link: RemoteLink, home: Path) -> None:
    before = set(home.parent.iterdir())
    hostile = unit_of(lineage="../../l", run="../r", step="../../s\n", server="../..", taskserv="$(touch pwned)/..")

    assert (await link.start(hostile, bundle_of("exit 0"), Heard())).ok

    assert set(home.parent.iterdir()) - before == {home}
    assert not list(home.parent.rglob("pwned"))
