"""What a stream can follow, how it is written, and how far each is. Pure.

Names of steps may hold anything. In a topic they are percent-encoded where that is needed: a comma ends a topic, `@stderr` at
the end means the stream, and `%` begins what is encoded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote as percent
from urllib.parse import unquote

from provisioning.core.declare import NAME_PATTERN
from provisioning.core.shown import quote
from provisioning.errors import UsageError

TOPICS_MOST = 20
LISTS = ("runs", "dags")
STREAMS = ("stdout", "stderr")
_is_name = re.compile(NAME_PATTERN).match


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """`run:ID`, `log:RUN/STEP` or `log:RUN/STEP@stderr`, `runs`, `dags`. `said` is how its client has written it."""

    kind: str  # run | log | runs | dags
    run: str = ""
    step: str = ""
    stream: str = ""
    said: str = field(default="", compare=False)

    def __str__(self) -> str:
        if self.said:
            return self.said
        if self.kind == "log":
            return f"log:{self.run}/{encoded(self.step)}" + ("@stderr" if self.stream == "stderr" else "")
        return f"run:{self.run}" if self.kind == "run" else self.kind


def encoded(step: str) -> str:
    """Return the name of a step as it stands in a topic."""
    return percent(step, safe="/ ~")


def parse_topics(text: str) -> tuple[Topic, ...]:
    """Return the topics of a text with commas between. Raises UsageError."""
    words = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not words:
        raise UsageError("no topic is named", hint="for example topics=runs,run:ID")
    if len(words) > TOPICS_MOST:
        raise UsageError(f"found {len(words)} topics, expected at most {TOPICS_MOST}")
    return tuple(_topic(word) for word in words)


def parse_positions(text: str, count: int) -> tuple[int, ...]:
    """Return how far each of `count` topics is; 0 is the beginning. One that nobody knows starts there."""
    words = text.split(",") if text else []
    numbers = [int(word) if word.isascii() and word.isdecimal() and len(word) < 19 else 0 for word in words]
    return tuple((numbers + [0] * count)[:count])


def written(positions: Sequence[int]) -> str:
    """Return positions as the id of a message."""
    return ",".join(map(str, positions))


def _topic(word: str) -> Topic:
    if word in LISTS:
        return Topic(kind=word)
    kind, _, rest = word.partition(":")
    if kind == "run" and _is_name(rest):
        return Topic(kind="run", run=rest)
    run, sign, step = rest.partition("/")
    if kind == "log" and _is_name(run) and sign and step:
        step, _at, stream = step.rpartition("@") if step.endswith(tuple(f"@{one}" for one in STREAMS)) else (step, "", "stdout")
        return Topic(kind="log", run=run, step=unquote(step), stream=stream, said=word)
    raise UsageError(f"found the topic {quote(word)}, expected run:ID, log:RUN/STEP, runs or dags")
