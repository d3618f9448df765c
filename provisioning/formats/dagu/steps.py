"""Steps and handlers, one by one; how they hang together is decided in `order`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from provisioning.core.dagu.declared import Approval, ContinueOn, Defaults, LogOutput, Output, OutputEntry, Repeat, Step
from provisioning.core.dagu.doing import NoopDoing, SubDagDoing, Text
from provisioning.core.frozen import dataclass
from provisioning.core.shown import quote
from provisioning.formats.dagu.doing import read_doing
from provisioning.formats.dagu.env import read_env, read_selector
from provisioning.formats.dagu.executors import read_container
from provisioning.formats.dagu.policies import read_conditions, read_continue_on, read_repeat, read_retry, read_signal
from provisioning.formats.dagu.reading import Record, Spot
from provisioning.formats.dagu.spelling import APPROVAL, DEFAULTS, OUTPUT, OUTPUT_ENTRY, REDIRECT, STEP, folded
from provisioning.formats.dagu.within import Within

STEPS_MOST = 100_000
_SOURCES = ("stdout", "stderr", "file")
_DECODES = ("text", "json", "yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A step that was read, before names and dependencies are settled."""

    step: Step
    spot: Spot
    kind: str  # what a generated name begins with
    group: int  # the place in `steps`: members of a nested list share it
    depends: tuple[Text, ...] | None  # None: nothing is said


def read_drafts(spot: Spot, within: Within) -> Iterator[Draft]:
    """Yield the steps of a list, of a list with nested lists, or of a map by name. A file has 100,000 at most."""
    for index, name, one in _places(spot):
        spot.found.steps += 1
        if spot.found.steps > STEPS_MOST:
            spot.fault("too_large", f"found more than {STEPS_MOST:,} steps in one file")
            return
        yield _draft(one, index, within, name)


def _places(spot: Spot) -> Iterator[tuple[int, str, Spot]]:
    """Yield each step with its place and, in a map, its name; members of a nested list share a place."""
    if spot.is_map:
        for index, (name, one) in enumerate(spot.entries()):
            yield index, name, one
    elif spot.is_list:
        for index, one in enumerate(spot.items()):
            for inner in one.items() if one.is_list else (one,):
                yield index, "", inner
    elif not spot.is_null:
        spot.expected("a list of steps")


def _draft(spot: Spot, group: int, within: Within, name: str = "") -> Draft:
    if spot.scalar is not None and not spot.is_null:
        record = Record(spot, {"command": spot})
    elif spot.is_list:
        spot.expected("a step", "a list in a list of steps cannot hold further lists")
        record = Record(spot, {})
    else:
        record = spot.record(STEP)
        if spot.is_null:
            spot.expected("a step")
    step, kind = _step(record, within, name)
    depends = record.spots.get("depends")
    said = depends.texts() if depends is not None else None
    return Draft(step=step, spot=spot, kind=kind, group=group, depends=said if depends is None or not depends.is_null else None)


def read_handler(spot: Spot, within: Within, event: str) -> Step:
    """Return a handler: a step without dependencies, named after its event."""
    draft = _draft(spot, 0, within)
    if draft.depends:
        spot.fault("unsupported_key", "found depends in a handler: handlers depend on nothing")
    return replace(draft.step, name=draft.step.name or event, generated=not draft.step.name)


def _step(record: Record, within: Within, name: str) -> tuple[Step, str]:
    doing, kind = (NoopDoing(), "cmd") if not record.spots and not record.spot.is_map else read_doing(record, within)
    given = record.word("name")
    if name and given and given != name:
        record.spots["name"].fault("conflicting_keys", f"found the name {quote(given)} in the step {quote(name)}")
    step = Step(
        name=name or given,
        id=record.word("id"),
        line=record.spot.line,
        column=record.spot.column,
        description=record.word("description"),
        doing=doing,
        env=read_env(record.at("env")),
        working_dir=record.text("working_dir"),
        mail_on_error=record.flag("mail_on_error"),
        stdout=_redirect(record.at("stdout")),
        stderr=_redirect(record.at("stderr")),
        log_output=_log_output(record),
        output=_output(record.at("output")),
        approval=_approval(record.at("approval")),
        worker_selector=read_selector(record.at("worker_selector")),
        container=read_container(record.at("container")) if kind not in {"docker"} else None,
    )
    _same_file(record, step)
    if step.worker_selector is not None and not isinstance(doing, SubDagDoing):
        message = "found worker_selector in a step that starts no DAG: the run is at one worker as a whole"
        hint = "say it for the whole DAG, or make the step a DAG of its own"
        record.spots["worker_selector"].fault("misplaced_key", message, hint)
    return _with_policies(step, record, within.defaults), kind


def _with_policies(step: Step, record: Record, defaults: Defaults) -> Step:
    """Return the step with its policies; what it does not say comes from the defaults."""
    step = replace(
        step,
        env=(*defaults.env, *step.env),
        preconditions=(*defaults.preconditions, *read_conditions(record.at("preconditions"))),
        continue_on=read_continue_on(record.at("continue_on")) or defaults.continue_on or ContinueOn(),
        retry=read_retry(record.at("retry_policy")) if record.has("retry_policy") else defaults.retry,
        repeat=read_repeat(record.at("repeat_policy")) if record.has("repeat_policy") else defaults.repeat,
        timeout_s=record.whole("timeout_sec", defaults.timeout_s or 0),
        signal_on_stop=read_signal(record.at("signal_on_stop")) or defaults.signal_on_stop or "",
        mail_on_error=step.mail_on_error if record.has("mail_on_error") else bool(defaults.mail_on_error),
    )
    if step.repeat is not None and record.has("repeat_policy"):
        _note_repeat(record.spots["repeat_policy"], step.repeat, step.continue_on)
    return step


def _note_repeat(spot: Spot, repeat: Repeat, continue_on: ContinueOn) -> None:
    if repeat.condition is None and not repeat.exit_codes and continue_on.failure:
        message = "the step is repeated while it succeeds; up to Dagu 1.17 it was repeated after a failure too"
        spot.note("repeat_after_failure", message)


def read_defaults(spot: Spot | None) -> Defaults:
    """Return what steps have that do not say otherwise."""
    if spot is None:
        return Defaults()
    record = spot.record(DEFAULTS)
    return Defaults(
        env=read_env(record.at("env")),
        preconditions=read_conditions(record.at("preconditions")),
        continue_on=read_continue_on(record.at("continue_on")),
        retry=read_retry(record.at("retry_policy")),
        repeat=read_repeat(record.at("repeat_policy")),
        timeout_s=record.whole("timeout_sec") if record.has("timeout_sec") else None,
        mail_on_error=record.flag("mail_on_error") if record.has("mail_on_error") else None,
        signal_on_stop=read_signal(record.at("signal_on_stop")) if record.has("signal_on_stop") else None,
    )


# ---------------------------------------------------------------- output


def _redirect(spot: Spot | None) -> Text | None:
    if spot is None or not spot.is_map:
        return spot.text() if spot is not None else None
    spot.record(REDIRECT)
    return None


def _same_file(record: Record, step: Step) -> None:
    if step.stdout is not None and step.stderr is not None and step.stdout.raw == step.stderr.raw:
        record.spots["stderr"].fault("conflicting_keys", "found the same file for stdout and stderr", "use log_output: merged")


def _log_output(record: Record) -> LogOutput | None:
    spot = record.at("log_output")
    return spot.choice(LogOutput) if spot is not None else None


def _output(spot: Spot | None) -> Output | None:
    """Return the name of what is captured (a leading $ is dropped), or the entries of a structured output."""
    if spot is None:
        return None
    if not spot.is_map:
        name = spot.word().strip()
        name = name[2:-1] if name.startswith("${") and name.endswith("}") else name.removeprefix("$")
        return Output(name=name) if name else None
    if any(folded(key) == "name" and value.scalar is not None for key, value in spot.entries()):
        record = spot.record(OUTPUT)
        return Output(name=record.word("name").removeprefix("$"), key=record.word("key"), omit=record.flag("omit"))
    return Output(entries=tuple(_entry(name, one) for name, one in spot.entries()))


def _entry(name: str, spot: Spot) -> OutputEntry:
    if not spot.is_map:
        return OutputEntry(name=name, value=spot.text())
    record = spot.record(OUTPUT_ENTRY)
    source, decode = record.word("from"), record.word("decode") or "text"
    if bool(source) == record.has("value"):
        spot.fault("missing_key", f"the output {quote(name)} needs either value or from")
    for found, known, key in ((source, _SOURCES, "from"), (decode, _DECODES, "decode")):
        if found and found not in known:
            record.spots[key].fault("unknown_word", f"found {quote(found)}, expected one of {', '.join(known)}")
    if (source == "file") != record.has("path") and source in _SOURCES:
        spot.fault("missing_key", f"the output {quote(name)} needs path with from: file, and nowhere else")
    path, select = record.text("path"), record.word("select")
    return OutputEntry(name=name, value=record.text("value"), source=source, path=path, decode=decode, select=select)


def _approval(spot: Spot | None) -> Approval | None:
    if spot is None:
        return None
    if spot.scalar is not None:
        return Approval() if spot.flag() else None
    record = spot.record(APPROVAL)
    prompt, inputs, required = record.text("prompt"), record.words("input"), record.words("required")
    return Approval(prompt=prompt, inputs=inputs, required=required)
