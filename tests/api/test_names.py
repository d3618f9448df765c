"""What people may name freely never becomes a path, and what is in a path of the API is a name and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

from support.served import BASE, served

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
NAMED = (
    ("GET", "/dags/{}"),
    ("GET", "/dags/{}/source"),
    ("GET", "/dags/{}/validate"),
    ("GET", "/dags/{}/graph"),
    ("POST", "/dags/{}/runs"),
    ("POST", "/dags/{}/start"),
    ("POST", "/dags/{}/suspend"),
    ("POST", "/dags/{}/resume"),
    ("GET", "/runs/{}"),
    ("GET", "/runs/{}/steps"),
    ("GET", "/runs/{}/attempts"),
    ("GET", "/runs/{}/events"),
    ("GET", "/runs/{}/graph"),
    ("GET", "/runs/{}/log"),
    ("GET", "/runs/{}/steps/one/log"),
    ("POST", "/runs/{}/cancel"),
    ("POST", "/runs/{}/retry"),
    ("DELETE", "/runs/{}"),
    ("GET", "/workspaces/{}"),
    ("GET", "/workspaces/{}/state"),
    ("POST", "/workspaces/{}/provision"),
    ("DELETE", "/tokens/{}"),
    ("PATCH", "/users/{}"),
    ("DELETE", "/users/{}"),
)
SECRET = "steps: [{name: one, command: 'echo CANARY'}]"


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    async def story() -> None:
        for name in ("secret.yaml", ".secret.yaml"):
            (tmp_path / name).write_text(SECRET)
        async with served(tmp_path, {".secret": SECRET}) as here:
            before = sorted(path for path in tmp_path.rglob("*") if path.suffix == ".suspend")
            for method, path in NAMED:
                for attack in ATTACKS:
                    body: object = {} if method in {"POST", "PATCH"} else None
                    answer = await here.call(method, f"{BASE}/api/v1{path.format(attack)}", body=body)
                    assert answer.status_code in {400, 404, 405, 422}, (method, path, attack, answer.text)
                    assert "CANARY" not in answer.text
            assert sorted(path for path in tmp_path.rglob("*") if path.suffix == ".suspend") == before

    asyncio.run(story())


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
