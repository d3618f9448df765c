"""`dagu.setup`: evaluates what all steps of a run share, and judges whether the DAG may run at all.

Parameters, `.env` files and `env` may refer to one another in several orders, and do in old files. So parameters that need no
variable of the file come first, then its variables, then the other parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from provisioning.core.dagu.conditions import Judgement
from provisioning.core.dagu.context import Context, read_context
from provisioning.core.dagu.declared import Condition, Habits, Param, Secret, Variable
from provisioning.core.dagu.doing import Container, Text
from provisioning.core.dagu.params import Given, Value, by_name, environment, parse_params, resolve
from provisioning.core.dagu.patterns import finds
from provisioning.core.dagu.shells import default_shell, with_standard_path
from provisioning.core.dagu.stored import from_plain
from provisioning.core.dagu.text import Rules, expand, references
from provisioning.core.frozen import dataclass
from provisioning.core.history import UNMET
from provisioning.core.ports import Outcome, Task
from provisioning.core.schedules import SCHEDULED_AT
from provisioning.engine.actions import Context as Attempt
from provisioning.engine.actions import Result, Traits
from provisioning.engine.actions.dagu.containers import start_shared
from provisioning.engine.actions.dagu.secretly import every_name, names, revealed, without
from provisioning.engine.actions.dagu.terms import CannotEvaluate, Terms, joined
from provisioning.engine.actions.dagu.tools import Tools
from provisioning.errors import ProvisioningError

DOTENV_BYTES = 1024 * 1024
_IN_FILES = Rules(escapes=True, keeps_backslash=False)  # what `.env` files say of a dollar


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The settings of the step: what `core.dagu.compile` hands over."""

    name: str
    file: str = ""
    env: tuple[Variable, ...] = ()
    params: tuple[Param, ...] = ()
    params_text: Text | None = None
    dotenv: tuple[Text, ...] | None = None
    secrets: tuple[Secret, ...] = ()
    working_dir: Text | None = None
    shell: tuple[Text, ...] = ()
    preconditions: tuple[Condition, ...] = ()
    container: Container | None = None
    habits: Habits = field(default_factory=Habits)
    clean_up_s: int = Context(name="").clean_up_s
    package: str = ""


class SetupAction:
    """The action `dagu.setup`. Its output is the run's `core.dagu.context.Context`."""

    traits = Traits()

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def run(self, task: Task, attempt: Attempt) -> Result:
        """Evaluate. A DAG whose preconditions do not hold is stopped; what cannot be evaluated fails."""
        plain = dict(task.action.settings)
        documents = plain.pop("documents", None)
        shared = from_plain(plain, Shared)
        work = _Setup(self._tools, shared, task, attempt)
        try:
            await work.settle()
            met = await work.evaluate()
        except (CannotEvaluate, ProvisioningError) as error:
            told = error.message if isinstance(error, ProvisioningError) else str(error)
            return Result(
                outcome=Outcome.FAILED, error_kind="setup", error=told, retryable=False, output=work.document(documents)
            )
        output = work.document(documents)
        if met.error:
            error_text = f"a precondition of the DAG cannot be judged: {met.error}"
            return Result(outcome=Outcome.FAILED, error_kind="precondition", error=error_text, retryable=False, output=output)
        if not met.met:
            why = f"{UNMET}: {met.reason}"
            return Result(outcome=Outcome.SKIPPED, error_kind="precondition", error=why, stops=why, output=output)
        return Result(outcome=Outcome.OK, output=output)


class _Setup:
    def __init__(self, tools: Tools, shared: Shared, task: Task, attempt: Attempt) -> None:
        self._given, self._depth, self._inside = _asked(task.args)
        self._secret = names(shared.secrets if self._inside is None else self._inside.secrets)
        shared = replace(shared, secrets=(*shared.secrets, *_handed(task.args)))
        self._inherited = with_standard_path(tools.environment())
        inherited = without(self._inherited, shared.secrets)
        self._tools, self._shared, self._attempt = tools, shared, attempt
        self._root, self._files = _root(task), ""
        shell = default_shell(inherited, errexit=shared.habits.errexit)
        self._terms = Terms(
            processes=tools.processes,
            inherited=inherited,
            shell=shell,
            cwd=_folder(shared.file),
            habits=shared.habits,
            heard=attempt.write,
        )
        self._managed = {"DAG_NAME": shared.name, "DAG_RUN_ID": task.run, "DAG_REQUEST_ID": task.run}
        at = _scheduled_at(task.args)
        self._managed |= {"DAG_SCHEDULED_AT": at} if at else {}
        log = attempt.path
        self._managed |= {"DAG_RUN_LOG_FILE": log, "DAG_EXECUTION_LOG_PATH": log} if log else {}
        self._values: Sequence[Value] = ()
        self._run = task.run

    def document(self, documents: object) -> dict[str, Any]:
        """Return what has been evaluated so far, as it is kept."""
        terms, shared = self._terms, self._shared
        context = Context(
            name=shared.name,
            file=shared.file,
            variables=dict(terms.ours),
            params=by_name(self._values),
            arguments=tuple(terms.arguments),
            shell=terms.shell.words,
            shell_said=terms.shell.said,
            cwd=terms.cwd,
            clean_up_s=shared.clean_up_s,
            log=self._attempt.path,
            depth=self._depth,
            habits=shared.habits,
            secrets=shared.secrets,
            package=shared.package,
            folder=self._files,
            root=self._root if shared.package else "",
        )
        return {**context.document(), **({"documents": documents} if documents else {})}

    async def settle(self) -> None:
        """Have the files that travel with the DAG on this machine. One that lies where it is read has them."""
        if not self._shared.package:
            return
        self._files = await self._tools.sources.folder(self._shared.package, self._root)
        self._shared = replace(self._shared, file=str(Path(self._files, Path(self._shared.file).name)))
        self._terms = replace(self._terms, cwd=self._files)
        if self._inside is not None:
            self._inside = self._inside.moved_to(self._files)

    async def evaluate(self) -> Judgement:
        self._refuse_references()
        if self._inside is not None:
            return await self._continue(self._inside)
        shared = self._shared
        self._terms = self._terms.with_variables(self._managed)
        await self._evaluate_params(later=False)
        own = {one.name for one in shared.env}
        early = not _refers(shared.working_dir, own)
        if early:
            await self._enter()
        await self._evaluate_env(await self._read_dotenv() if early else {})
        if not early:
            await self._enter()
            found = await self._read_dotenv()
            if found:  # commands in values run once more only where there is something new for them
                await self._evaluate_env(found)
        await self._evaluate_params(later=True)
        self._terms = replace(self._terms, shell=await self._terms.shell_of(shared.shell))
        self._tools.disk.make_folder(self._terms.cwd)
        met = await self._judged()
        if met.met and shared.container is not None and shared.container.image is not None:
            await start_shared(self._terms, shared.container, self._run)
        return met

    def _refuse_references(self) -> None:
        """Whoever gives a parameter gives a value. One that refers to a secret would become it where a step uses it."""
        for one in self._given:
            if wrong := next((found.name for found in references(one.value) if found.name in self._secret), None):
                where = f"the parameter {one.name}" if one.name else "a parameter"
                raise CannotEvaluate(f"{where} refers to the secret {wrong}: only the DAG file may")

    async def _continue(self, inside: Context) -> Judgement:
        """Take over what the run around a loop's body has evaluated."""
        named = {one.name: one.value for one in self._given if one.name}
        self._terms = replace(
            self._terms,
            ours={**inside.variables, **self._managed, **named},
            params=inside.params,
            arguments=inside.arguments,
            cwd=inside.cwd,
        )
        self._shared = replace(self._shared, secrets=(*inside.secrets, *self._shared.secrets), clean_up_s=inside.clean_up_s)
        return await self._judged()

    async def _judged(self) -> Judgement:
        if not self._shared.preconditions:
            return await self._terms.judge(())
        secrets = revealed(self._shared.secrets, self._tools.secrets)
        self._attempt.mask(secrets)
        terms = replace(self._terms, inherited=self._inherited).revealing(every_name(self._shared.secrets, secrets))
        return await terms.with_variables(secrets).judge(self._shared.preconditions)

    # ------------------------------------------------------------ parameters

    async def _evaluate_params(self, *, later: bool) -> None:
        """Evaluate the parameters. Those whose defaults need a variable of the file wait until `later`."""
        own = {one.name for one in self._shared.env}
        declared = await self._declared()
        waits = [_refers(one.default, own) or _refers(one.evaluated, own) for one in declared]
        if later and not any(waits):
            return
        replaced = {one.name for one in self._given if one.name}
        positional = sum(not one.name for one in self._given)
        defaults: list[str | None] = []
        terms = self._terms
        for index, (param, wait) in enumerate(zip(declared, waits, strict=True)):
            skip = index < positional or param.name in replaced or (wait and not later)
            default = None if skip else await _default(terms, param)
            defaults.append(default)
            if param.name and default is not None:  # later ones may use it
                terms = terms.with_variables({param.name: default})
        checked = [
            replace(one, required=one.required and (later or not wait)) for one, wait in zip(declared, waits, strict=True)
        ]
        resolved = resolve(checked, defaults, self._given, finds)
        if resolved.faults:
            raise CannotEvaluate("; ".join(fault.message for fault in resolved.faults))
        self._values = resolved.values
        named = {name: text for name, text in environment(resolved.values).items() if not name.isdigit()}
        arguments = tuple(one.text or "" for one in resolved.values)
        before = dict(self._terms.ours) if later else {}
        self._terms = replace(self._terms, params=by_name(resolved.values), arguments=arguments)
        self._terms = self._terms.with_variables({**named, **{name: before[name] for name in own if name in before}})

    async def _declared(self) -> Sequence[Param]:
        """Return what the file declares, also as one text."""
        text = self._shared.params_text
        if text is None:
            return self._shared.params
        return [
            Param(name=one.name or None, default=Text(raw=one.value, line=text.line, column=text.column))
            for one in parse_params(text.raw)
        ]

    # ------------------------------------------------------------ variables and folders

    async def _evaluate_env(self, from_files: Mapping[str, str]) -> None:
        """Evaluate `env`, which may use what files say; where both say something, the files win."""
        terms = await self._terms.with_variables(from_files).variables(self._shared.env)
        self._terms = terms.with_variables(from_files)

    async def _enter(self) -> None:
        base = _folder(self._shared.file)
        wanted = await self._terms.text(self._shared.working_dir)
        cwd = joined(base, wanted) if wanted else base
        self._terms = replace(self._terms, cwd=cwd).with_variables({"DAG_RUN_WORK_DIR": cwd})

    async def _read_dotenv(self) -> Mapping[str, str]:
        """Return what `.env` files say, later ones over earlier ones. A missing file says nothing."""
        said = self._shared.dotenv
        names = [] if said == () else [".env", *await self._terms.texts(said or ())]
        found: dict[str, str] = {}
        for name in dict.fromkeys(names):
            path = joined(self._terms.cwd, name)
            data = self._tools.disk.read(path, DOTENV_BYTES)
            if data is not None:
                found |= self._from_file(path, data, found)
        return found

    def _from_file(self, path: str, data: bytes, before: Mapping[str, str]) -> dict[str, str]:
        said, faults = self._tools.readers.dotenv(data.decode("utf-8", "replace"))
        for fault in faults:
            self._attempt.note(f"{path}, line {fault.line}: {fault.message}")
        found: dict[str, str] = {}
        for one in said:
            terms = self._terms.with_variables({**before, **found})
            found[one.name] = one.value if one.literal else expand(one.value, terms.scope, rules=_IN_FILES)
        return found


def _asked(args: object) -> tuple[Sequence[Given], int, Context | None]:
    """Return what the run was started with: parameters, how deep it is inside others, and the context of a loop."""
    run = args.get("run") if isinstance(args, Mapping) else None
    asked: Mapping[str, Any] = run if isinstance(run, Mapping) else {}
    given = [Given(name=str(name), value=str(value)) for name, value in asked.get("params", ())]
    return given, int(asked.get("depth", 0)), read_context(asked.get("inside"))


def _handed(args: object) -> tuple[Secret, ...]:
    """Return the secrets that the parameters refer to where the run around this one has handed some over."""
    run = args.get("run") if isinstance(args, Mapping) else None
    said = run.get("secrets", ()) if isinstance(run, Mapping) else ()
    return tuple(from_plain(one, Secret) for one in said)


def _root(task: Task) -> str:
    """Return the run that began all this: the one around the others."""
    run = task.args.get("run") if isinstance(task.args, Mapping) else None
    return str(run.get("root") or task.run) if isinstance(run, Mapping) else task.run


def _scheduled_at(args: object) -> str:
    """Return the instant of its schedule that the run is for, such as 2026-01-31T08:00:00Z; nothing for other runs."""
    run = args.get("run") if isinstance(args, Mapping) else None
    said = run.get(SCHEDULED_AT) if isinstance(run, Mapping) else None
    return str(said).replace("+00:00", "Z") if said else ""


async def _default(terms: Terms, param: Param) -> str | None:
    if param.evaluated is not None:
        return (await terms.text(param.evaluated)).strip()
    return await terms.text(param.default) if param.default is not None else None


def _refers(text: Text | None, names: Iterable[str]) -> bool:
    wanted = set(names)
    return text is not None and bool(wanted) and any(one.name in wanted for one in references(text.raw))


def _folder(file: str) -> str:
    return str(Path(file).absolute().parent) if file else str(Path.cwd())
