"""Settings: flag > environment > workspace file > user file > default.

Every setting has a dotted name (`run.max_parallel`), the same in `[settings]` of `workspace.toml` and of the user's
`config.toml`; in the environment it is `PROVISIONING_RUN_MAX_PARALLEL`. A name that no setting has is an error.
`nats.url` may be `PROVISIONING_NATS` as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import field, fields
from math import isfinite, nan
from types import MappingProxyType
from typing import TypeVar

from provisioning import userfile
from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import quote, show, step
from provisioning.core.suggest import nearest
from provisioning.errors import ConfigError

T = TypeVar("T")

ENVIRONMENT_PREFIX = "PROVISIONING_"
SHORT = {"nats.url": "PROVISIONING_NATS"}
"""Variables that are shorter than by the rule, for what is typed often. The one by the rule wins."""
NOTHING: Mapping[str, object] = MappingProxyType({})


def _setting(default: T, meaning: str, *, least: float | None = None, words: tuple[str, ...] = ()) -> T:
    """`words`: what a text may be; any where there are none."""
    return field(default=default, metadata={"meaning": meaning, "least": least, "words": words})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How runs are driven."""

    max_parallel: int = _setting(32, "steps at once in the whole run", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSettings:
    """How servers are reached."""

    connect_timeout_s: float = _setting(10.0, "how long one attempt to connect may take", least=0.1)
    connect_attempts: int = _setting(3, "attempts to connect before a server counts as unreachable", least=1)
    dead_after_s: float = _setting(15.0, "silence after which a connection counts as lost", least=1)
    reconnect_s: float = _setting(60.0, "how long a lost connection is tried again before the outcome is unknown", least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How much of the output is kept."""

    max_bytes: int = _setting(10_485_760, "size of one attempt's log; past it the middle is dropped", least=4096)


@dataclass(frozen=True, slots=True, kw_only=True)
class NickelSettings:
    """Limits of a Nickel evaluation."""

    timeout_s: float = _setting(10.0, "how long one Nickel file may evaluate", least=0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterSettings:
    """When somebody is told of dead letters."""

    alert_at: int = _setting(0, "dead letters waiting at which a warning is logged, once; 0 is never", least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DaguSettings:
    """Where Dagu files and what has run of them are, and how they are read."""

    dags: str = _setting("", "the folder of the DAG files; empty: where Dagu has them")
    data: str = _setting("", "the folder of history and logs; empty: `$XDG_DATA_HOME/provisioning/dagu`")
    default_type: str = _setting("chain", "how files that do not tell are read", words=("chain", "graph"))
    queues: str = _setting("", "how many runs of a queue may go on at once, such as `etl=2 mail=1`; others have one slot")
    default_execution_mode: str = _setting(
        "local",
        "on several machines, where a DAG without a selector runs that another one starts",
        words=("local", "distributed"),
    )
    worker_gone: str = _setting(
        "retarget", "what a run does when the worker that has begun it is gone", words=("retarget", "wait", "fail")
    )
    readers: str = _setting(
        "", "which workers may have which DAGs, such as `site-a-*=etl-* gpu-1=train,score`; empty: each all"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsSettings:
    """Where the cluster is, and who we are to it. Relative paths are relative to the workspace, else the current folder."""

    url: str = _setting("", "the servers of the cluster, with commas between them; empty: none, everything is on this machine")
    namespace: str = _setting("prov", "begins all names on the servers: whoever shares it shares runs, workers and states")
    credentials: str = _setting("", "a `.creds` file: who we are")
    nkey: str = _setting("", "a file with the seed of an nkey: who we are")
    user: str = _setting("", "who we are, where the URL does not say")
    password: str = _setting("", "a secret reference, such as `env:NATS_PASSWORD`")
    token: str = _setting("", "a secret reference, such as `file:token`")
    ca: str = _setting("", "a file with the certificates of those who sign the servers'; empty: the machine's own")
    certificate: str = _setting("", "a file with our certificate, where servers ask for one")
    key: str = _setting("", "the file with its key")
    inbox: str = _setting("_INBOX", "begins the subjects of answers, where the servers permit each user only its own")
    replicas: int = _setting(1, "how many servers keep each stream that we make: 3 in a cluster of three", least=1)
    keep_ended_s: float = _setting(86_400.0, "how long ended runs stay on the servers, once every machine has them", least=0)
    keep_logs_s: float = _setting(2_592_000.0, "how long logs stay there that nobody came for", least=3600)
    keep_events_s: float = _setting(604_800.0, "how long public events stay there", least=3600)
    forget_after_s: float = _setting(604_800.0, "silence after which a machine with the history is not waited for", least=60)
    monitor: str = _setting("", "URL of a server's monitoring port, where our account may not ask the servers themselves")
    any_sync: bool = _setting(default=False, meaning="also servers that acknowledge before they sync: a power cut loses runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, resolved."""

    run: RunSettings = field(default_factory=RunSettings)
    ssh: SshSettings = field(default_factory=SshSettings)
    log: LogSettings = field(default_factory=LogSettings)
    nickel: NickelSettings = field(default_factory=NickelSettings)
    dead_letters: DeadLetterSettings = field(default_factory=DeadLetterSettings)
    dagu: DaguSettings = field(default_factory=DaguSettings)
    nats: NatsSettings = field(default_factory=NatsSettings)


_GROUPS: Mapping[str, type] = {
    "run": RunSettings,
    "ssh": SshSettings,
    "log": LogSettings,
    "nickel": NickelSettings,
    "dead_letters": DeadLetterSettings,
    "dagu": DaguSettings,
    "nats": NatsSettings,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One setting, as the documentation shows it."""

    name: str
    type: type
    default: object
    meaning: str
    least: float | None
    words: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return ENVIRONMENT_PREFIX + self.name.replace(".", "_").upper()

    @property
    def shown_default(self) -> str:
        """The default as Markdown; an empty text is nothing."""
        shown = str(self.default).lower() if self.type is bool else self.default
        return f"`{shown}`" if shown != "" else ""

    @property
    def expected(self) -> str:
        """What a value has to be, in words."""
        if self.type is str:
            return " or ".join(self.words) or "text"
        if self.type is bool:
            return "true or false"
        kind = "a whole number" if self.type is int else "a number"
        return kind if self.least is None else f"{kind}, at least {self.least:g}"


def described() -> tuple[Described, ...]:
    """Return every setting there is, in a fixed order."""
    return tuple(
        Described(name=f"{group}.{one.name}", type=type(one.default), default=one.default, **one.metadata)
        for group, kind in _GROUPS.items()
        for one in fields(kind)
    )


def reference() -> str:
    """Return the Markdown table of all settings."""
    rows = [
        f"| `{one.name}` | `{one.variable}` | {one.shown_default} | {one.meaning} ({one.expected}) |" for one in described()
    ]
    return "\n".join(["| setting | environment | default | meaning |", "|---|---|---|---|", *rows]) + "\n"


def resolve(
    *,
    flags: Mapping[str, object] = NOTHING,
    environment: Mapping[str, str] | None = None,
    workspace: Mapping[str, object] = NOTHING,
    user: Mapping[str, object] = NOTHING,
    workspace_file: str = "workspace.toml",
    user_file: str = "config.toml",
) -> Settings:
    """Return the settings, each from the first layer that has it. A flag that is None was not given.

    `workspace` and `user` are the `[settings]` tables, nested or dotted. Raises ConfigError with every wrong name and value.
    """
    variables = os.environ if environment is None else environment
    layers = (
        (user_file, dict(_flat(user))),
        (workspace_file, dict(_flat(workspace))),
        ("environment", {one.name: said for one in described() if (said := _said(one, variables))}),
        ("flag", {name: value for name, value in flags.items() if value is not None}),
    )
    faults: list[Fault] = []
    values: dict[str, object] = {}
    for source, given in layers:
        values.update(_checked(source, given, faults))
    if faults:
        raise ConfigError(f"{len(faults)} wrong {'setting' if len(faults) == 1 else 'settings'}", faults=faults)
    return Settings(**{group: kind(**_of_group(group, values)) for group, kind in _GROUPS.items()})


def _said(setting: Described, variables: Mapping[str, str]) -> str:
    return variables.get(setting.variable) or variables.get(SHORT.get(setting.name, ""), "")


def _flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _of_group(group: str, values: Mapping[str, object]) -> dict[str, object]:
    return {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{group}.")}


def _checked(source: str, given: Mapping[str, object], faults: list[Fault]) -> dict[str, object]:
    known = {one.name: one for one in described()}
    values: dict[str, object] = {}
    for name, value in given.items():
        if name not in known:
            faults.append(_unknown(source, name, tuple(known)))
            continue
        try:
            values[name] = _typed(known[name], value)
        except ValueError:
            faults.append(_wrong(source, known[name], value))
    return values


def _typed(setting: Described, value: object) -> object:
    """Return `value` as the setting's type; text is parsed, because the environment has nothing else. Raises ValueError."""
    if setting.type is str:
        return _text(setting, value)
    if setting.type is bool:
        return _truth(value)
    number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else nan
    too_small = setting.least is not None and number < setting.least
    if not isfinite(number) or too_small or (setting.type is int and number != int(number)):
        raise ValueError(value)
    return setting.type(number)


def _truth(value: object) -> bool:
    said = {"true": True, "false": False}.get(str(value).lower()) if isinstance(value, bool | str) else None
    if said is None:
        raise ValueError(value)
    return said


def _text(setting: Described, value: object) -> str:
    if not isinstance(value, str) or "\0" in value or (setting.words and value not in setting.words):
        raise ValueError(value)
    return value


def _unknown(source: str, name: str, known: tuple[str, ...]) -> Fault:
    near = nearest(name, known)
    hint = f"did you mean {near}?" if near else f"settings: {', '.join(known)}"
    message = f"unknown setting {quote(name)}"
    path = "$.settings" + "".join(step(part) for part in name.split("."))
    return Fault(code="unknown_setting", message=message, file=source, path=path, hint=hint)


def _wrong(source: str, setting: Described, value: object) -> Fault:
    message = f"setting {setting.name} is {show(value)}, expected {setting.expected}"
    return Fault(code="wrong_setting", message=message, file=source, path=f"$.settings.{setting.name}")


def load(*, flags: Mapping[str, object] = NOTHING, workspace: Mapping[str, object] = NOTHING) -> Settings:
    """Return the settings as `resolve` does, with this process's environment and the user's own file. Raises ConfigError."""
    user = userfile.read()
    return resolve(flags=flags, workspace=workspace, user=user.settings, user_file=str(user.path))
