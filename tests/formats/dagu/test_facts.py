"""Facts about Dagu's files, each under its number."""

from __future__ import annotations

import pytest

from provisioning.core.dagu.declared import DagFile, Event, Step
from provisioning.core.dagu.doing import SubDagDoing
from provisioning.formats.dagu.files import Reading, read_base, read_dag


def dag(text: str, **options: object) -> DagFile:
    read = read_dag(text.encode(), file="x.yaml", **options)  # type: ignore[arg-type]
    assert read.faults == ()
    assert read.dag is not None
    return read.dag


def codes(text: str) -> list[str]:
    read = read_dag(text.encode(), file="x.yaml")
    assert read.dag is None
    assert read.documents == ()
    return [fault.code for fault in read.faults]


def step(keys: str, of: str = "command: x") -> Step:
    (one,) = dag(f"steps:\n  - {of}\n    {keys}\n").steps
    return one


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ("repeat_policy: {repeat: while}", "missing_key"),
        ("repeat_policy: {repeat: until, interval_sec: 3}", "missing_key"),
        ("repeat_policy: {repeat: true, backoff: 1}", "out_of_range"),
        ("retry_policy: {limit: 3, interval_sec: 1, backoff: 0.5}", "out_of_range"),
        ("retry_policy: {interval_sec: 3}", "missing_key"),
        ("retry_policy: {limit: 3}", "missing_key"),
    ],
)
def test_d22_policies_without_what_they_need_are_refused(keys: str, code: str) -> None:
    assert codes(f"steps:\n  - command: x\n    {keys}\n") == [code]


def test_d30_lists_maps_and_one_text_are_parameters() -> None:
    steps = "steps: [{command: x}]\n"

    assert [one.name for one in dag(f"params: [A=1, {{B: 2}}, c]\n{steps}").params] == ["A", "B", None]
    assert [one.name for one in dag(f"params: {{B: 1, A: 2}}\n{steps}").params] == ["B", "A"]
    written = dag(f"params: foo bar\n{steps}")
    assert written.params_text is not None
    assert (written.params, written.params_text.raw) == ((), "foo bar")


@pytest.mark.parametrize("env", ["{Z: '1', A: b=c}", "[{Z: '1'}, {A: b=c}]", "[Z=1, A=b=c]"])
def test_d31_env_keeps_its_order_and_values_may_hold_equal_signs(env: str) -> None:
    read = dag(f"env: {env}\nsteps: [{{command: x}}]\n")

    assert [(one.name, one.value.raw) for one in read.env] == [("Z", "1"), ("A", "b=c")]


def test_d31_a_single_text_is_no_env() -> None:
    assert codes("env: A=1\nsteps: [{command: x}]\n") == ["wrong_type"]


def test_d35_a_thousand_items_are_the_most() -> None:
    items = ", ".join(map(str, range(1000)))
    doing = step(f"parallel: [{items}]", "call: child").doing

    assert isinstance(doing, SubDagDoing)
    assert doing.parallel is not None
    assert len(doing.parallel.items) == 1000
    assert codes(f"steps:\n  - call: child\n    parallel: [{items}, 1000]\n") == ["out_of_range"]


@pytest.mark.parametrize("text", ['[{"a": 1}, {"a": 2}]', "a b c"])
def test_d35_items_may_be_json_or_words_in_one_text(text: str) -> None:
    doing = step(f"parallel: '{text}'", "call: child").doing

    assert isinstance(doing, SubDagDoing)
    assert doing.parallel is not None
    assert doing.parallel.reference is not None
    assert doing.parallel.reference.raw == text


@pytest.mark.parametrize("key", ["timeout_sec", "retry_policy: {limit: 1, interval_sec"])
@pytest.mark.parametrize("text", ["soon", '"5 minutes"', "1.5.2"])
def test_a10_a_time_that_is_none_names_the_step_by_its_place_and_the_key(key: str, text: str) -> None:
    ends = "}" if "{" in key else ""
    read = read_dag(f"steps:\n  - name: slow\n    command: x\n    {key}: {text}{ends}\n".encode(), file="x.yaml")

    (fault,) = read.faults
    assert (fault.severity, fault.line) == ("error", 4)
    assert fault.path.startswith("$.steps[0].")
    assert fault.path.endswith(key.rpartition(" ")[2].lstrip("{"))


def test_a10_a_window_that_is_no_duration_names_its_key() -> None:
    (fault,) = read_dag(b"catchup_window: soon\nsteps: [{command: x}]\n", file="x.yaml").faults

    assert (fault.code, fault.path) == ("bad_duration", "$.catchup_window")
    assert "expected a duration such as 6h or 2d12h" in fault.message


@pytest.mark.parametrize("nothing", ['""', "null", "~", ""])
def test_d36_an_empty_schedule_is_none(nothing: str) -> None:
    assert dag(f"schedule: {nothing}\nsteps: [{{command: x}}]\n").schedule.start == ()


@pytest.mark.parametrize(
    "cron", ["5", "@hourly", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 7"]
)
def test_d36_what_is_no_cron_text_is_refused(cron: str) -> None:
    text = cron if cron == "5" else f'"{cron}"'

    assert codes(f"schedule: {text}\nsteps: [{{command: x}}]\n") == ["wrong_type" if cron == "5" else "bad_cron"]


@pytest.mark.parametrize(
    "cron", ["*/5 * * * *", "0-30/10 1,2 ? JAN-MAR mon-FRI", "CRON_TZ=Europe/Paris 0 3 * * *", "TZ=UTC 5/15 * * * 0"]
)
def test_d36_everything_that_robfigs_grammar_has_is_read(cron: str) -> None:
    (start,) = dag(f'schedule: "{cron}"\nsteps: [{{command: x}}]\n').schedule.start

    assert (start.expression, start.line, start.column) == (cron, 1, 11)


def test_d37_a_nested_list_fans_out_and_joins_in_a_chain_only() -> None:
    steps = "steps:\n  - echo a\n  - [echo b, echo c]\n  - echo d\n"
    chain, graph = dag(f"type: chain\n{steps}"), dag(f"type: graph\n{steps}")

    assert [one.depends for one in chain.steps] == [(), ("cmd_1",), ("cmd_1",), ("cmd_2", "cmd_3")]
    assert [one.depends for one in graph.steps] == [()] * 4


def test_d37_depends_in_a_chain_of_dagu_2_is_refused() -> None:
    assert codes("type: chain\nsteps:\n  - {id: a, run: echo x}\n  - {id: b, run: y, depends: a}\n") == ["depends_in_chain"]


def test_d38_names_are_made_of_places_and_skip_taken_ones() -> None:
    read = dag("type: graph\nsteps:\n  - x\n  - {name: cmd_3, command: y}\n  - z\n  - {id: own, command: x, depends: cmd_1}\n")

    assert [one.name for one in read.steps] == ["cmd_1", "cmd_3", "cmd_4", "own"]
    assert [one.generated for one in read.steps] == [True, False, True, False]


def test_d38_depends_may_use_name_or_id() -> None:
    steps = "- {id: a, name: First step, command: x}\n  - {name: b, command: x, depends: a}"
    read = dag(f"steps:\n  {steps}\n  - {{name: c, command: x, depends: [First step, b]}}\n")

    assert [one.depends for one in read.steps] == [(), ("First step",), ("First step", "b")]


@pytest.mark.parametrize("bad", ["1a", "a-b", "a.b", "ä", "a" * 41])
def test_d39_ids_have_a_rule(bad: str) -> None:
    assert codes(f"steps:\n  - {{id: '{bad}', name: x, command: x}}\n") == ["bad_id"]


@pytest.mark.parametrize("word", ["env", "params", "args", "stdout", "stderr", "output", "outputs"])
def test_d39_words_of_references_are_no_ids(word: str) -> None:
    assert codes(f"steps:\n  - {{id: {word}, name: x, command: x}}\n") == ["reserved_id"]


def test_d39_a_dependency_counts_its_letters_case_and_the_nearest_is_named() -> None:
    read = read_dag(b"steps:\n  - {id: fetch, command: x}\n  - {command: y, depends: Fetch}\n", file="x.yaml")

    assert [(fault.code, fault.hint) for fault in read.faults] == [("unknown_step", 'did you mean "fetch"?')]


def test_d39_a_cycle_is_shown_with_its_path() -> None:
    steps = "".join(f"  - {{id: {one}, command: x, depends: {other}}}\n" for one, other in ("ab", "bc", "ca"))
    (fault,) = read_dag(f"steps:\n{steps}".encode(), file="x.yaml").faults

    assert fault.message == 'steps wait for one another: "a" -> "b" -> "c" -> "a"'


def test_what_a_dag_does_not_say_its_base_says() -> None:
    base = _base("env: [{A: base}]\ntimeout_sec: 9\nhandler_on: {exit: {command: sweep}, failure: {command: tell}}\nqueue: q\n")
    read = dag("env: [{B: own}]\nqueue: mine\nhandler_on: {failure: {command: own}}\nsteps: [{command: x}]\n", base=base)

    assert [one.name for one in read.env] == ["A", "B"]
    assert (read.timeout_s, read.queue) == (9, "mine")
    assert [read.handlers[event].line for event in (Event.EXIT, Event.FAILURE)] == [3, 3]
    assert read.handlers[Event.FAILURE] != base.handlers[Event.FAILURE]


def test_a_value_that_is_said_and_as_by_default_still_beats_the_base() -> None:
    base = _base("skip_if_successful: true\ntype: graph\nmax_clean_up_time_sec: 60\n")
    read = dag("skip_if_successful: false\nmaxCleanUpTimeSec: 5\nsteps: [x, y]\n", base=base)

    assert (read.skip_if_successful, read.clean_up_s) == (False, 5)
    assert [one.depends for one in read.steps] == [(), ()]


def test_defaults_of_the_base_are_those_of_the_steps() -> None:
    base = _base("defaults: {timeout_sec: 7}\n")

    assert dag("steps: [{command: x}]\n", base=base).steps[0].timeout_s == 7
    assert dag("defaults: {timeout_sec: 2}\nsteps: [{command: x}]\n", base=base).steps[0].timeout_s == 2


def test_a_base_has_no_steps() -> None:
    assert [fault.code for fault in read_base(b"steps: [x]\n", file="base.yaml").faults] == ["misplaced_key"]
    assert read_base(b"", file="base.yaml").faults == ()


def test_the_reading_of_a_missing_type_follows_the_setting_unless_the_file_tells() -> None:
    def types(text: str) -> list[tuple[str, str]]:
        both = [dag(text, default_type=one) for one in ("chain", "graph")]
        return [(one.type.value, one.type_because.value) for one in both]

    assert types("steps: [x, y]\n") == [("chain", "default"), ("graph", "default")]
    assert types("steps: [{run: echo x}, {run: y}]\n") == [("graph", "dialect")] * 2
    assert types("steps: [{name: a, command: x}, {command: y, depends: a}]\n") == [("graph", "depends")] * 2


def test_all_faults_are_told_at_once_in_the_order_of_the_file() -> None:
    text = "nmae: x\ntimeout_sec: soon\nsteps:\n  - {command: x, depends: [zz]}\n  - {command: y, retry_policy: {}}\n"
    read: Reading = read_dag(text.encode(), file="x.yaml")

    assert [(fault.line, fault.code) for fault in read.faults] == [
        (1, "unknown_key"),
        (2, "wrong_type"),
        (4, "unknown_step"),
        (5, "missing_key"),
        (5, "missing_key"),
    ]
    assert read.faults[0].hint == 'did you mean "name"?'
    assert read.faults[3].path == "$.steps[1].retry_policy"
    assert {fault.file for fault in read.faults} == {"x.yaml"}


def _base(text: str) -> DagFile:
    read = read_base(text.encode(), file="base.yaml")
    assert read.dag is not None, read.faults
    return read.dag


@pytest.mark.parametrize(
    ("text", "dialect", "marks"),
    [
        ("steps: [{command: x}]\n", "any", []),
        ("logDir: /l\nsteps: [{command: x}]\n", "A0", [("logDir", 1)]),
        ("STEPS: [{command: x, mailonerror: true}]\n", "A0", [("STEPS", 1)]),
        ("logDir: /l\nsteps: [{id: a, command: x}]\n", "A1", [("logDir", 1), ("id", 2)]),
        (
            "steps:\n  - {call: a, parallel: {items: [b], maxConcurrent: 1}}\n",
            "A1",
            [("parallel", 2), ("maxConcurrent", 2)],
        ),
        ("log_dir: /l\nsteps: [{command: x}]\n", "B", [("log_dir", 1)]),
        ("log_dir: /l\nsteps: [{run: echo x}]\n", "C", [("log_dir", 1), ("run", 2)]),
        ("log_dir: /l\nsteps: [{dir: /, command: x}]\n", "mixed", [("log_dir", 1), ("dir", 2)]),
    ],
)
def test_the_dialect_is_told_by_keys_that_are_named(text: str, dialect: str, marks: list[tuple[str, int]]) -> None:
    (recognised,) = read_dag(text.encode(), file="x.yaml").recognised

    assert recognised.dialect == dialect
    assert {(mark.key, mark.line) for mark in recognised.marks} == set(marks)
