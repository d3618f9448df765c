"""What people may name freely never becomes a path, and what is in a path of the API is a name and nothing else."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from support.served import BASE, served

from provisioning.api.app import ENDPOINTS

ATTACKS = (
    "..",
    "../secret",
    "..%2Fsecret",
    "%2e%2e%2fsecret",
    "..%252Fsecret",
    "%2Fetc%2Fpasswd",
    "/etc/passwd",
    "..\\secret",
    "a%00.yaml",
    "a%0a",
    "a/../../secret",
    ".secret",
    "%2e",
    "a..b",
    "a" * 129,
    "a" * 5000,
    "secret%20",
    "%C3%A4",
    "%ff%fe",
    "$(id)",
    "'%20OR%201=1--",
)
CONTRACT = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "openapi.json").read_text())
FREE = {"step", "path"}  # may be anything, and are looked up


def named() -> Iterator[tuple[str, str]]:
    """Yield each route with a place for one name of its path at a time, and each that takes a name after `?`."""
    for one in ENDPOINTS:
        for name in set(re.findall(r"{(\w+)[:}]", one.path)) - FREE:
            there = re.sub(rf"{{{name}[^}}]*}}", "[]", one.path)
            yield one.method, re.sub(r"{[^}]*}", "1", there).replace("[]", "{}")
    for path, methods in CONTRACT["paths"].items():
        for method, one in methods.items():
            for parameter in one.get("parameters", ()):
                if parameter["in"] == "query" and "pattern" in str(parameter["schema"]):
                    yield method.upper(), f"{re.sub('{.*?}', 'x', path)}?{parameter['name']}={{}}"


NAMED = sorted(set(named()))
SECRET = "steps: [{name: one, command: 'echo CANARY'}]"


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    async def story() -> None:
        for name in ("secret.yaml", ".secret.yaml"):
            (tmp_path / name).write_text(SECRET)
        async with served(tmp_path, {".secret": SECRET}) as here:
            await here.call("GET", "/api/v1/me")
            before = _files(tmp_path)
            for method, path in NAMED:
                for attack in ATTACKS:
                    body: object = {} if method in {"POST", "PATCH"} else None
                    answer = await here.call(method, f"{BASE}{path.format(attack)}", body=body)
                    another = {200} if "/../" in f"/{attack}/" else set()  # the client itself asks for something else then
                    assert answer.status_code in {400, 404, 405, 422, *another}, (method, path, attack, answer.text)
                    assert "CANARY" not in answer.text
                    assert "root:" not in answer.text
            assert _files(tmp_path) == before

    asyncio.run(story())


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if ".db" not in path.name)


def test_every_name_that_anybody_can_send_is_tried() -> None:
    assert len(NAMED) > 40
    tried = {path.partition("?")[0] for _method, path in NAMED}
    assert {
        "/api/v1/runs/{}/log",
        "/api/dags/{}/run",
        "/api/v1/runs/{}/steps/1/log",
        "/api/v1/tokens/{}",
        "/api/v1/runs",
    } <= tried


def test_pages_are_looked_up_and_never_joined_to_a_path(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            for path in ("/..%2fapp.py", "/assets/..%2f..%2fapp.py", "/%2e%2e/app.py", "/%2Fetc%2Fpasswd", "/assets/%00"):
                answer = await here.client.get(BASE + path)
                assert answer.status_code in {200, 404}
                assert "def " not in answer.text
                assert "root:" not in answer.text

    asyncio.run(story())


def test_a_step_may_be_called_anything_and_its_log_is_found(tmp_path: Path) -> None:
    names = ("../../../etc/passwd", "a/b", "log", "a/log", "%2e%2e", "ä ö", "-", "a?b#c")

    async def story() -> None:
        lines = "".join(f"  - name: '{name}'\n    command: 'echo {number}'\n" for number, name in enumerate(names))
        async with served(tmp_path, {"named": f"type: graph\nsteps:\n{lines}"}) as here:
            run = await here.until(await here.started("named"))
            assert [step["id"] for step in run["steps"]] == list(names), run
            for number, step in enumerate(run["steps"]):
                assert step["log"].endswith(f"/steps/{quote(step['id'], safe='')}/log")
                answer = await here.call("GET", BASE + step["log"])
                assert answer.text == f"{number}\n", step["id"]
            for name in ("../../../etc/shadow", "nosuch"):
                path = f"{BASE}/api/v1/runs/{run['run_id']}/steps/{quote(name, safe='')}/log"
                assert (await here.call("GET", path)).status_code == 404

    asyncio.run(story())
