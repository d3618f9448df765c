"""Every kind of step, and how it is done."""

from __future__ import annotations

from collections.abc import Mapping

from provisioning.core.dagu.compile import HUMAN, MAIL, RUN, SETUP, STEP, TIDY
from provisioning.core.dagu.conditions import judge_match
from provisioning.core.dagu.doing import (
    DockerDoing,
    ForeachDoing,
    FunctionDoing,
    HttpDoing,
    HumanDoing,
    JqDoing,
    MailDoing,
    NoopDoing,
    RouterDoing,
    ShellDoing,
    SshDoing,
    SubDagDoing,
)
from provisioning.core.dagu.patterns import finds
from provisioning.core.dagu.placing import Here
from provisioning.core.shown import quote
from provisioning.engine.actions import Action
from provisioning.engine.actions.dagu import containers, errands, people, programs
from provisioning.engine.actions.dagu.runs import Children, Definitions, Runs
from provisioning.engine.actions.dagu.setup import SetupAction
from provisioning.engine.actions.dagu.steps import Doer, StepAction
from provisioning.engine.actions.dagu.tools import Tools
from provisioning.engine.actions.dagu.work import Done, Work


def kinds(tools: Tools, runs: Runs, definitions: Definitions, here: Here | None = None) -> Mapping[str, Action]:
    """Return the actions by the names that `core.dagu.compile` gives them. `here` is the worker, where there are several."""
    children = Children(runs, definitions, here)
    return {
        SETUP: SetupAction(tools),
        STEP: StepAction(tools, _DOERS),
        RUN: StepAction(tools, {SubDagDoing: children.start_dag, ForeachDoing: children.loop}),
        HUMAN: StepAction(tools, {HumanDoing: people.take_answer}),
        MAIL: StepAction(tools, {NoopDoing: people.send_notice}),
        TIDY: StepAction(tools, {NoopDoing: containers.remove_shared}),
    }


async def _nothing(_work: Work, _doing: NoopDoing) -> Done:
    return Done()


async def _route(work: Work, doing: RouterDoing) -> Done:
    """Choose the steps whose pattern the value matches."""
    value = await work.terms.text(doing.value)
    chosen = [target for route in doing.routes if judge_match(value, route.pattern, finds).met for target in route.targets]
    work.attempt.note(f"{quote(value)}: {', '.join(chosen) or 'no route'}")
    return Done(left={"chosen": chosen})


_DOERS: Mapping[type, Doer] = {
    NoopDoing: _nothing,
    RouterDoing: _route,
    ShellDoing: programs.run_shell,
    DockerDoing: containers.run_docker,
    FunctionDoing: programs.run_function,
    HttpDoing: errands.request,
    JqDoing: errands.filter_json,
    MailDoing: errands.send_mail,
    SshDoing: errands.run_elsewhere,
}
