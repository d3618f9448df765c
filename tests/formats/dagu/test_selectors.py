"""Selectors that no worker can match are refused where they stand."""

from __future__ import annotations

import pytest

from provisioning.formats.dagu.files import read_base, read_dag

STEPS = "steps: [echo]\n"


@pytest.mark.parametrize(
    ("text", "place", "code", "message", "hint"),
    [
        ("worker_selector: Local\n", (1, 18), "wrong_type", 'found "Local", expected a map', 'did you mean "local"?'),
        ("worker_selector: gpu\n", (1, 18), "wrong_type", 'found "gpu", expected a map of labels', "{NAME: VALUE}"),
        ("worker_selector: [gpu]\n", (1, 18), "wrong_type", "found a list of 1 item, expected a map of labels", "NAME"),
        ("worker_selector: 7\n", (1, 18), "wrong_type", "found 7, expected a map of labels", "NAME"),
        ("worker_selector:\n  gpu: [yes]\n", (2, 8), "wrong_type", "found a list of 1 item, expected text", ""),
        ("worker_selector:\n  gpu:\n", (2, 7), "missing_value", 'the label "gpu" has no value', "exactly"),
        ("worker_selector:\n  g pu: x\n", (2, 9), "bad_label", "no name of a label", ""),
        ("workerSelector:\n  zone: a,b\n", (2, 9), "bad_label", "no value of the label zone", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_selector_is_said_with_its_place(
    text: str, place: tuple[int, int], code: str, message: str, hint: str
) -> None:
    for reading in (read_dag((text + STEPS).encode(), file="a.yaml"), read_base(text.encode(), file="base.yaml")):
        fault = reading.faults[0]
        assert (fault.line, fault.column) == place
        assert (fault.code, len(reading.faults)) == (code, 1)
        assert message in fault.message
        assert hint in fault.hint


@pytest.mark.parametrize("doing", ["command: echo", "run: echo", "action: http.request, with: {url: http://a}"])
def test_a_step_that_starts_no_dag_has_no_selector(doing: str) -> None:
    text = f"steps:\n  - {{name: a, {doing}, worker_selector: {{gpu: yes}}}}\n"
    fault = read_dag(text.encode(), file="a.yaml").faults[0]

    assert (fault.code, fault.line, fault.column) == ("misplaced_key", 2, text.splitlines()[1].index("{gpu") + 1)
    assert "at one worker as a whole" in fault.message


@pytest.mark.parametrize(
    "text",
    [
        "worker_selector: local\n",
        "worker_selector: {gpu: true, memory: 64G, cores: 8}\n",
        'worker_selector: {"${KEY}": "${ZONE}"}\n',
        "worker_selector: {}\n",
        "worker_selector:\n",
    ],
)
def test_selectors_that_can_match_are_taken(text: str) -> None:
    assert not read_dag((text + STEPS).encode(), file="a.yaml").faults


def test_the_base_places_every_dag_that_says_nothing_itself() -> None:
    base = read_base(b"worker_selector: {zone: a}\n", file="base.yaml").dag
    silent = read_dag(STEPS.encode(), file="a.yaml", base=base).dag
    saying = read_dag(f"worker_selector: local\n{STEPS}".encode(), file="a.yaml", base=base).dag

    assert silent is not None
    assert saying is not None
    assert silent.worker_selector is not None
    assert [(one.name, one.value.raw) for one in silent.worker_selector.labels] == [("zone", "a")]
    assert saying.worker_selector is not None
    assert saying.worker_selector.local
