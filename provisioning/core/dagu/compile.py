"""A Dagu file -> the one workflow model.

Besides the steps of the file there are some that come with them: `setup` evaluates what all steps share and judges the DAG's
preconditions, then comes the init handler, and only then the first steps; the other handlers follow at the end. A step that a
person has to approve is followed by one that waits for that. What a step does, and how it fails, is decided by its action
when it runs: nothing of it can be known before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from types import MappingProxyType

from provisioning.core.authoring import finish
from provisioning.core.dagu.declared import Approval, DagFile, Event, Mail, Step
from provisioning.core.dagu.doing import (
    DockerDoing,
    ForeachDoing,
    HumanDoing,
    MailDoing,
    NoopDoing,
    RouterDoing,
    ShellDoing,
    SshDoing,
    SubDagDoing,
)
from provisioning.core.dagu.stored import to_plain
from provisioning.core.frozen import dataclass
from provisioning.core.model import (
    ANYWHERE,
    Action,
    Dep,
    Fallback,
    Gate,
    GateKind,
    HandlerOn,
    On,
    OnFailure,
    Placement,
    Policy,
    Retry,
    Source,
    Strategy,
    Workflow,
)
from provisioning.core.model import Step as Node
from provisioning.core.values import Payload, Ref, RunParams, RunVerdict, Upstream

SETUP, STEP, RUN, HUMAN, MAIL, TIDY = "dagu.setup", "dagu.step", "dagu.run", "dagu.human", "dagu.mail", "dagu.tidy"
"""The actions."""
OUTPUTS = "*"
"""What the label `output` says of steps whose output names those of the run in its field `outputs`."""
_ON = {
    Event.SUCCESS: HandlerOn.SUCCESS,
    Event.FAILURE: HandlerOn.FAILURE,
    Event.ABORT: HandlerOn.CANCEL,
    Event.EXIT: HandlerOn.EXIT,
    Event.WAIT: HandlerOn.WAIT,
}
_SHARED = ("env", "params", "params_text", "dotenv", "secrets", "working_dir", "shell", "preconditions", "container")
_NOTHING: Mapping[str, object] = MappingProxyType({})


def compile_dag(
    dag: DagFile, *, main: bool = True, at: Placement | None = None, if_gone: Fallback = Fallback.RETARGET
) -> Workflow:
    """Return the workflow of a DAG. `main` is one that somebody starts; as a part of another it has no handlers from a base.

    `at` is where its run goes, as `core.dagu.placing` says; without it, where its labels are, as they are written. `if_gone` is
    what it does when the worker is gone that has begun it. Raises nothing for a file that was read without faults.
    """
    return _Compiler(dag, main=main, at=at, if_gone=if_gone).workflow()


@dataclass(frozen=True, slots=True)
class _Names:
    """The ids of what comes with the steps: free ones, whatever the file calls its steps."""

    taken: frozenset[str]

    def free(self, name: str) -> str:
        while name in self.taken:
            name = f"{name}'"
        return name


@dataclass(slots=True)
class _Compiler:
    dag: DagFile
    main: bool
    at: Placement | None
    if_gone: Fallback
    names: _Names = field(init=False)
    setup: str = field(init=False)
    approvals: Mapping[str, str] = field(init=False)  # step -> the one that waits for a person
    routed: Mapping[str, str] = field(init=False)  # target -> its router

    def __post_init__(self) -> None:
        if not self.main:
            own = {event: step for event, step in self.dag.handlers.items() if event not in self.dag.inherited}
            self.dag = replace(self.dag, handlers=own)
        self.names = _Names(frozenset(step.name for step in self.dag.steps))
        self.setup = self.names.free("(setup)")
        approved = [step.name for step in self.dag.steps if step.approval is not None]
        self.approvals = {name: self.names.free(f"{name} (approval)") for name in approved}
        routers = [step for step in self.dag.steps if isinstance(step.doing, RouterDoing)]
        self.routed = {target: router.name for router in routers for target in _targets(router)}

    def workflow(self) -> Workflow:
        dag = self.dag
        init = self._init()
        first = (Dep(step=init[0].id if init else self.setup),)
        steps = [node for step in dag.steps for node in self._nodes(step, first)]
        return finish(
            Workflow(
                name=dag.name,
                steps=(self._setup(), *init, *steps, *self._handlers(), *self._mails(), *self._tidying()),
                policy=self._policy(),
                labels=dict(dag.labels),
                source=Source(kind="dagu", uri=dag.file, digest=dag.package),
            )
        )

    def _policy(self) -> Policy:
        dag = self.dag
        return Policy(
            on_failure=OnFailure.SKIP_DOWNSTREAM,
            max_parallel=max(dag.max_active_steps, 0),
            timeout_s=float(dag.timeout_s) or None,
            rerun=_rerun(dag) if self.main else None,
            beside=self.setup if dag.package else "",
            if_gone=self.if_gone,
        )

    # ------------------------------------------------------------ what comes with the steps

    def _setup(self) -> Node:
        plain = to_plain(self.dag)
        settings: dict[str, object] = {key: plain[key] for key in _SHARED if key in plain}
        settings |= {
            "name": self.dag.name,
            "file": self.dag.file,
            **({"habits": plain["habits"]} if "habits" in plain else {}),
            **_unless_default("clean_up_s", self.dag.clean_up_s, 5),
            **({"documents": plain["documents"]} if self.dag.documents else {}),
            **_unless_default("package", self.dag.package, ""),
        }
        return Node(
            id=self.setup,
            kind="setup",
            action=Action(type=SETUP, settings=settings),
            args={"run": RunParams()},
            placement=self._placement(),
            labels={"output": OUTPUTS},
        )

    def _init(self) -> list[Node]:
        step = self.dag.handlers.get(Event.INIT)
        if step is None:
            return []
        node = self._node(step, id=self.names.free("(init)"), deps=(Dep(step=self.setup),), kind="handler")
        settings = {**node.action.settings, "event": Event.INIT.value}
        return [replace(node, action=replace(node.action, settings=settings))]

    def _handlers(self) -> list[Node]:
        return [self._handler(step, event) for event in _ON if (step := self.dag.handlers.get(event)) is not None]

    def _handler(self, step: Step, event: Event) -> Node:
        node = self._node(step, id=self.names.free(f"({event})"), deps=(), kind="handler")
        settings = {**node.action.settings, "event": event.value}
        args = {**(node.args if isinstance(node.args, dict) else {}), "verdict": RunVerdict()}
        return replace(
            node,
            action=replace(node.action, settings=settings),
            args=args,
            handler=_ON[event],
            optional=event is Event.WAIT,
            forgiven=event is Event.WAIT,
        )

    def _mails(self) -> list[Node]:
        dag = self.dag
        wanted = (
            (dag.mail_on.failure, dag.error_mail, HandlerOn.FAILURE, "failure"),
            (dag.mail_on.success, dag.info_mail, HandlerOn.SUCCESS, "success"),
            (dag.mail_on.wait, dag.wait_mail, HandlerOn.WAIT, "wait"),
        )
        return [self._mail(mail, on, word) for asked, mail, on, word in wanted if asked and mail is not None]

    def _mail(self, mail: Mail, on: HandlerOn, word: str) -> Node:
        id = self.names.free(f"(mail on {word})")
        nothing = to_plain(Step(name=id, line=0, column=0, doing=NoopDoing()))
        settings = {"step": nothing, "mail": to_plain(mail), "smtp": to_plain(self.dag.smtp), "event": word, "merged": True}
        args = {**self._args(), "verdict": RunVerdict()}
        action = Action(type=MAIL, settings=settings)
        return Node(id=id, kind="mail", action=action, args=args, handler=on, optional=True, forgiven=True)

    def _tidying(self) -> list[Node]:
        """Return what removes the container of the run when everything else has ended."""
        if self.dag.container is None or self.dag.container.image is None:
            return []
        id = self.names.free("(tidy up)")
        nothing = to_plain(Step(name=id, line=0, column=0, doing=NoopDoing()))
        action = Action(type=TIDY, settings={"step": nothing, "merged": True})
        others = tuple(Dep(step=self.names.free(f"({event})"), on=On.DONE) for event in _ON if event in self.dag.handlers)
        return [
            Node(
                id=id,
                kind="setup",
                action=action,
                args=self._args(),
                deps=others,
                handler=HandlerOn.EXIT,
                optional=True,
                forgiven=True,
            )
        ]

    # ------------------------------------------------------------ steps

    def _nodes(self, step: Step, first: tuple[Dep, ...]) -> Iterable[Node]:
        deps = tuple(Dep(step=self.approvals.get(name, name)) for name in step.depends)
        router = self.routed.get(step.name)
        if router is not None and router not in step.depends:
            deps = (*deps, Dep(step=router))
        node = self._node(step, id=step.name, deps=deps or first, kind="step")
        if isinstance(step.doing, HumanDoing):
            node = replace(node, gates=(_approval(step.name),), args={**self._args(), "answer": Payload(signal=step.name)})
        yield node
        if step.approval is not None:
            yield self._waiting(step)

    def _waiting(self, step: Step) -> Node:
        asked = step.approval or Approval()
        doing = HumanDoing(inputs=asked.inputs, required=asked.required)
        waits = Step(name=self.approvals[step.name], line=0, column=0, doing=doing)
        settings = {"step": to_plain(waits), "merged": True}
        return Node(
            id=self.approvals[step.name],
            kind="approval",
            action=Action(type=HUMAN, settings=settings),
            args={**self._args(), "answer": Payload(signal=step.name)},
            deps=(Dep(step=step.name),),
            gates=(_approval(step.name),),
            labels=_asked(asked.prompt.raw if asked.prompt else "", step.name),
        )

    def _node(self, step: Step, *, id: str, deps: Sequence[Dep], kind: str) -> Node:
        return Node(
            id=id,
            kind=kind,
            action=Action(type=_action(step), settings=self._settings(step)),
            args=self._args(),
            deps=tuple(deps),
            skippable=step.continue_on.skipped,
            labels=_labels(step),
        )

    def _args(self) -> dict[str, object]:
        return {"run": Ref(step=self.setup, has_default=True), "up": Upstream()}

    def _settings(self, step: Step) -> dict[str, object]:
        """Return the step, and of the DAG what only such a step needs."""
        dag, doing = self.dag, step.doing
        found: dict[str, object] = {"step": to_plain(replace(step, line=0, column=0, depends=(), description=""))}
        found |= _unless_default("delay_s", dag.delay_s, 0)
        found |= _unless_default("max_output_bytes", dag.max_output_bytes, DagFile(name="").max_output_bytes)
        if (step.log_output or dag.log_output).value == "merged":
            found["merged"] = True
        if isinstance(doing, SshDoing) and dag.ssh is not None:
            found["ssh"] = to_plain(dag.ssh)
        if isinstance(doing, ShellDoing | DockerDoing) and dag.container is not None and step.container is None:
            found["container"] = to_plain(dag.container)
        if isinstance(doing, MailDoing) or step.mail_on_error:
            found["smtp"] = to_plain(dag.smtp)
        if step.mail_on_error and dag.error_mail is not None:
            found["error_mail"] = to_plain(dag.error_mail)
        if step.name in self.routed:
            found["router"] = self.routed[step.name]
        if step.preconditions or step.id:
            found["place"] = [step.line, step.column]
        return found

    def _placement(self) -> Placement:
        """Return where the run begins. Its other steps go where this one went."""
        selector = self.dag.worker_selector
        if self.at is not None or selector is None or selector.local:
            return self.at or ANYWHERE
        return Placement(selector={label.name: label.value.raw for label in selector.labels})


# ---------------------------------------------------------------- parts


def _targets(router: Step) -> Iterable[str]:
    doing = router.doing
    return [target for route in doing.routes for target in route.targets] if isinstance(doing, RouterDoing) else []


def _action(step: Step) -> str:
    if isinstance(step.doing, SubDagDoing | ForeachDoing):
        return RUN
    return HUMAN if isinstance(step.doing, HumanDoing) else STEP


def _approval(name: str) -> Gate:
    return Gate(kind=GateKind.APPROVAL, name=name)


def _labels(step: Step) -> Mapping[str, str]:
    labels = {"output": OUTPUTS}
    if isinstance(step.doing, HumanDoing):
        labels |= _asked(step.doing.prompt.raw if step.doing.prompt else "", step.name)
    return labels


def _asked(prompt: str, name: str) -> dict[str, str]:
    return {"output": OUTPUTS, "approval": name, **({"prompt": prompt} if prompt else {})}


def _rerun(dag: DagFile) -> Retry | None:
    retry = dag.retry
    if retry is None or not isinstance(retry.limit, int) or not isinstance(retry.interval_s, int):
        return None
    longest = retry.max_interval_s if isinstance(retry.max_interval_s, int) and retry.max_interval_s else None
    return Retry(
        attempts=retry.limit + 1,
        strategy=Strategy.EXPONENTIAL if retry.backoff else Strategy.FIXED,
        base_s=float(retry.interval_s),
        factor=retry.backoff or 1.0,
        max_s=float(longest or 365 * 86_400),
        jitter=0.0,
    )


def _unless_default(name: str, value: object, default: object) -> Mapping[str, object]:
    return {name: value} if value != default else _NOTHING
