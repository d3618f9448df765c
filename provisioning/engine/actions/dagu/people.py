"""`dagu.human`: what somebody has answered; `dagu.mail`: tells somebody how a run stands."""

from __future__ import annotations

from collections.abc import Mapping

from provisioning.core.dagu.declared import Mail
from provisioning.core.dagu.doing import HumanDoing, NoopDoing
from provisioning.core.dagu.stored import from_plain
from provisioning.engine.actions.dagu.errands import hand_in, written
from provisioning.engine.actions.dagu.work import Done, Work, failed


async def take_answer(work: Work, doing: HumanDoing) -> Done:
    """Take what somebody has said when approving: its fields are variables for the steps that follow."""
    args = work.task.args
    answer = args.get("answer") if isinstance(args, Mapping) else None
    said = {str(name): str(value) for name, value in answer.items()} if isinstance(answer, Mapping) else {}
    missing = [name for name in doing.required if not said.get(name)]
    if missing:
        return failed("answer", f"approved without {', '.join(missing)}", exit_code=1, retryable=False)
    for name, value in said.items():
        work.attempt.note(f"{name}: {value}")
    return Done(variables=said)


async def send_notice(work: Work, _doing: NoopDoing) -> Done:
    """Send the mail of an event of the run."""
    args = work.task.args
    verdict = args.get("verdict") if isinstance(args, Mapping) else None
    facts = verdict if isinstance(verdict, Mapping) else {}
    word = str(work.settings.get("event", ""))
    steps = facts.get("waiting" if word == "wait" else "failed") or ()
    lines = [f"run {work.task.run} of {work.context.name}: {work.terms.ours.get('DAG_RUN_STATUS', word)}", *map(str, steps)]
    mail = from_plain(work.settings["mail"], Mail)
    logs = [work.context.log] if work.context.log else []
    return await hand_in(work, await written(work, mail, f"{work.context.name}: {word}", "\n".join(lines) + "\n", logs))
