"""base.yaml beneath a DAG: what the DAG does not say, the base does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from provisioning.core.dagu.declared import DagFile

_OTHER_FIELDS: Mapping[str, tuple[str, ...]] = {
    "tags": ("labels",),
    "params": ("params", "params_text"),
    "shell_args": ("shell",),
    "timeout_sec": ("timeout_s",),
    "delay_sec": ("delay_s",),
    "restart_wait_sec": ("restart_wait_s",),
    "max_clean_up_time_sec": ("clean_up_s",),
    "max_output_size": ("max_output_bytes",),
    "catchup_window": ("catchup_window_s",),
    "retry_policy": ("retry",),
    "hist_retention_days": ("retention",),
    "hist_retention_runs": ("retention",),
    **dict.fromkeys(("name", "type", "env", "handler_on", "steps", "otel"), ()),  # settled elsewhere, or below
}


def _fields(key: str) -> tuple[str, ...]:
    return _OTHER_FIELDS.get(key, (key,))


def beneath(dag: DagFile, base: DagFile) -> DagFile:
    """Return the DAG over its base: `env` of the base comes first, handlers are inherited one by one."""
    said = {field for key in dag.given for field in _fields(key)}
    taken = {field: getattr(base, field) for key in base.given for field in _fields(key) if field not in said}
    handlers = MappingProxyType({**base.handlers, **dag.handlers})
    inherited = tuple(event for event in base.handlers if event not in dag.handlers)
    return replace(dag, **taken, env=(*base.env, *dag.env), handlers=handlers, inherited=inherited)
