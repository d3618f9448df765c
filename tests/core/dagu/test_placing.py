"""Where runs of DAGs go: by hand, by a step, by a selector, by the mode for those that say nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from provisioning.core.dagu.compile import compile_dag
from provisioning.core.dagu.declared import DagFile, Selector, Step, Variable
from provisioning.core.dagu.doing import NoopDoing, Text
from provisioning.core.dagu.placing import Here, Mode, WrongSelector, started_by_hand, started_by_step, texts_of, wrong_label
from provisioning.core.model import ANYWHERE, Fallback, Placement


def selector(**labels: str) -> Selector:
    return Selector(
        labels=tuple(Variable(name=name, value=Text(raw=value, line=1, column=1)) for name, value in labels.items())
    )


def dag(own: Selector | None = None, package: str = "") -> DagFile:
    steps = tuple(Step(name=name, line=1, column=1, doing=NoopDoing()) for name in ("a", "b"))
    return DagFile(name="child", steps=steps, worker_selector=own, package=package)


def saying(**values: str) -> Callable[[Text], str]:
    return lambda text: values.get(text.raw.removeprefix("$"), text.raw)


LOCAL, GPU, CPU = Selector(local=True), selector(gpu="yes"), selector(gpu="no")
AT_PARENT = Placement(target="w.w1", fallback=Fallback.RETARGET)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param(None, ANYWHERE, id="it says nothing"),
        pytest.param(LOCAL, ANYWHERE, id="local, and nobody has started it"),
        pytest.param(GPU, Placement(selector={"gpu": "yes"}), id="labels: it waits for a worker that has them"),
        pytest.param(selector(), ANYWHERE, id="no labels are those of every worker"),
    ],
)
def test_a_dag_that_a_person_starts_waits_for_a_worker(own: Selector | None, expected: Placement) -> None:
    assert started_by_hand(dag(own), saying()) == expected


@pytest.mark.parametrize(
    ("step", "own", "mode", "expected"),
    [
        pytest.param(None, None, Mode.LOCAL, AT_PARENT, id="nothing is said: where its parent is"),
        pytest.param(None, None, Mode.DISTRIBUTED, Placement(fallback=Fallback.FAIL), id="distributed: anywhere"),
        pytest.param(None, LOCAL, Mode.DISTRIBUTED, AT_PARENT, id="local, whatever the mode"),
        pytest.param(LOCAL, GPU, Mode.DISTRIBUTED, AT_PARENT, id="the step's word is before the DAG's"),
        pytest.param(None, GPU, Mode.LOCAL, Placement(selector={"gpu": "yes"}, fallback=Fallback.FAIL), id="the DAG's labels"),
        pytest.param(CPU, GPU, Mode.LOCAL, Placement(selector={"gpu": "no"}, fallback=Fallback.FAIL), id="the step's labels"),
        pytest.param(selector(), GPU, Mode.LOCAL, ANYWHERE, id="no labels of the step are those of every worker"),
    ],
)
def test_a_dag_that_a_step_starts(step: Selector | None, own: Selector | None, mode: Mode, expected: Placement) -> None:
    assert started_by_step(step, dag(own), Here(worker="w1", mode=mode), saying()) == expected


def test_names_and_values_of_labels_may_be_references() -> None:
    wanted = selector(**{"$KEY": "$ZONE"})

    assert [text.raw for text in texts_of(wanted)] == ["$KEY", "$ZONE"]
    assert started_by_hand(dag(wanted), saying(KEY="zone", ZONE="b")).selector == {"zone": "b"}


@pytest.mark.parametrize(
    ("wanted", "says", "told"),
    [
        (selector(zone="$ZONE"), {}, "zone=\\$ZONE still has a reference"),
        (selector(**{"$KEY": "b"}), {"KEY": ""}, "no name of a label"),
        (selector(zone="$ZONE"), {"ZONE": "a\nb"}, "no value of the label zone"),
        (selector(zone="$ZONE"), {"ZONE": "a,b"}, "no value of the label zone"),
        (selector(zone="a", **{"$KEY": "b"}), {"KEY": "zone"}, "wanted twice"),
    ],
)
def test_what_no_worker_can_have_is_told_and_never_waited_for(wanted: Selector, says: dict[str, str], told: str) -> None:
    with pytest.raises(WrongSelector, match=told):
        started_by_hand(dag(wanted), saying(**says))


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [("gpu", "", True), ("a.b/c-d_e", "x y", True), ("-gpu", "x", False), ("g pu", "x", False), ("gpu", "x" * 257, False)],
)
def test_labels(name: str, value: str, *, good: bool) -> None:
    assert (wrong_label(name, value) == "") is good


# ---------------------------------------------------------------- the workflow


def test_only_the_beginning_of_a_run_is_placed_and_the_rest_is_beside_it() -> None:
    flow = compile_dag(dag(GPU, package="sha256:0"), if_gone=Fallback.FAIL)

    assert [dict(step.placement.selector) for step in flow.steps] == [{"gpu": "yes"}, {}, {}]
    assert (flow.policy.beside, flow.policy.if_gone) == ("(setup)", Fallback.FAIL)
    assert flow.steps[0].action.settings["package"] == "sha256:0"
    assert flow.source is not None
    assert flow.source.digest == "sha256:0"


def test_where_a_run_goes_may_be_decided_by_who_starts_it() -> None:
    assert compile_dag(dag(GPU), main=False, at=AT_PARENT).steps[0].placement == AT_PARENT
    assert compile_dag(dag(GPU)).policy.beside == ""  # one machine: its steps are beside each other anyway
