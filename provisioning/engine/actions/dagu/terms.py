"""The texts of a Dagu file as they are for one attempt: references and commands in them replaced, conditions judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

from provisioning.core.dagu.commands import commands_in, with_results
from provisioning.core.dagu.conditions import Judgement, all_met, judge_command, judge_match
from provisioning.core.dagu.declared import Condition, Habits, Variable
from provisioning.core.dagu.doing import Text
from provisioning.core.dagu.patterns import finds
from provisioning.core.dagu.shells import Shell, command_words, split_words
from provisioning.core.dagu.text import Rules, Scope, StepFacts, expand, for_shell
from provisioning.core.frozen import dataclass
from provisioning.core.outside import Ears, Ended, Processes, Program
from provisioning.core.ports import Output
from provisioning.core.shown import quote

PRINTED_BYTES = 1024 * 1024  # of a command in a value


class CannotEvaluate(Exception):
    """A text could not be made out: which, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What references mean here, and how commands in texts are run. `ours` are variables besides what programs inherit."""

    processes: Processes
    inherited: Mapping[str, str]
    ours: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ()  # `$1`, `$2`, ...
    params: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, StepFacts] = field(default_factory=dict)
    shell: Shell = field(default_factory=lambda: Shell(words=("sh",)))
    cwd: str = ""
    habits: Habits = field(default_factory=Habits)
    heard: Output = lambda _data: None  # what commands in texts print as errors

    @property
    def environment(self) -> dict[str, str]:
        """Return what programs get."""
        return {**self.inherited, **{name: value.replace("\0", "") for name, value in self.ours.items()}}

    @property
    def scope(self) -> Scope:
        """Return what references mean."""
        numbered = {str(number): value for number, value in enumerate(self.arguments, 1)}
        return Scope(
            variables={**self.inherited, **numbered, **self.ours},
            steps=self.steps,
            spaces={"params": self.params, "env": self.ours},
        )

    def with_variables(self, more: Mapping[str, str]) -> Terms:
        """Return these terms with more variables."""
        return replace(self, ours={**self.ours, **more}) if more else self

    def revealing(self, secrets: Mapping[str, str]) -> Terms:
        """Return these terms with the values of secrets in what refers to them, which was left as it is written until now.

        Arguments that also have a name stay as they are: everybody on the machine sees what a program was started with.
        """
        if not secrets:
            return self
        hidden = Scope(variables=secrets)

        def told(value: str) -> str:
            return expand(value, hidden) if "$" in value else value

        named = frozenset(self.params.values())
        return replace(
            self,
            ours={name: told(value) for name, value in self.ours.items()},
            params={name: told(value) for name, value in self.params.items()},
            arguments=tuple(one if one in named else told(one) for one in self.arguments),
        )

    # ------------------------------------------------------------ texts

    async def text(self, text: Text | str | None) -> str:
        """Return a text with its references and commands replaced; nothing for None. Raises CannotEvaluate, ConfigError."""
        raw = text.raw if isinstance(text, Text) else text or ""
        rules = Rules(escapes=self.habits.escapes, keeps_backslash=False)
        commands = commands_in(raw) if "`" in raw or "$(" in raw else ()
        if not commands:
            return expand(raw, self.scope, rules=rules) if "$" in raw else raw
        results = [await self._printed(one.command) for one in commands]
        return with_results(raw, results, self.scope, rules=rules)

    async def texts(self, texts: Iterable[Text]) -> list[str]:
        """Return texts as `text` does."""
        return [await self.text(one) for one in texts]

    def plain(self, text: Text | None) -> str:
        """Return a text with its references replaced; commands in it stay."""
        rules = Rules(escapes=self.habits.escapes, keeps_backslash=False)
        return expand(text.raw, self.scope, rules=rules) if text is not None else ""

    def for_shell(self, raw: str) -> str:
        """Return a text for a shell, which has the variables itself: only what it cannot understand is replaced."""
        rules = Rules(escapes=self.habits.escapes, keeps_backslash=True)
        return for_shell(raw, self.scope, in_quotes=self.habits.in_quotes, rules=rules) if "$" in raw else raw

    async def shell_of(self, words: Sequence[Text]) -> Shell:
        """Return the shell that a step names, or ours."""
        if not words:
            return self.shell
        first, *rest = await self.texts(words)
        return Shell(words=(*(split_words(first) or ["sh"]), *rest), said=True)

    async def variables(self, declared: Iterable[Variable]) -> Terms:
        """Return these terms with variables, of which each may use those before it."""
        terms = self
        for one in declared:
            terms = terms.with_variables({one.name: await terms.text(one.value)})
        return terms

    # ------------------------------------------------------------ commands and conditions

    async def judge(self, conditions: Sequence[Condition]) -> Judgement:
        """Judge conditions, all of them, in order."""
        return all_met([await self._judge(one) for one in conditions])

    async def _judge(self, one: Condition) -> Judgement:
        try:
            if one.expected is not None:
                return judge_match(await self.text(one.condition), one.expected, finds, negate=one.negate)
            ended = await self._run(self.for_shell(_command(one.condition.raw)), self.heard)
        except CannotEvaluate as error:
            return Judgement(met=False, error=str(error))
        return judge_command(_code(ended), negate=one.negate)

    async def _printed(self, command: str) -> str:
        """Return what a command in a text prints. Raises CannotEvaluate for one that fails."""
        heard = bytearray()

        def hear(data: bytes) -> None:
            heard.extend(data[: PRINTED_BYTES + 1 - len(heard)])

        ended = await self._run(self.for_shell(command), hear)
        if ended.kind != "exit" or ended.code != 0:
            how = ended.message or f"ended with {'signal' if ended.kind == 'signal' else 'exit code'} {ended.code}"
            raise CannotEvaluate(f"the command {quote(command)} in a value failed: {how}")
        if len(heard) > PRINTED_BYTES:
            raise CannotEvaluate(f"the command {quote(command)} in a value printed more than {PRINTED_BYTES:,} bytes")
        return heard.decode("utf-8", "replace").replace("\0", "")

    async def _run(self, command: str, stdout: Output) -> Ended:
        words = command_words(self.shell, command, self.arguments)
        return await self.run_program(Program(words=words, env=self.environment, clean_env=True, cwd=self.cwd), stdout)

    async def run_program(self, program: Program, stdout: Output | None = None) -> Ended:
        """Run a program; what nobody else hears goes where errors go."""
        return await self.processes.run(program, Ears(stdout=stdout or self.heard, stderr=self.heard))


def joined(folder: str, path: str) -> str:
    """Return a path as it is meant in a folder; `~` is our home. Raises CannotEvaluate."""
    try:
        return str(Path(folder, Path(path).expanduser()))
    except (RuntimeError, ValueError) as error:
        raise CannotEvaluate(f"{quote(path)} is no path: {error}") from error


def _command(raw: str) -> str:
    """Return the command of a condition: one in backticks or `$(..)` alone is that command."""
    commands = commands_in(raw.strip())
    alone = len(commands) == 1 and (commands[0].start, commands[0].end) == (0, len(raw.strip()))
    return commands[0].command if alone else raw


def _code(ended: Ended) -> int | None:
    if ended.kind in {"missing", "start"}:
        return None
    return ended.code if ended.kind == "exit" else 128 + ended.code
