"""The keys of a DAG that do not need its steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from provisioning.core.dagu.declared import (
    CLEAN_UP_S,
    MAX_OUTPUT_BYTES,
    RETENTION_DAYS,
    DagFile,
    LogOutput,
    Mail,
    MailOn,
    Overlap,
    Retention,
    RunConfig,
    Smtp,
)
from provisioning.formats.dagu.dialect import Dialect, Recognised
from provisioning.formats.dagu.env import read_dotenv, read_env, read_secrets, read_selector
from provisioning.formats.dagu.executors import read_container, read_ssh_defaults
from provisioning.formats.dagu.params import read_params
from provisioning.formats.dagu.policies import read_conditions, read_retry
from provisioning.formats.dagu.reading import Record, Spot
from provisioning.formats.dagu.schedule import read_duration, read_schedule
from provisioning.formats.dagu.shells import read_shell
from provisioning.formats.dagu.spelling import MAIL_ON, MAIL_TO, OTEL, RUN_CONFIG, SMTP


def read_keys(record: Record, dag: DagFile) -> DagFile:
    """Return the DAG with everything that is no step, handler, type or limit of parallel work."""
    params, params_text = read_params(record.at("params"))
    _no_tracing(record.at("otel"))
    overlap, log_output = record.at("overlap_policy"), record.at("log_output")
    return replace(
        _mails(record, _numbers(record, dag)),
        description=record.word("description"),
        group=record.word("group"),
        labels=_labels(record),
        schedule=read_schedule(record.at("schedule")),
        skip_if_successful=record.flag("skip_if_successful"),
        catchup_window_s=read_duration(record.at("catchup_window")),
        overlap_policy=(overlap.choice(Overlap) if overlap is not None else None) or Overlap.SKIP,
        params=params,
        params_text=params_text,
        env=read_env(record.at("env")),
        dotenv=read_dotenv(record.at("dotenv")),
        secrets=read_secrets(record.at("secrets")),
        working_dir=record.text("working_dir"),
        shell=read_shell(record),
        preconditions=read_conditions(record.at("preconditions")),
        queue=record.word("queue"),
        retry=read_retry(record.at("retry_policy"), concrete=True),
        log_dir=record.text("log_dir"),
        log_output=(log_output.choice(LogOutput) if log_output is not None else None) or LogOutput.SEPARATE,
        container=read_container(record.at("container")),
        ssh=read_ssh_defaults(record.at("ssh")),
        worker_selector=read_selector(record.at("worker_selector")),
        run_config=_run_config(record.at("run_config")),
    )


def read_active(record: Record, dag: DagFile, recognised: Recognised) -> DagFile:
    """Return the DAG with its limits of parallel work. `maxActiveRuns` meant steps up to Dagu 1.17."""
    steps, runs = record.whole("max_active_steps"), record.whole("max_active_runs", 1, -1)
    spot = record.at("max_active_runs")
    if spot is None or spot.key == "max_active_runs" or record.has("max_active_steps"):
        return replace(dag, max_active_steps=steps, max_active_runs=runs)
    as_steps = recognised.dialect is Dialect.A0
    read = "how many steps run side by side" if as_steps else "how many runs go on at once"
    spot.note("max_active_runs", f"read as {read}; it meant steps up to Dagu 1.17, and runs since")
    if as_steps:
        given = (dag.given - {"max_active_runs"}) | {"max_active_steps"}
        return replace(dag, max_active_steps=max(runs, 0), given=given)
    return replace(dag, max_active_runs=runs)


def _numbers(record: Record, dag: DagFile) -> DagFile:
    days = record.whole("hist_retention_days", RETENTION_DAYS)
    runs = record.whole("hist_retention_runs") if record.has("hist_retention_runs") else None
    if runs is not None and record.has("hist_retention_days"):
        message = "found hist_retention_days and hist_retention_runs, expected one of them"
        record.spots["hist_retention_runs"].fault("conflicting_keys", message)
    return replace(
        dag,
        timeout_s=record.whole("timeout_sec"),
        delay_s=record.whole("delay_sec"),
        restart_wait_s=record.whole("restart_wait_sec"),
        clean_up_s=record.whole("max_clean_up_time_sec", CLEAN_UP_S),
        max_output_bytes=record.whole("max_output_size", MAX_OUTPUT_BYTES),
        retention=Retention(days=days, runs=runs),
    )


def _no_tracing(spot: Spot | None) -> None:
    if spot is not None and spot.record(OTEL).flag("enabled"):
        spot.fault("unsupported_key", "tracing of a single DAG is not supported")


def _run_config(spot: Spot | None) -> RunConfig:
    if spot is None:
        return RunConfig()
    record = spot.record(RUN_CONFIG)
    return RunConfig(
        disable_param_edit=record.flag("disable_param_edit"), disable_run_id_edit=record.flag("disable_run_id_edit")
    )


# ---------------------------------------------------------------- labels


def _labels(record: Record) -> Mapping[str, str]:
    """Return `labels` or `tags`, in small letters."""
    if record.has("labels") and record.has("tags"):
        record.spots["tags"].fault("conflicting_keys", "found labels and tags, expected one of them")
    spot = record.at("labels") or record.at("tags")
    return MappingProxyType(dict(_each_label(spot)) if spot is not None else {})


def _each_label(spot: Spot) -> Iterator[tuple[str, str]]:
    for item in [spot] if spot.is_map else spot.items():
        if item.is_map:
            for name, value in item.entries():
                yield name.strip().lower(), value.word().lower()
        else:
            for part in _label_parts(item.word().lower()):
                key, _, text = part.partition("=")
                if key:
                    yield key.strip(), text.strip()


def _label_parts(text: str) -> Iterator[str]:
    """Yield what is between commas, and where there are values, what begins with a key: `a, b` and `k=v k2=v2`."""
    for piece in text.split(","):
        part: list[str] = []
        for word in piece.split():
            if part and "=" in word[1:]:
                yield " ".join(part)
                part = []
            part.append(word)
        if part:
            yield " ".join(part)


# ---------------------------------------------------------------- mail


def _mails(record: Record, dag: DagFile) -> DagFile:
    return replace(
        dag,
        smtp=_smtp(record.at("smtp")),
        mail_on=_mail_on(record.at("mail_on")),
        error_mail=_mail(record.at("error_mail")),
        info_mail=_mail(record.at("info_mail")),
        wait_mail=_mail(record.at("wait_mail")),
    )


def _smtp(spot: Spot | None) -> Smtp | None:
    if spot is None:
        return None
    record = spot.record(SMTP)
    host, port, username, password = (record.text(key) for key in ("host", "port", "username", "password"))
    return Smtp(host=host, port=port, username=username, password=password)


def _mail_on(spot: Spot | None) -> MailOn:
    if spot is None:
        return MailOn()
    record = spot.record(MAIL_ON)
    return MailOn(failure=record.flag("failure"), success=record.flag("success"), wait=record.flag("wait"))


def _mail(spot: Spot | None) -> Mail | None:
    if spot is None:
        return None
    record = spot.record(MAIL_TO)
    prefix, attach = record.word("prefix"), record.flag("attach_logs")
    return Mail(sender=record.text("from"), to=record.texts("to"), prefix=prefix, attach_logs=attach)
