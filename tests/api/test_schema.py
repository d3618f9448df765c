"""schemathesis over the whole API: whatever is sent, no server error, and no answer that the contract does not have."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode
from support.served import BASE, SLOW_S, Served, served

from provisioning.core.access import Role

T = TypeVar("T")
CONTRACT = Path(__file__).resolve().parents[2] / "schemas" / "openapi.json"
EXAMPLES, MANY = 3, 200  # of each operation and way to make them up; the second in a soak
ENDLESS = "GET /api/v1/events/stream"
NAMES = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
KNOWN = {"name": "hello", "run": "known", "letter": 1, "step": "one"}
"""Path parameters that something has."""

load_all_checks()
CONTRACTED = schemathesis.openapi.from_dict(json.loads(CONTRACT.read_text()))
ALL: list[Any] = [result.ok() for result in CONTRACTED.get_all_operations()]  # type: ignore[union-attr]
OPERATIONS = {one.label: one for one in ALL if one.label != ENDLESS}


class Background:
    """A server whose loop runs in a thread of its own: what is made up is tried from this one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self.here: Served

    async def _serve(self) -> None:
        async with served(self._folder, {"hello": "steps: [{name: one, command: 'true'}]"}) as self.here:
            await self.here.post("/dags/hello/runs", {"run_id": "known"})
            await self.here.until("known")
            self._ready.set()
            await self._over.wait()

    def __enter__(self) -> Background:
        self._thread.start()
        assert self._ready.wait(SLOW_S)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(SLOW_S)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SLOW_S)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    with Background(tmp_path_factory.mktemp("contract")) as server:
        yield server


def sent(server: Background, case: Any) -> httpx.Response:
    asked = case.as_transport_kwargs(base_url=BASE)
    headers = {**asked.get("headers", {}), "authorization": f"Bearer {server.here.token(Role.ADMIN)}"}
    more = {key: asked[key] for key in ("params", "json", "data") if asked.get(key) is not None}
    if isinstance(more.get("data"), bytes | str):
        more["content"] = more.pop("data")
    return server.run(server.here.client.request(asked["method"], asked["url"], headers=headers, **more))


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # the engine in the other thread rolls its dice meanwhile
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "wrong"])
@pytest.mark.parametrize("label", sorted(OPERATIONS))
@pytest.mark.parametrize("many", [EXAMPLES, pytest.param(MANY, marks=pytest.mark.soak)], ids=["quick", "full"])
def test_every_answer_is_one_of_the_contract(server: Background, label: str, mode: GenerationMode, many: int) -> None:
    checks = [CHECKS.get_one(name) for name in NAMES]
    operation = OPERATIONS[label]
    known = {one.name: KNOWN[one.name] for one in operation.path_parameters if one.name in KNOWN}
    fixed: dict[str, Any] = (
        {"path_parameters": known} if mode is GenerationMode.POSITIVE and operation.method.upper() != "DELETE" else {}
    )

    @settings(max_examples=many, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode, **fixed))
    def answers(case: Any) -> None:
        try:
            answer = sent(server, case)
        except (UnicodeError, httpx.InvalidURL, ValueError):  # no client can send it
            return
        case.validate_response(answer, checks=checks)

    try:
        answers()
    except Exception as error:
        if type(error).__name__ in {"Unsatisfiable", "InvalidArgument"}:
            pytest.skip("nothing wrong can be made up for it")
        raise
