"""One attempt of a step: what it was given, where its output goes, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from provisioning.core.dagu.context import Context, find_context
from provisioning.core.dagu.declared import MAX_OUTPUT_BYTES, Step
from provisioning.core.dagu.doing import Container
from provisioning.core.dagu.shells import Shell, default_shell, with_standard_path
from provisioning.core.dagu.stored import from_plain
from provisioning.core.dagu.text import StepFacts
from provisioning.core.frozen import dataclass
from provisioning.core.outside import Appending, Ears
from provisioning.core.ports import Task
from provisioning.engine.actions import Context as Attempt
from provisioning.engine.actions.dagu.secretly import every_name, revealed
from provisioning.engine.actions.dagu.terms import Terms
from provisioning.engine.actions.dagu.tools import Tools

TIMED_OUT = 124
"""The exit code of what took too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How what a step does has ended. `left` is the output of what has one of its own: a document of a sub-DAG."""

    exit_code: int | None = 0
    kind: str = ""  # of the error; "" is a success
    error: str = ""
    left: object = None
    variables: Mapping[str, str] = field(default_factory=dict)  # for those that come after
    partial: bool = False
    retryable: bool = True

    @property
    def succeeded(self) -> bool:
        """Whether it did."""
        return not self.kind


def failed(kind: str, error: str, *, exit_code: int | None = None, retryable: bool = True) -> Done:
    """Return the end of what went wrong."""
    return Done(exit_code=exit_code, kind=kind, error=error, retryable=retryable)


class Streams:
    """Where a step's output goes: its logs, files that it names, and what is kept of standard output."""

    def __init__(self, attempt: Attempt, limit_bytes: int) -> None:
        self._attempt, self._limit_bytes = attempt, limit_bytes
        self._files: dict[str, Appending] = {}
        self.kept = bytearray()

    def add_file(self, stream: str, file: Appending) -> None:
        """Write what comes on `out` or `err` there too."""
        self._files[stream] = file

    def out(self, data: bytes) -> None:
        """Take standard output."""
        room = self._limit_bytes + 1 - len(self.kept)  # one more than may be: that is how too much is noticed
        if room > 0:
            self.kept += data[:room]
        self._attempt.out(data)
        if "out" in self._files:
            self._files["out"].write(data)

    def err(self, data: bytes) -> None:
        """Take standard error."""
        self._attempt.err(data)
        if "err" in self._files:
            self._files["err"].write(data)

    @property
    def ears(self) -> Ears:
        """Return who hears a program."""
        return Ears(stdout=self.out, stderr=self.err, note=self._attempt.note)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One attempt of a step."""

    task: Task
    attempt: Attempt
    tools: Tools
    settings: Mapping[str, Any]
    step: Step
    context: Context
    terms: Terms
    streams: Streams
    secrets: Mapping[str, str]
    routed: Sequence[str] | None = None  # the steps that its router has chosen; None where it has none

    @property
    def shared_container(self) -> Container | None:
        """Return the container that the DAG has for all its steps."""
        declared = self.settings.get("container")
        return from_plain(declared, Container) if declared is not None else None

    def with_terms(self, terms: Terms) -> Work:
        """Return the same with other terms."""
        return replace(self, terms=terms)


async def begin(task: Task, attempt: Attempt, tools: Tools) -> Work:
    """Read what a step was given. Raises ConfigError for a secret that cannot be read, StoreError for its logs.

    Where another machine has evaluated what all steps share, the files that travel with the DAG are laid out here as well.
    """
    settings = task.action.settings
    step = from_plain(settings["step"], Step)
    context = find_context(task.args) or Context(name="")
    if context.package:
        context = context.moved_to(await tools.sources.folder(context.package, context.root))
    if settings.get("merged"):
        attempt.open()
    else:
        attempt.apart()
    secrets = revealed(context.secrets, tools.secrets)
    attempt.mask(secrets)
    above = _above(task.args)
    router = above.get(str(settings.get("router", "")))
    streams = Streams(attempt, int(str(settings.get("max_output_bytes", MAX_OUTPUT_BYTES))))
    return Work(
        task=task,
        attempt=attempt,
        tools=tools,
        settings=settings,
        step=step,
        context=context,
        terms=_terms(task, attempt, tools, context, step, secrets, above, streams.err),
        streams=streams,
        secrets=secrets,
        routed=list(router.get("chosen", ())) if isinstance(router, Mapping) else None,
    )


def _terms(
    task: Task,
    attempt: Attempt,
    tools: Tools,
    context: Context,
    step: Step,
    secrets: Mapping[str, str],
    above: Mapping[str, Mapping[str, Any]],
    heard: Callable[[bytes], None],
) -> Terms:
    inherited = with_standard_path(tools.environment())
    shell = Shell(words=context.shell, said=context.shell_said) if context.shell else default_shell(inherited, errexit=False)
    terms = Terms(
        processes=tools.processes,
        inherited=inherited,
        ours=context.variables,
        arguments=context.arguments,
        params=context.params,
        steps={str(one["id"]): _facts(one) for one in above.values() if one.get("id")},
        shell=shell,
        cwd=context.cwd,
        habits=context.habits,
        heard=heard,
    )
    outputs = {name: str(value) for one in above.values() for name, value in one.get("variables", {}).items()}
    terms = terms.revealing(every_name(context.secrets, secrets))
    return terms.with_variables({**_managed(task, attempt, context, step), **outputs, **secrets})


def _managed(task: Task, attempt: Attempt, context: Context, step: Step) -> dict[str, str]:
    """Return the variables that say where a step runs."""
    out, err = attempt.path, attempt.err_path or attempt.path
    managed = {
        "DAG_NAME": context.name,
        "DAG_RUN_ID": task.run,
        "DAG_REQUEST_ID": task.run,
        "DAG_RUN_STEP_NAME": step.name,
        "DAG_RUN_STEP_STDOUT_FILE": out,
        "DAG_RUN_STEP_STDERR_FILE": err,
        "DAG_STEP_LOG_PATH": out,
        "PROVISIONING_RUN_ID": task.run,
        "PROVISIONING_STEP": task.step,
        "PROVISIONING_ATTEMPT": str(task.attempt),
    }
    verdict = task.args.get("verdict") if isinstance(task.args, Mapping) else None
    if isinstance(verdict, Mapping):
        managed["DAG_RUN_STATUS"] = _STATUS.get(str(verdict.get("state")), str(verdict.get("state")))
        if verdict.get("rejected"):
            managed["DAG_RUN_STATUS"] = "rejected"
        if verdict.get("waiting"):
            managed["DAG_WAITING_STEPS"] = ",".join(str(one).removesuffix(" (approval)") for one in verdict["waiting"])
    elif task.action.settings.get("event") == "init":
        managed["DAG_RUN_STATUS"] = "running"
    return managed


_STATUS = {"partial": "partially_succeeded", "timed_out": "failed", "cancelled": "aborted"}


def _above(args: object) -> dict[str, Mapping[str, Any]]:
    """Return what the steps above have left, without the run's context."""
    up = args.get("up") if isinstance(args, Mapping) else None
    return {
        id: one for id, one in (up.items() if isinstance(up, Mapping) else ()) if isinstance(one, Mapping) and "dagu" not in one
    }


def _facts(left: Mapping[str, Any]) -> StepFacts:
    return StepFacts(
        stdout=left.get("stdout"),
        stderr=left.get("stderr"),
        exit_code=left.get("exit_code"),
        output=left.get("output"),
        outputs=left.get("outputs", {}),
    )
