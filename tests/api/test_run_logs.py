"""The log of a whole run: parts of it, what stays as it is, and nothing where nothing has changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from support.served import Served, eventually, served

from provisioning.adapters.logs import read_log
from provisioning.core.access import Role
from provisioning.operations.hosting import logs

TWO = """
type: graph
steps:
  - {{name: quick, command: 'echo quick; echo late >&2'}}
  - {{name: slow, depends: quick, command: 'echo slow; while ! test -e {gate}; do sleep 0.02; done; echo ä'}}
  - {{name: beside, depends: quick, command: 'echo beside'}}
"""


async def log(here: Served, id: str, query: str = "", **headers: str) -> httpx.Response:
    return await here.call("GET", f"/api/v1/runs/{id}/log{query}", Role.VIEWER, **headers)


def printed(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("==>")]


def test_who_follows_a_run_asks_only_for_what_is_not_settled_and_has_the_same_in_the_end(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def story() -> None:
        async with served(tmp_path, {"two": TWO.format(gate=gate)}) as here:
            id = await here.started("two")
            known, settled, asked = b"", 0, 0

            async def follow() -> bool:
                nonlocal known, settled, asked
                answer = await log(here, id, range=f"bytes={settled}-")
                if answer.status_code == 416:
                    return answer.headers["log-complete"] == "true"
                assert answer.status_code == 206
                known = known[:settled] + answer.content
                settled, asked = int(answer.headers["log-settled"]), asked + len(answer.content)
                return answer.headers["log-complete"] == "true"

            async def beside() -> bool:
                await follow()
                return b"beside" in known and b"slow\n" in known

            await eventually(beside)
            first = settled
            assert 0 < first < len(known), "quick has ended, slow has not"
            assert b"quick" in known[:first]
            gate.touch()
            await eventually(follow)
            whole = await log(here, id)
            assert known == whole.content
            assert (settled, whole.headers["log-complete"]) == (len(known), "true")
            assert sorted(printed(whole.text)) == ["beside", "late", "quick", "slow", "ä"]

    asyncio.run(story())


def test_nothing_is_sent_where_nothing_has_changed(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"hello": "steps: [{name: one, command: 'echo hello; exit 1'}]"}) as here:
            id = (await here.until(await here.started("hello")))["run_id"]
            whole = await log(here, id)
            tag = whole.headers["etag"]
            for said in (tag, f"W/{tag}", f'"other", {tag}'):
                same = await log(here, id, if_none_match=said)
                assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
            step = await here.call("GET", f"/api/v1/runs/{id}/steps/one/log", Role.VIEWER)
            one = await here.call("GET", f"/api/v1/runs/{id}/steps/one/log", Role.VIEWER, if_none_match=step.headers["etag"])
            assert (step.text, one.status_code) == ("hello\n", 304)
            await here.post(f"/runs/{id}/retry")
            await here.until(id)
            again = await log(here, id, if_none_match=tag)
            assert (again.status_code, again.content[: len(whole.content)]) == (200, whole.content), "what comes is at the end"
            assert again.text.count("==> one attempt 2") == 1

    asyncio.run(story())


@pytest.mark.parametrize("width", [1, 7, 64])
def test_the_parts_of_a_log_are_the_whole(tmp_path: Path, width: int) -> None:
    async def story() -> None:
        steps = ["echo ä; echo b >&2", "true", "echo c"]
        text = "steps:\n" + "".join(f"  - {{name: s{number}, command: '{one}'}}\n" for number, one in enumerate(steps))
        async with served(tmp_path, {"hello": text}) as here:
            id = (await here.until(await here.started("hello")))["run_id"]
            whole = (await log(here, id)).content
            parts = [await log(here, id, range=f"bytes={at}-{at + width - 1}") for at in range(0, len(whole), width)]
            assert b"".join(part.content for part in parts) == whole
            assert parts[0].headers["content-range"] == f"bytes 0-{width - 1}/{len(whole)}"
            assert (await log(here, id, range=f"bytes={len(whole)}-")).status_code == 416
            assert (await log(here, id, range="bytes=-3")).content == whole[-3:]
            assert printed((await log(here, id, "?tail=1")).text) == ["ä", "b", "c"]

    asyncio.run(story())


def test_of_what_is_settled_no_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def told(path: Path, *, lines: int | None = None) -> str:
        read.append(path)
        return read_log(path, lines=lines)

    async def story() -> None:
        steps = "".join(f"  - {{name: s{number}, command: 'echo {number}'}}\n" for number in range(20))
        async with served(tmp_path, {"many": f"steps:\n{steps}"}) as here:
            id = (await here.until(await here.started("many")))["run_id"]
            settled = int((await log(here, id)).headers["log-settled"])
            monkeypatch.setattr(logs, "read_log", told)
            assert (await log(here, id, range=f"bytes={settled - 1}-")).content == b"\n"
            assert len(read) == 1

    asyncio.run(story())
