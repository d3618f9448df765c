"""Generated workflows end on a cluster as they end in memory, also where five leaders die on the way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.generated import APPROVALS, Script, flows, scripts
from support.natslead import Died, Numbers, drive, in_memory, mortal, working
from support.natsservers import running
from support.natswork import Setting
from support.scripted import but_waiting, calm, doing, ends

from provisioning.core.model import Workflow
from provisioning.core.run import Run

EXAMPLES = 300
LEADERS = 6
Say = Callable[[str], None]


class Comparing:
    """Runs a workflow in memory and on a cluster, whose leaders die after some commits if they are told to."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.numbers, self.counts = setting, Numbers(), Counter[str]()

    async def compare(self, flow: Workflow, script: Script, dice: Random | None) -> None:
        """Raise AssertionError unless both end the same, in every step's state, attempts, output and error."""
        async with working(self.setting, doing(script)):
            run = await self._driven(flow, dice)
        self.counts.update(workflows=1, steps=len(run.steps), **{f"runs {run.state.value}": 1})
        same = but_waiting if dice is not None else lambda end: end
        assert same(ends(run)) == same(await in_memory(flow, script))

    async def _driven(self, flow: Workflow, dice: Random | None) -> Run:
        run_id = self.numbers.run_id()
        for number in range(LEADERS):
            store = mortal(self.setting, number)
            if dice is not None and number < LEADERS - 1:
                store.dies_at, store.after = dice.randint(1, 6), dice.random() < 0.5
            try:
                with contextlib.suppress(Died, BaseExceptionGroup):
                    return await drive(store, self.numbers.next(), run_id, flow)
            finally:
                await store.aclose()
            self.counts["leaders died"] += 1
        raise AssertionError("nobody brought the run to its end")


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("deadly", [False, True])
def test_300_workflows_end_the_same_in_memory_and_on_a_cluster(tmp_path: Path, say: Say, *, deadly: bool) -> None:
    began_s = time.monotonic()
    with running() as server:
        comparing = Comparing(Setting(url=server.url, namespace="same", folder=str(tmp_path / "one"), slots=64))

        @settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow], deadline=None)
        @given(flows(gates=APPROVALS), scripts(stops=False), st.integers(0, 2**32))
        def same(flow: Workflow, script: Script, seed: int) -> None:
            asyncio.run(comparing.compare(calm(flow), script, Random(seed) if deadly else None))

        same()
    counts = ", ".join(f"{count} {what}" for what, count in sorted(comparing.counts.items()))
    say(f"the same in memory and on NATS, derandomized, {time.monotonic() - began_s:.0f} s: {counts}; 0 differ")
    assert comparing.counts["workflows"] >= EXAMPLES * 0.9
    assert deadly is (comparing.counts["leaders died"] > 0)
