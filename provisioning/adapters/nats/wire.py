"""What goes over the connection: messages, acknowledgements, and the errors that the server answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType

from provisioning.core.frozen import dataclass
from provisioning.errors import ClusterUnreachable, StoreError

WRONG_LAST_SEQUENCE, WRONG_LAST_SEQUENCE_TOO = 10071, 10164
NOT_FOUND_MESSAGE, NOT_FOUND_STREAM, NOT_FOUND_CONSUMER = 10037, 10059, 10014
_LEADERLESS = {10008, 10009, 10118}
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
EXPECTED = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_OF = "Nats-Expected-Last-Subject-Sequence-Subject"
MESSAGE_ID = "Nats-Msg-Id"
TTL = "Nats-TTL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is published."""

    subject: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A message as a stream has it."""

    subject: str
    seq: int  # of the stream
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)
    pending: int = 0  # how many more the reading that brought it knew of


class NobodyAnswers(StoreError):
    """Nothing serves the subject: no stream, no JetStream, or a cluster that is choosing its leader."""

    code = "nobody_answers"
    retryable = True


class NoAnswer(ClusterUnreachable):
    """The connection is there, and no answer came in time: servers that choose a leader say nothing at all."""


class Refused(StoreError):
    """The server answered with an error. `number` is JetStream's own."""

    code = "refused"

    def __init__(self, message: str, *, number: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.number = number

    @property
    def conflict(self) -> bool:
        """Whether somebody else wrote first."""
        return self.number in {WRONG_LAST_SEQUENCE, WRONG_LAST_SEQUENCE_TOO}

    @property
    def passing(self) -> bool:
        """Whether it is a cluster without a leader, which will have one."""
        return self.number in _LEADERLESS


def expected(seq: int, subject: str = "") -> dict[str, str]:
    """Return headers that have a message refused unless `seq` is the newest of its own subject, or of another; 0 is none."""
    return {EXPECTED: str(seq), **({EXPECTED_OF: subject} if subject else {})}
