"""Policies of a step and of a DAG: preconditions, continue_on, retry, repeat, and signals."""

from __future__ import annotations

import signal

from provisioning.core.dagu.declared import Condition, ContinueOn, Repeat, RepeatMode, Retry
from provisioning.core.dagu.doing import Text
from provisioning.core.health import PATTERN_MARK, pattern_fault
from provisioning.core.shown import quote
from provisioning.formats.dagu.env import substitution
from provisioning.formats.dagu.reading import Record, Spot
from provisioning.formats.dagu.spelling import CONDITION, CONTINUE_ON, REPEAT, RETRY

DOUBLING = 2.0


def read_conditions(spot: Spot | None) -> tuple[Condition, ...]:
    """Return the preconditions: a text, a map, or a list of both."""
    if spot is None:
        return ()
    return tuple(condition for item in spot.items() if (condition := _condition(item)) is not None)


def _condition(item: Spot) -> Condition | None:
    if not item.is_map:
        text = item.text()
        return None if text is None else Condition(condition=text)
    record = item.record(CONDITION)
    condition, evaluated, expected = record.text("condition"), record.text("eval"), record.text("expected")
    if (condition is None) == (evaluated is None):
        item.fault("missing_key", "expected either condition or eval")
        return None
    if evaluated is not None and expected is None:
        item.fault("missing_key", "eval needs expected", "without it write condition: the command then has to succeed")
    _pattern(record)
    spot = record.at("condition")
    if spot is not None and condition is not None and expected is not None:
        substitution(spot, condition.raw)
    text = condition or evaluated
    if text is None:
        return None
    return Condition(
        condition=text,
        expected=expected.raw if expected is not None else None,
        negate=record.flag("negate"),
        evaluated=evaluated is not None,
    )


def _pattern(record: Record) -> None:
    spot = record.at("expected")
    if spot is not None and spot.scalar is not None:
        check_pattern(spot, spot.word())


def check_pattern(spot: Spot, text: str) -> None:
    """Remember a pattern (after `re:`) that is none."""
    if text.startswith(PATTERN_MARK) and (reason := pattern_fault(text)):
        spot.fault("bad_pattern", f"found {quote(text)}: {reason}", "Go's patterns have no look-around")


def read_continue_on(spot: Spot | None) -> ContinueOn | None:
    """Return after what dependents go on: a word, or a map."""
    if spot is None:
        return None
    if spot.scalar is not None:
        return _continue_word(spot)
    record = spot.record(CONTINUE_ON)
    for item in record.items("output"):
        check_pattern(item, item.word())
    return ContinueOn(
        failure=record.flag("failure"),
        skipped=record.flag("skipped"),
        exit_codes=read_codes(record.at("exit_code")),
        output=record.words("output"),
        mark_success=record.flag("mark_success"),
    )


def _continue_word(spot: Spot) -> ContinueOn | None:
    word = spot.word().lower()
    if word in {"failed", "failure"}:
        return ContinueOn(failure=True)
    if word == "skipped":
        return ContinueOn(skipped=True)
    spot.fault(
        "unknown_word", f"found {spot.shown}, expected failed, skipped or a map", spot.nearest(word, ("failed", "skipped"))
    )
    return None


def read_codes(spot: Spot | None) -> tuple[int, ...]:
    """Return exit codes: a number, a text of digits, or a list of both."""
    codes = []
    for item in spot.items() if spot is not None else ():
        code = item.whole(-1, 255)
        if code is not None:
            codes.append(code)
    return tuple(codes)


def read_retry(spot: Spot | None, *, concrete: bool = False) -> Retry | None:
    """Return how often a step is tried again. `concrete`: numbers only, as a whole DAG needs them."""
    if spot is None:
        return None
    record = spot.record(RETRY)
    if not spot.is_map:
        return None
    for key in ("limit", "interval_sec"):
        if not record.has(key):
            spot.fault("missing_key", f"retry_policy needs {key}")
    limit, interval, most = (_number(record, key, concrete=concrete) for key in ("limit", "interval_sec", "max_interval_sec"))
    return Retry(
        limit=limit or 0,
        interval_s=interval or 0,
        backoff=_backoff(record.at("backoff")),
        max_interval_s=most,
        exit_codes=read_codes(record.at("exit_code")),
    )


def _number(record: Record, key: str, *, concrete: bool = False) -> int | Text | None:
    spot = record.at(key)
    if spot is None:
        return None
    return spot.whole() if concrete else spot.later()


def _backoff(spot: Spot | None) -> float | None:
    if spot is None:
        return None
    value = spot.scalar.value if spot.scalar is not None else None
    if isinstance(value, bool):
        return DOUBLING if value else None
    number = spot.number()
    if number is None or 1.0 < number < 1e6:
        return number
    spot.fault("out_of_range", f"found {spot.shown}, expected true or a number above 1")
    return None


_MODES = {"while": RepeatMode.WHILE, "until": RepeatMode.UNTIL}


def read_repeat(spot: Spot | None) -> Repeat | None:
    """Return how long a step is done again; None where it is not, `repeat: false` included."""
    if spot is None or not spot.is_map:
        if spot is not None:
            spot.expected("a map")
        return None
    record = spot.record(REPEAT)
    condition, expected, codes = record.text("condition"), record.text("expected"), read_codes(record.at("exit_code"))
    _pattern(record)
    mode, said = _mode(record.at("repeat"))
    if mode is None and not said:
        mode = _implied(record)
    if said and mode is not None and _worded(record) and condition is None and not codes:
        spot.fault("missing_key", f"repeat: {mode.value} needs condition or exit_code")
    interval, limit, most = (_number(record, key) for key in ("interval_sec", "limit", "max_interval_sec"))
    backoff = _backoff(record.at("backoff"))
    if mode is None:
        return None
    return Repeat(
        mode=mode,
        interval_s=interval or 0,
        limit=limit,
        condition=condition,
        expected=expected.raw if expected is not None else None,
        exit_codes=codes,
        backoff=backoff,
        max_interval_s=most,
    )


def _mode(spot: Spot | None) -> tuple[RepeatMode | None, bool]:
    """Return the mode, and whether the file says something about it."""
    if spot is None:
        return None, False
    value = spot.scalar.value if spot.scalar is not None else None
    if isinstance(value, str) and value.lower() in _MODES:
        return _MODES[value.lower()], True
    if spot.scalar is None or (isinstance(value, str) and value.lower() not in {"true", "false"}):
        spot.fault("unknown_word", f"found {spot.shown}, expected true, false, while or until")
        return None, True
    return (RepeatMode.WHILE if spot.flag() else None), True


def _worded(record: Record) -> bool:
    return record.word("repeat").lower() in _MODES


def _implied(record: Record) -> RepeatMode | None:
    """A condition with `expected` repeats until it holds; alone, or an exit code, while it does."""
    if record.has("condition"):
        return RepeatMode.UNTIL if record.has("expected") else RepeatMode.WHILE
    return RepeatMode.WHILE if record.has("exit_code") else None


_SIGNALS = frozenset(name for name in signal.Signals.__members__ if "_" not in name)


def read_signal(spot: Spot | None) -> str:
    """Return a signal's name, with SIG; "" where nothing is said."""
    if spot is None:
        return ""
    word = spot.word().upper()
    for name in (word, f"SIG{word}"):
        if name in _SIGNALS:
            return name
    spot.fault("unknown_signal", f"found {spot.shown}, expected a signal such as SIGINT", spot.nearest(word, sorted(_SIGNALS)))
    return ""
