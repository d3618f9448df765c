"""Steps in containers: each in one of its own, or all of a run in one that lives as long as the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from provisioning.core.dagu.containers import CLIENT, Box, docker_settings, inside, remove_words, start_words
from provisioning.core.dagu.doing import Container, DockerDoing, NoopDoing, ShellDoing
from provisioning.core.model import Action
from provisioning.core.outside import Program
from provisioning.core.ports import Clock, Outcome
from provisioning.engine.actions.dagu.terms import CannotEvaluate, Terms
from provisioning.engine.actions.dagu.work import Done, Work, failed


async def run_docker(work: Work, doing: DockerDoing) -> Done:
    """Run commands, a script or a program in a container; with none of them, what its image does."""
    return await in_container(work, doing.container, doing)


async def in_container(work: Work, container: Container, doing: DockerDoing | ShellDoing) -> Done:
    """Run what a step does in a container."""
    terms = work.terms
    box = await box_of(terms, container)
    if container is not work.step.container and work.shared_container == container and container.image is not None:
        box = inside(box, shared_name(work.task.run))
    if isinstance(doing, ShellDoing) and doing.shell:
        box = replace(box, shell=tuple(await terms.texts(doing.shell)))
    own = {one.name: terms.ours[one.name] for one in work.step.env if one.name in terms.ours}
    settings = docker_settings(
        replace(box, env={**own, **box.env}),
        commands=[terms.plain(text) for text in doing.commands],
        script=terms.plain(doing.script) if doing.script is not None else None,
        argv=await terms.texts(doing.argv),
        cwd=terms.cwd,
        home=str(Path.home()),
    )
    settings["grace_s"] = work.context.clean_up_s
    task = replace(work.task, action=Action(type="docker", settings=settings), args=None)
    result = await work.tools.docker().run(task, _Through(work))
    if result.outcome is Outcome.OK:
        return Done(exit_code=0)
    return failed(result.error_kind, result.error, exit_code=result.exit_code or 1, retryable=result.retryable)


async def box_of(terms: Terms, container: Container) -> Box:
    """Return a container with its texts evaluated."""
    return Box(
        image=await terms.text(container.image),
        exec_in=await terms.text(container.exec_in),
        name=await terms.text(container.name),
        pull_policy=container.pull_policy,
        env={pair.name or "": await terms.text(pair.value) for pair in container.env},
        volumes=tuple(await terms.texts(container.volumes)),
        user=await terms.text(container.user),
        working_dir=await terms.text(container.working_dir),
        platform=await terms.text(container.platform),
        ports=tuple(await terms.texts(container.ports)),
        network=await terms.text(container.network),
        keep=container.keep,
        shell=tuple(await terms.texts(container.shell)),
    )


# ---------------------------------------------------------------- one for the whole run


def shared_name(run_id: str) -> str:
    """Return what the container of a run is called."""
    return f"dag-{run_id}"


async def start_shared(terms: Terms, container: Container, run_id: str) -> None:
    """Start the container of a run. Raises CannotEvaluate when that fails."""
    box = await box_of(terms, container)
    words = start_words(box, shared_name(run_id), run=run_id, cwd=terms.cwd, home=str(Path.home()))
    program = Program(words=words, env=terms.environment, clean_env=True, cwd=terms.cwd)
    ended = await terms.run_program(program)
    if ended.kind != "exit" or ended.code != 0:
        raise CannotEvaluate(f"the container of the DAG could not be started: {ended.message or f'exit code {ended.code}'}")


async def remove_shared(work: Work, _doing: NoopDoing) -> Done:
    """Remove the container of the run."""
    words: Sequence[str] = remove_words(shared_name(work.task.run), client=CLIENT)
    program = Program(words=words, env=work.terms.environment, clean_env=True)
    ended = await work.tools.processes.run(program, work.streams.ears)
    return Done() if ended.kind == "exit" and ended.code == 0 else failed("docker", ended.message, exit_code=1)


class _Through:
    """The attempt as the action `docker` sees it: what it prints goes where the step's output goes."""

    def __init__(self, work: Work) -> None:
        self._work, self._attempt = work, work.attempt
        self.clock: Clock = work.attempt.clock

    @property
    def path(self) -> str:
        return self._attempt.path

    @property
    def err_path(self) -> str:
        return self._attempt.err_path

    def open(self) -> None:
        self._attempt.open()

    def apart(self) -> None:
        self._attempt.apart()

    def write(self, data: bytes) -> None:
        self._work.streams.out(data)

    def out(self, data: bytes) -> None:
        self._work.streams.out(data)

    def err(self, data: bytes) -> None:
        self._work.streams.err(data)

    def tail(self, kind: str) -> str:
        return self._attempt.tail(kind)

    def mask(self, secrets: Mapping[str, str]) -> None:
        self._attempt.mask(secrets)

    def note(self, text: str) -> None:
        self._attempt.note(text)

    def last_lines(self, count: int = 10) -> list[str]:
        return self._attempt.last_lines(count)
