"""Tell the story of the demo on real servers with the real command, and check every fact in it.

python workspaces/demo/demo.py                 the story; exit 1 where it does not hold
python workspaces/demo/demo.py --up FOLDER     only the servers and a workspace that points at them, to play with
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from servers import ThrowawayServers, take_down
from sshd import SshdError, sshd_path
from stage import COMMAND, HERE, Stage, StoryError, check, narrate, set_up, stage

NODES = 11
GATES = 6
TYPO = ('(http number "/healthz")', '(http number "/healthy")')  # in the gate of both apps


def tell() -> None:
    """The whole story; without sshd, what can be told of it."""
    if sshd_path() is None:
        narrate("There is no OpenSSH server on this machine to log in to. What would be done, if there were:")
        subprocess.run([COMMAND, "-w", HERE, "dag", "plan"], check=True)
        raise StoryError("the rest needs sshd; as root: apt-get install openssh-server")
    with stage() as shop:
        names = ", ".join(f"{name} on port {shop.servers.server(name).port}" for name in shop.servers.names)
        narrate(f"Four servers: {names}. Each is an sshd of its own; they exist as long as this story.")
        plan(shop)
        first_run(shop)
        second_run(shop)
    with stage() as shop:
        narrate("The same shop once more, on four new servers. This time somebody mistypes the path of the apps' gates:")
        shop.edit("dag.ncl", *TYPO)
        done = killed(shop)
        halted(shop, done)
        fixed(shop)
        look_back(shop)


def plan(shop: Stage) -> None:
    """Nothing is written and nobody is contacted."""
    narrate("What is there to do? The plan reads files, and nothing else.")
    shop.run("dag", "show")
    shop.run("dag", "plan")
    steps = shop.facts("dag", "plan")["steps"]
    kinds = [step["kind"] for step in steps]
    check((kinds.count("node"), kinds.count("gate")) == (NODES, GATES), f"the plan has other steps: {kinds}")
    check({step["action"] for step in steps if step["kind"] == "node"} == {"create"}, "every node should be created")
    check(not shop.resources(), "planning has written a state file")


def first_run(shop: Stage) -> None:
    """Everything is installed, and the shop sells."""
    narrate("Install it. Independent formulas run side by side; nothing starts before the gates in front of it are open.")
    shop.run("taskserv", "create", "--all")
    states(shop, "node", {"succeeded"})
    states(shop, "gate", {"succeeded"})
    check(len(shop.completed()) == NODES, f"the state file has {len(shop.completed())} completed taskservs, not {NODES}")
    narrate("Is the shop open? Two visits and an order, through the balancer on edge:")
    visits = [shop.ask("balancer", "/") for _ in range(2)]
    print(*(f"  {visit}" for visit in visits), f"  {order(shop)}", sep="\n", flush=True)
    check({visit.split(",")[0] for visit in visits} == {"hello from app-1", "hello from app-2"}, "both apps should answer")


def second_run(shop: Stage) -> None:
    """Nothing is installed twice; the gates are asked again."""
    narrate("Once more: every node is unchanged, and every gate is verified again.")
    before = shop.services()
    shop.run("taskserv", "create", "--all")
    states(shop, "node", {"unchanged"})
    states(shop, "gate", {"succeeded"})
    check(shop.services() == before, "a service was started again although nothing had changed")


def killed(shop: Stage) -> set[tuple[str, str]]:
    """The runner dies in the middle; return what had been completed by then."""
    narrate("Install it, and kill the runner with signal 9 in the middle.")
    shop.run_and_kill("taskserv", "create", "--all", when=lambda: len(shop.completed()) >= 3)
    done = shop.completed()
    check(3 <= len(done) < NODES, f"{len(done)} taskservs were completed when the runner was killed")
    narrate(f"Killed. The state file is whole, and has {len(done)} taskservs completed:")
    shop.run("state", "show")
    return done


def halted(shop: Stage, done: set[tuple[str, str]]) -> None:
    """The next run resumes, and stops where the gate does not open."""
    narrate("Run it again. It resumes, and halts at the gate with the typing error: exit code 5.")
    shop.run("taskserv", "create", "--all", expect=5)
    run = shop.last_run()
    kept = [step for step in run["steps"] if (step.get("server"), step.get("taskserv")) in done]
    again = {step["id"] for step in kept if step["state"] != "unchanged"}
    check(not again, f"completed before the kill, but run again: {sorted(again)}")
    failed = {step["id"] for step in run["steps"] if step["kind"] == "gate" and step["state"] == "failed"}
    check(bool(failed) and failed <= {"app-one/gate", "app-two/gate"}, f"the gates that failed are {sorted(failed)}")
    check(("edge", "load-balancer") not in shop.completed(), "the balancer was installed behind a gate that is closed")


def fixed(shop: Stage) -> None:
    """With the path corrected, the chain goes on from there."""
    narrate("Correct the path, and run it again: it goes on where it had stopped.")
    shop.edit("dag.ncl", *reversed(TYPO))
    before = shop.completed()
    shop.run("taskserv", "create", "--all")
    ran = [step for step in shop.last_run()["steps"] if step["kind"] == "node" and step["state"] == "succeeded"]
    fresh = {(step["server"], step["taskserv"]) for step in ran}
    check(not fresh & before, f"installed twice: {sorted(fresh & before)}")
    check(len(shop.completed()) == NODES, "not everything is completed")
    print(f"  {order(shop)}", flush=True)


def look_back(shop: Stage) -> None:
    """What was recorded."""
    narrate("What happened here?")
    shop.run("run", "list")
    shop.run("state", "show")


def order(shop: Stage) -> str:
    """Place an order through the balancer and wait until the worker has done it."""
    number = shop.ask("balancer", "/orders", method="POST", body="a cup of tea")
    until = time.monotonic() + 30
    while not (text := shop.ask("balancer", f"/orders/{number}")).startswith("done"):
        check(time.monotonic() < until, f"order {number} is not done after 30 s: {text}")
        time.sleep(0.05)
    return f"order {number} is {text}"


def states(shop: Stage, kind: str, expected: set[str]) -> None:
    """Check what became of the nodes or gates in the newest run."""
    found = {step["id"]: step["state"] for step in shop.last_run()["steps"] if step["kind"] == kind}
    wrong = {step: state for step, state in found.items() if state not in expected}
    check(len(found) == (NODES if kind == "node" else GATES) and not wrong, f"not {' or '.join(expected)}: {wrong or found}")


def keep(folder: Path) -> None:
    """Start the servers, leave them running, and say what to try."""
    take_down(folder)
    servers = ThrowawayServers(folder=folder)
    servers.start()
    servers.record()
    shop = set_up(servers.folder, servers)
    command = servers.folder / "provisioning"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(str(COMMAND))} -w {shlex.quote(str(shop.workspace))} "$@"\n', "utf-8")
    command.chmod(0o755)
    print(
        TRY.format(
            command=f"{folder}/provisioning", folder=folder, workspace=f"{folder}/workspace", port=shop.ports["balancer"]
        )
    )


TRY = """\
Four servers are up, and {workspace} points at them. Try:

    {command} dag show                          the DAG, with the state of each formula
    {command} taskserv create load-balancer     the balancer and everything it needs
    {command} taskserv create --all             the rest
    curl http://127.0.0.1:{port}/                        a visit to the shop, once the balancer is there
    {command} taskserv create web-app --check   what would happen now, and why
    {command} state show                        what is installed where
    {command} run list                          what happened

Break something: edit {workspace}/dag.ncl, kill a service, press Ctrl-C in the middle.
`make demo-down` ends the servers and removes {folder}.
"""


def terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    """End as after Ctrl-C, so that the servers are ended too."""
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say; return the exit code."""
    signal.signal(signal.SIGTERM, terminated)
    started = time.monotonic()
    try:
        match arguments:
            case []:
                tell()
            case ["--up", folder]:
                keep(Path(folder))
                return 0
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except (StoryError, SshdError) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; the servers are gone", file=sys.stderr)
        return 130
    narrate(f"The story took {time.monotonic() - started:.0f} s. The servers are gone, and nothing is left running.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
