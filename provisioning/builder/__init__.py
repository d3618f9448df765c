"""Write workflows in Python: steps that call functions, what they wait for, and what becomes of failures.

    @task
    async def fetch(page: int) -> list[str]: ...

    wf = Workflow("report", on_failure="skip_downstream")
    pages = [wf.step(f"page-{n}", fetch, n, retry=Retry(attempts=3)) for n in range(10)]
    wf.step("join", join, [page.ref() for page in pages])

`provisioning.client` submits it, and tells what became of it.
"""

from provisioning.builder import acts
from provisioning.builder.options import Act, Step
from provisioning.builder.registry import task
from provisioning.builder.running import Current, TaskError, current
from provisioning.builder.workflow import Workflow
from provisioning.core.model import Breaker, Repeat, Retry
from provisioning.core.values import Ref

__all__ = [
    "Act",
    "Breaker",
    "Current",
    "Ref",
    "Repeat",
    "Retry",
    "Step",
    "TaskError",
    "Workflow",
    "acts",
    "current",
    "task",
]
