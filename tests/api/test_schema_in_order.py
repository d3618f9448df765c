"""schemathesis again, one call after the other: what an answer names is called next, over real HTTP."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks
from support.dagengine import Engine
from support.outside import Outside, outside

from provisioning.core.access import Role

pytestmark = pytest.mark.slow
CONTRACT = Path(__file__).resolve().parents[2] / "schemas" / "openapi.json"
NAMES = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Outside]:
    engine = Engine(tmp_path)
    for name in ("hello", "other"):
        engine.dag(name, "schedule: '0 4 * * *'\nsteps: [{name: one, command: 'echo said'}, {name: two, command: 'false'}]")
    with outside(engine) as server:
        server.until("failed", server.started("hello"))
        yield server


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("examples", "steps", "reached"), [(3, 8, 1), pytest.param(150, 30, 12, marks=pytest.mark.soak)], ids=["quick", "full"]
)
def test_stories_of_calls_end_in_answers_of_the_contract(server: Outside, examples: int, steps: int, reached: int) -> None:
    load_all_checks()
    every = schemathesis.openapi.from_dict(json.loads(CONTRACT.read_text()))
    contract = every.exclude(lambda context: _ends_it(context.operation))
    called: Counter[tuple[str, int]] = Counter()

    class Story(contract.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            headers = {"Authorization": f"Bearer {server.tokens[Role.ADMIN]}"}
            return {"base_url": f"http://127.0.0.1:{server.port}", "headers": headers, "timeout": 30}

        def validate_response(self, response: Any, case: Any, **_more: Any) -> None:
            called[case.operation.label, response.status_code] += 1
            case.validate_response(response, checks=[CHECKS.get_one(name) for name in NAMES])

    Story.run(
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
    )
    found = {label for (label, status) in called if status < 300 and "{" in label}
    sys.stdout.write(
        f"\n{called.total()} calls of {len({label for label, _ in called})} operations; found by name: {sorted(found)}\n"
    )
    assert not [key for key in called if key[1] == 401]
    assert len(found) >= reached, "what an answer names is called next"


def _ends_it(operation: Any) -> bool:
    """Whether a call never ends, or takes the right to call away from who calls."""
    taken = operation.method.upper() in {"DELETE", "PATCH"} and operation.path.startswith(("/api/v1/users", "/api/v1/tokens"))
    return taken or str(operation.path).endswith(("/events/stream", "/logout", "/setup", "/login", "/me/password"))
