"""Commands, scripts and programs: on this machine, in containers, and those that a function stands for."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from provisioning.core.dagu.doing import Arguments, FunctionDoing, ShellDoing, Text
from provisioning.core.dagu.functions import Function
from provisioning.core.dagu.params import Given, parse_params
from provisioning.core.dagu.shells import command_words, interpreter, script_words, split_words
from provisioning.core.dagu.text import references
from provisioning.core.outside import Content, Ended, Program
from provisioning.core.suggest import nearest
from provisioning.engine.actions.dagu.containers import in_container
from provisioning.engine.actions.dagu.work import Done, Work, failed
from provisioning.engine.actions.programs import first_line

Words = Sequence[str | Content]


async def run_shell(work: Work, doing: ShellDoing) -> Done:
    """Run commands one after the other until one fails, or a script, or a program."""
    container = work.step.container or work.shared_container
    if container is not None:
        return await in_container(work, container, doing)
    done = Done()
    for label, words in await lines(work, doing):
        done = await run_words(work, label, words)
        if not done.succeeded:
            return done
    return done


async def run_function(work: Work, doing: FunctionDoing) -> Done:
    """Run the command that is registered under an id, with parameters as variables and arguments."""
    functions = _functions(work)
    function = functions.get(doing.function)
    if function is None:
        near = nearest(doing.function, functions)
        hint = f"did you mean {near}?" if near else "functions.toml in the folder of the DAGs registers them"
        return failed("function", f"no function {doing.function} is registered; {hint}", exit_code=127, retryable=False)
    named, positional = await arguments_of(work, doing.params)
    terms = work.terms.with_variables({**function.env, **named})
    cwd = function.working_dir or terms.cwd
    words = [*function.argv, *positional] if function.argv else command_words(terms.shell, function.command or "", positional)
    program = Program(words=words, env=terms.environment, clean_env=True, cwd=cwd, grace_s=work.context.clean_up_s)
    return _done(await work.tools.processes.run(program, work.streams.ears), doing.function)


def _functions(work: Work) -> Mapping[str, Function]:
    """Return what is registered beside the DAG's file: on another machine, in the folder that came with it."""
    tools, folder = work.tools, work.context.folder
    return tools.functions_in(folder) if folder and tools.functions_in is not None else tools.functions()


async def arguments_of(work: Work, params: Arguments) -> tuple[dict[str, str], list[str]]:
    """Return parameters for something else: those with names, and the others in order."""
    if params.text is not None:
        given = await _given(work, params.text)
        return {one.name: one.value for one in given if one.name}, [one.value for one in given if not one.name]
    named: dict[str, str] = {}
    positional: list[str] = []
    for pair in params.pairs:
        value = await work.terms.text(pair.value)
        if pair.name is None:
            positional.append(value)
        else:
            named[pair.name] = value
    return named, positional


async def _given(work: Work, text: Text) -> list[Given]:
    """Return the parameters in a text. What a reference stands for is one value, unless it is all there is."""
    found = references(text.raw)
    if len(found) == 1 and (found[0].start, found[0].end) == (0, len(text.raw.strip())):
        return list(parse_params(await work.terms.text(text)))
    return [replace(one, value=await work.terms.text(one.value)) for one in parse_params(text.raw)]


# ---------------------------------------------------------------- what is run


async def lines(work: Work, doing: ShellDoing) -> list[tuple[str, Words]]:
    """Return what messages call each program of a step, and its words."""
    terms = work.terms
    if doing.argv:
        argv = await terms.texts(doing.argv)
        script = _script(work, doing.script)
        return [(first_line(shlex.join(argv)), [*argv, *([Content(script.encode())] if script else [])])]
    shell = await terms.shell_of(doing.shell)
    if doing.script is not None:
        return [await _script_line(work, doing, shell_words=script_words(shell))]
    commands = [terms.for_shell(text.raw) for text in doing.commands]
    return [(first_line(command), command_words(shell, command, terms.arguments)) for command in commands]


async def _script_line(work: Work, doing: ShellDoing, shell_words: list[str]) -> tuple[str, Words]:
    """A script is a file for the program that is named, else for what its first line names, else for the shell."""
    script = _script(work, doing.script)
    program = [word for text in doing.commands for word in split_words(await work.terms.text(text))]
    starter = program or (interpreter(script) if not doing.shell else []) or shell_words
    return first_line(script), [*starter, Content(script.encode("utf-8", "surrogateescape")), *work.terms.arguments]


def _script(work: Work, script: Text | None) -> str:
    return work.terms.for_shell(script.raw) if script is not None else ""


async def run_words(work: Work, label: str, words: Words) -> Done:
    """Run one program to its end."""
    program = Program(
        words=words,
        env=work.terms.environment,
        clean_env=True,
        cwd=work.terms.cwd,
        grace_s=float(work.context.clean_up_s),
        stop_signal=work.step.signal_on_stop or "SIGTERM",
    )
    return _done(await work.tools.processes.run(program, work.streams.ears), label)


def _done(ended: Ended, label: str) -> Done:
    if ended.kind == "exit":
        message = f"`{label}` ended with exit code {ended.code}"
        return Done(exit_code=0) if ended.code == 0 else failed("exit", message, exit_code=ended.code)
    if ended.kind == "signal":
        return failed("signal", f"`{label}` was killed by signal {ended.code}", exit_code=128 + ended.code)
    return failed("start", ended.message, exit_code=127 if ended.kind == "missing" else 126)
