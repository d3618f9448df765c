"""Every coordinator: a definition comes whole or not at all, and what is missing, broken or refused is told apart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from support.definitions import ETL, RULES, Direct, answering, faked, home, serving
from support.natsservers import NatsServer, access

from provisioning.core.dagu.definitions import Coordinator, Status, Wanted
from provisioning.core.dagu.package import address, unpack
from provisioning.errors import DefinitionError, NoCoordinator

Asking = Callable[[str], AbstractAsyncContextManager[Coordinator]]


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    return home(tmp_path)


@pytest.fixture(params=["fake", "direct", "nats"])
def asking(request: pytest.FixtureRequest, dags: Path) -> Asking:
    """Return what makes a coordinator over the folder, with rules."""
    url = request.getfixturevalue("nats_server").url if request.param == "nats" else ""

    @asynccontextmanager
    async def made(rules: str = "") -> AsyncIterator[Coordinator]:
        if request.param == "nats":
            async with serving(access(url), answering(dags, rules), patience_s=0.05) as coordinator:
                yield coordinator
        else:
            yield faked(dags, rules) if request.param == "fake" else Direct(answering(dags, rules))

    return made


def wanted(name: str, caller: str = "site-a-1", *have: str) -> Wanted:
    return Wanted(name=name, caller=caller, have=have)


async def test_a_definition_comes_with_its_folder_under_its_digest(asking: Asking) -> None:
    async with asking("") as coordinator:
        answer, data = await coordinator.ask(wanted("etl"))
    package = unpack(data)

    assert (answer.status, answer.name, answer.digest) == (Status.FOUND, "etl", address(data))
    assert package.data(package.file) == ETL.encode()
    assert [(one.path, one.executable) for one in package.members] == [("dags/etl.yaml", False), ("dags/load.sh", True)]


async def test_what_the_caller_has_is_not_sent_again(asking: Asking) -> None:
    async with asking("") as coordinator:
        first, _ = await coordinator.ask(wanted("etl"))
        again, data = await coordinator.ask(wanted("etl", "site-a-1", "sha256:0", first.digest))
        other, _ = await coordinator.ask(wanted("payroll", "site-a-1", first.digest))

    assert (again.status, again.digest, data) == (Status.UNCHANGED, first.digest, b"")
    assert other.status is Status.FOUND


async def test_not_found_broken_and_refused_are_three_things(asking: Asking) -> None:
    async with asking(RULES) as coordinator:
        answers = [await coordinator.ask(wanted(name)) for name in ("missing", "broken", "payroll")]
        allowed, _ = await coordinator.ask(wanted("payroll", "boss"))

    assert [answer.status for answer, _ in answers] == [Status.NOT_FOUND, Status.BROKEN, Status.REFUSED]
    assert [data for _, data in answers] == [b""] * 3
    assert "not a valid DAG" in answers[1][0].error
    assert "site-a-1" in answers[2][0].error
    assert allowed.status is Status.FOUND


async def test_a_large_one_comes_whole(asking: Asking, dags: Path) -> None:
    (dags / "big.yaml").write_text("steps: [echo]\n", "utf-8")
    content = bytes(range(256)) * 12_000  # three times what a message may have
    (dags / "table.bin").write_bytes(content)
    async with asking("") as coordinator:
        answer, data = await coordinator.ask(wanted("big"))

    assert unpack(data, answer.digest).data("dags/table.bin") == content


@pytest.mark.parametrize("name", ["../etl", "a/../b", "/etl", "", ".."])
async def test_what_is_no_name_is_not_asked_for(asking: Asking, name: str) -> None:
    async with asking("") as coordinator:
        with pytest.raises(DefinitionError):
            await coordinator.ask(wanted(name))


async def test_nobody_there_is_an_error_that_a_later_try_may_not_have(dags: Path, nats_server: NatsServer) -> None:
    fake = faked(dags, "")
    fake.silent = True
    async with serving(access(nats_server.url)) as over_nats:
        for coordinator in (fake, over_nats):
            with pytest.raises(NoCoordinator) as caught:
                await coordinator.ask(wanted("etl"))
            assert caught.value.retryable
