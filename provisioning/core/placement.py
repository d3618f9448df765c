"""Where a step goes: which target, which worker, or why nowhere now. Pure: who is there is passed in.

Without a roster there is one process that takes everything: then only what names a target or a worker has one, and labels mean
nothing. With one, no more is handed out than twice what the workers can have at once, for each target.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass as mutable
from dataclasses import field, replace
from zlib import crc32

from provisioning.core.frozen import dataclass
from provisioning.core.model import ANYWHERE, WAITING_ACTIONS, Fallback, Placement, Step
from provisioning.core.presence import OWN, Presence, is_own, slots, worker_target
from provisioning.core.run import Run, StepRun

TIMES = 2
"""How many tasks a slot may have waiting or running: one that runs, and one that can begin at once after it."""
LABELS = "\0"  # between the parts of a key
SHOWN = 3  # workers, in a message


@mutable(slots=True)
class Roster:
    """The workers that are there, and what was handed to them. Changed by whoever drives the runs."""

    there: tuple[Presence, ...] = ()  # see `core.presence.fresh`
    lingering: frozenset[str] = frozenset()  # names of those that were not heard of, but are not given up yet
    out: Counter[str] = field(default_factory=Counter)  # target -> tasks
    named: Counter[str] = field(default_factory=Counter)  # own targets of workers -> tasks, those that take no slot as well
    having: dict[tuple[str, str], tuple[str, bool]] = field(
        default_factory=dict
    )  # (run, step) -> target, whether it only waits
    _by_name: dict[str, Presence] = field(default_factory=dict)
    _slots: dict[str, int] = field(default_factory=dict)

    def update(self, there: Sequence[Presence], lingering: Collection[str] = ()) -> bool:
        """Take who is there now; say whether that changes what may be handed out, or who is given up."""
        before = _standing(self.there), self.lingering
        self.there, self.lingering = tuple(there), frozenset(lingering)
        self._by_name = {one.name: one for one in self.there}
        self._slots.clear()
        return before != (_standing(self.there), self.lingering)

    def worker(self, target: str) -> Presence | None:
        """Return the worker whose own target this is, if it is there."""
        return self._by_name.get(target.removeprefix(OWN)) if is_own(target) else None

    def slots(self, target: str) -> int:
        """Return how many tasks for a target can run at once; "" is any worker."""
        if target not in self._slots:
            self._slots[target] = slots(self.there, target)
        return self._slots[target]

    def room(self, target: str) -> int:
        """Return how many more tasks may be handed out for a target."""
        return TIMES * self.slots(target) - self.out[target]

    def load(self, worker: Presence) -> float:
        """Return what a worker has, as a share of its slots: what it said, or what it was handed since, whichever is more."""
        return max(worker.in_use, self.out[worker_target(worker.name)]) / max(1, worker.capacity)

    def began(self, run: str, step: Step, target: str) -> None:
        """Count a task that goes out. What only waits for other runs takes no slot."""
        waits = step.action.type in WAITING_ACTIONS
        if (run, step.id) not in self.having:
            self.having[run, step.id] = target, waits
            if not waits:
                self.out[target] += 1
            if is_own(target):
                self.named[target] += 1

    def ended(self, run: str, step: str) -> str | None:
        """Count one that is back; return the target that has room now, if there is one."""
        target, waits = self.having.pop((run, step), ("", True))
        _take_off(self.named, target)
        if waits:
            return None
        _take_off(self.out, target)
        return target

    def workers_named(self) -> set[str]:
        """Return the names of the workers that have something which was sent to them by name."""
        return {target.removeprefix(OWN) for target in self.named}

    def strays(self) -> list[tuple[str, str]]:
        """Return (run, step) of what was sent by name to workers that are given up: nobody else will take it."""
        given_up = self.workers_named() - self._by_name.keys() - self.lingering
        if not given_up:
            return []
        return [key for key, (target, _waits) in self.having.items() if is_own(target) and target.removeprefix(OWN) in given_up]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a step goes. With a `problem` it fails; with `waits` it is not handed out until there is room, or other workers.

    `key` names what it waits for: a target, or a target, `LABELS` and labels.
    """

    target: str = ""
    problem: str = ""
    waits: str = ""
    key: str = ""


def place(run: Run, step: StepRun, roster: Roster | None = None) -> Place:
    """Return where a ready step goes now."""
    placement = followed(run, step)
    anchor = _anchor(run, step, placement, roster)
    if anchor:
        return _beside(run, step, anchor, placement, roster)
    if roster is None:
        return Place(target=placement.target or "")
    return _among(run, step, placement, roster)


def followed(run: Run, step: StepRun) -> Placement:
    """Return the placement that counts: following leads to another step's, without a circle."""
    placement = step.spec.placement
    while placement.follow_target_of is not None:
        placement = run.steps[placement.follow_target_of].spec.placement
    return placement


def anchor_of(run: Run, step: StepRun) -> str:
    """Return the step beside which this one belongs where there are several machines, "" for none."""
    placement = followed(run, step)
    if placement.colocate_with is not None:
        return placement.colocate_with
    beside = run.workflow.policy.beside
    return beside if placement == ANYWHERE and beside in run.steps and beside != step.spec.id else ""


def home(run: Run, anchor: str) -> str:
    """Return the target of the worker beside which steps belong: where they went last, else who ran the step; "" is nobody."""
    worker = run.steps[anchor].worker
    return run.homes.get(anchor) or (worker_target(worker) if worker else "")


# ---------------------------------------------------------------- beside another step


def _anchor(run: Run, step: StepRun, placement: Placement, roster: Roster | None) -> str:
    """Return the anchor that counts: one process has everything beside everything, so only what a step asks for does."""
    if roster is None:
        return placement.colocate_with or ""
    anchor = anchor_of(run, step)
    return anchor if placement.colocate_with is not None or (anchor and home(run, anchor)) else ""


def _beside(run: Run, step: StepRun, anchor: str, placement: Placement, roster: Roster | None) -> Place:
    target = home(run, anchor)
    if not target:
        return Place(problem=f"it belongs beside {anchor}, which no worker has run")
    if roster is None:
        return Place(target=target)
    worker = roster.worker(target)
    if worker is not None:
        return _if_room(step, target, roster, f"worker {worker.name} has as much as it can take", target)
    fallback = placement.fallback if placement.colocate_with is not None else run.workflow.policy.if_gone
    gone = f"it belongs beside {anchor}, and worker {target.removeprefix(OWN)}, which ran that, is gone"
    if fallback is Fallback.FAIL:
        return Place(problem=gone)
    if fallback is Fallback.WAIT:
        return Place(waits=gone, key=target)
    return _moved(run, step, anchor, roster)


def _moved(run: Run, step: StepRun, anchor: str, roster: Roster) -> Place:
    """Return a worker that the anchor itself could have run at: from now on it is the home of all that belong beside it."""
    placement = followed(run, run.steps[anchor])
    while placement.colocate_with is not None:
        placement = followed(run, run.steps[placement.colocate_with])
    return _concrete(run, step, placement, roster)


# ---------------------------------------------------------------- by target and labels


def _among(run: Run, step: StepRun, placement: Placement, roster: Roster) -> Place:
    target = placement.target or ""
    if is_own(target) and roster.worker(target) is None and placement.fallback is Fallback.RETARGET:
        return _concrete(run, step, replace(placement, target=None), roster)
    if placement.selector or (run.workflow.policy.beside == step.spec.id):
        return _concrete(run, step, placement, roster)
    if roster.slots(target):
        return _if_room(step, target, roster, f"every worker{_of(target)} has as much as it can take", target)
    return _nobody(placement, target, roster)


def _concrete(run: Run, step: StepRun, placement: Placement, roster: Roster) -> Place:
    """Return the worker with the least to do among those that may run it. Ties are spread over the steps."""
    target, labels = placement.target or "", placement.selector
    fit = [one for one in roster.there if one.serves(target) and one.has(labels) and one.capacity > 0]
    if not fit:
        return _nobody(placement, target, roster)
    busy = f"every worker{_of(target)}{_with(labels)} has as much as it can take"
    free = [one for one in fit if roster.room(worker_target(one.name)) > 0] or fit
    least = min(free, key=lambda one: (roster.load(one), crc32(f"{run.id}/{step.spec.id}/{one.name}".encode())))
    return _if_room(step, worker_target(least.name), roster, busy, _key(placement))


def _if_room(step: StepRun, target: str, roster: Roster, busy: str, key: str) -> Place:
    if step.spec.action.type in WAITING_ACTIONS or roster.room(target) > 0:
        return Place(target=target)
    return Place(waits=f"waits for a free worker: {busy}", key=key)


def _key(placement: Placement) -> str:
    return LABELS.join((placement.target or "", *(f"{name}={value}" for name, value in sorted(placement.selector.items())), ""))


def _nobody(placement: Placement, target: str, roster: Roster) -> Place:
    wanted = f"no worker{_of(target)}{_with(placement.selector)} is there"
    if placement.fallback is not Fallback.FAIL:
        return Place(waits=f"{wanted}; {_who(placement, roster)}", key=_key(placement))
    return Place(problem=f"{wanted}; {_who(placement, roster)}")


# ---------------------------------------------------------------- words


def _of(target: str) -> str:
    return f" of {target}" if target else ""


def _with(labels: Mapping[str, str]) -> str:
    return " with " + ", ".join(f"{name}={value}" for name, value in sorted(labels.items())) if labels else ""


def _who(placement: Placement, roster: Roster) -> str:
    """Return who is there instead, with what they say of what was asked for."""
    if not roster.there:
        return "there is no worker at all"
    told = [_said(one, placement) for one in roster.there[:SHOWN]]
    more = len(roster.there) - len(told)
    return "there are " + ", ".join(told) + (f" and {more} more" if more else "")


def _said(one: Presence, placement: Placement) -> str:
    if placement.selector:
        has = [f"{name}={one.labels[name]}" for name in sorted(placement.selector) if name in one.labels]
        return f"{one.name} ({', '.join(has) or 'without these labels'})"
    return f"{one.name} ({', '.join(one.targets or ()) or 'no target'})"


def _take_off(counts: Counter[str], target: str) -> None:
    if target in counts:
        counts[target] -= 1
        if not counts[target]:
            del counts[target]


def _standing(there: Sequence[Presence]) -> Sequence[object]:
    return [(one.name, one.targets, one.labels, one.capacity) for one in there]
