"""What things are called on the server: streams, subjects, keys. Pure.

Everything is below the namespace, so several installations and tests share a server. What users name freely becomes one
subject token: letters, digits, `_` and `-` stand for themselves, every other byte is `=XX`, and what would be long is hashed.
"""

from __future__ import annotations

import hashlib
import re

from provisioning.core.frozen import dataclass
from provisioning.errors import ConfigError

LONGEST_TOKEN = 120
_NAMESPACE = re.compile(r"[A-Za-z0-9_-]{1,32}")
_ESCAPED = re.compile(r"[^A-Za-z0-9_-]")
_EMPTY, _HASHED = "=_", "=h"  # no byte is written so


def token(text: str) -> str:
    """Return a text as one subject token or key. Different texts have different tokens."""
    if not text:
        return _EMPTY
    escaped = _ESCAPED.sub(lambda found: "".join(f"={byte:02X}" for byte in _bytes(found[0])), text)
    return escaped if len(escaped) <= LONGEST_TOKEN else _HASHED + hashlib.sha256(_bytes(text)).hexdigest()


def text(token: str) -> str | None:
    """Return the text of a token; None where only its hash was kept."""
    if token == _EMPTY:
        return ""
    if token.startswith(_HASHED):
        return None
    plain = re.sub(rb"=([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), token.encode())
    return plain.decode("utf-8", "surrogatepass")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names of one namespace and shard."""

    namespace: str = "prov"
    shard: int = 0

    # ------------------------------------------------------------ streams and buckets

    @property
    def work(self) -> str:
        """The stream of everything that the engine decides by."""
        return f"{self.namespace}-WF-{self.shard}"

    @property
    def blobs(self) -> str:
        """The stream of workflows and of payloads that are too long for a message."""
        return f"{self.namespace}-BLOBS"

    def bucket(self, name: str) -> str:
        """Return the stream of a key-value bucket: lease, workers, resources, ..."""
        return f"KV_{self.namespace}-{name}"

    def key(self, bucket: str, key: str) -> str:
        """Return the subject of a key in a bucket. The key is tokens joined by dots."""
        return f"$KV.{self.namespace}-{bucket}.{key}"

    def stream(self, name: str) -> str:
        """Return the name of another stream, such as LOG."""
        return f"{self.namespace}-{name}"

    # ------------------------------------------------------------ subjects of the work stream

    @property
    def work_subjects(self) -> tuple[str, ...]:
        """Every subject of the work stream."""
        kinds = ("run", "evt", "dec", "timer", "fire", "guard", "cancel")
        shared = (f"{self._wf}.{kind}.{self.shard}.>" for kind in kinds)
        return (*shared, self.fence, f"{self._wf}.task.*.{self.shard}.>")

    @property
    def fence(self) -> str:
        """Holds the highest fencing number."""
        return f"{self._wf}.fence.{self.shard}"

    @property
    def guard(self) -> str:
        """Takes the messages that only carry the check of the fence."""
        return f"{self._wf}.guard.{self.shard}.check"

    def request(self, run: str) -> str:
        """Return where requests to a run go. The run "" is for whoever drives the store."""
        return f"{self._wf}.run.{self.shard}.{token(run)}"

    def decision(self, run: str) -> str:
        """Return where the events of a run are."""
        return f"{self._wf}.dec.{self.shard}.{token(run)}"

    def claim(self, run: str, step: str, attempt: int, epoch: int) -> str:
        """Return where a worker says that it begins a dispatch: a subject of its own, so that one does."""
        return f"{self._wf}.evt.{self.shard}.{token(run)}.{token(step)}.{attempt}-{epoch}.claim"

    def end(self, run: str, step: str, attempt: int, epoch: int, target: str) -> str:
        """Return where workers of a target say how a dispatch has ended; others may be permitted to say nothing there."""
        return f"{self._wf}.evt.{self.shard}.{token(run)}.{token(step)}.{attempt}-{epoch}.end.{token(target)}"

    def target_of(self, subject: str) -> str | None:
        """Return the token of the target whose workers may say something there; None where it is no end of a dispatch."""
        _run, _step, _dispatch, what, *target = subject.removeprefix(f"{self._wf}.evt.{self.shard}.").split(".")
        return target[0] if what == "end" and target else None

    def task(self, target: str, run: str, step: str, attempt: int, epoch: int) -> str:
        """Return where a dispatch goes: a subject of its own, so that sending it again changes nothing."""
        return f"{self._wf}.task.{token(target)}.{self.shard}.{token(run)}.{token(step)}.{attempt}-{epoch}"

    def timer(self, run: str, step: str, attempt: int, kind: str) -> str:
        """Return where a schedule is kept until it is due."""
        return f"{self._wf}.timer.{self.shard}.{token(run)}.{token(step)}.{attempt}.{token(kind)}"

    def fire(self, run: str) -> str:
        """Return where what is due arrives."""
        return f"{self._wf}.fire.{self.shard}.{token(run)}"

    def cancelled(self, run: str) -> str:
        """Return the persisted mark of a run that is being cancelled."""
        return f"{self._wf}.cancel.{self.shard}.{token(run)}"

    @property
    def decisions(self) -> str:
        """All events of all runs."""
        return f"{self._wf}.dec.{self.shard}.*"

    @property
    def requests(self) -> str:
        """All requests."""
        return f"{self._wf}.run.{self.shard}.*"

    @property
    def events(self) -> str:
        """Everything that workers say."""
        return f"{self._wf}.evt.{self.shard}.>"

    @property
    def claims(self) -> str:
        """Everything that workers begin."""
        return f"{self._wf}.evt.{self.shard}.*.*.*.claim"

    def ends(self, target: str) -> str:
        """Return everything that workers of a target end."""
        return f"{self._wf}.evt.{self.shard}.*.*.*.end.{token(target)}"

    @property
    def fires(self) -> str:
        """Everything that is due."""
        return f"{self._wf}.fire.{self.shard}.*"

    def tasks(self, target: str | None) -> str:
        """Return all dispatches to a target; None is every target."""
        return f"{self._wf}.task.{'*' if target is None else token(target)}.{self.shard}.>"

    def events_of(self, run: str) -> str:
        """Return everything that workers say of a run."""
        return f"{self._wf}.evt.{self.shard}.{token(run)}.>"

    def tasks_of(self, run: str) -> str:
        """Return all dispatches of a run."""
        return f"{self._wf}.task.*.{self.shard}.{token(run)}.>"

    def of_run(self, run: str) -> tuple[str, ...]:
        """Return filters that cover everything the work stream has of a run."""
        one = token(run)
        flat = tuple(f"{self._wf}.{kind}.{self.shard}.{one}" for kind in ("run", "dec", "fire", "cancel"))
        deep = tuple(f"{self._wf}.{kind}.{self.shard}.{one}.>" for kind in ("evt", "timer"))
        return (*flat, *deep, self.tasks_of(run))

    # ------------------------------------------------------------ other subjects

    def blob(self, owner: str, address: str, part: str) -> str:
        """Return where a part of a blob is. What one `owner` (a run; workflows are their own) has is removed together."""
        return f"{self._wf}.blob.{token(owner)}.{token(address)}.{part}"

    def blobs_of(self, owner: str) -> str:
        """Return a filter of everything that an owner has."""
        return f"{self._wf}.blob.{token(owner)}.>"

    def signal(self, *parts: str) -> str:
        """Return a subject that nobody keeps, such as `cancel`, RUN."""
        return ".".join((self.namespace, "say", *map(token, parts)))

    def durable(self, target: str | None) -> str:
        """Return the name of the consumer that the workers of a target share."""
        return f"tasks-{self.shard}-{'all' if target is None else 'to-' + token(target)}"

    @property
    def _wf(self) -> str:
        return f"{self.namespace}.wf"


def checked_namespace(namespace: str) -> str:
    """Return it. Raises ConfigError when it cannot begin the names of streams."""
    if _NAMESPACE.fullmatch(namespace) is None:
        raise ConfigError(
            f"nats.namespace: '{namespace}' cannot begin the names of streams",
            hint="1 to 32 letters, digits, `_` and `-`",
        )
    return namespace
