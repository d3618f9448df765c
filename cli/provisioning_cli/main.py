"""`provisioning`: the root command. `call` and `run`: the one place where errors become messages and exit codes."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import click

from provisioning import __version__
from provisioning_cli.context import VARIABLES, App
from provisioning_cli.groups import LazyGroup

COMMANDS = {
    "workspace": "Make, choose and check workspaces.",
    "server": "The servers of an infra: list, check, trust, log in.",
    "taskserv": "Install services with everything they need.",
    "dag": "Show, check, export and plan the DAG of formulas; DAGs of Dagu files.",
    "run": "Look at runs, follow, steer, retry and cancel them.",
    "schedule": "When DAGs are due; pause that, and run what is past.",
    "queue": "What is ready or waits for its turn.",
    "deadletter": "Steps that failed for good: look, replay, remove.",
    "state": "What is recorded of every taskserv on every server.",
    "worker": "Workers of a cluster: start one, list them.",
    "user": "Who may use the server.",
    "token": "Tokens with which programs use the server.",
    "completion": "Shell completion for bash, zsh, fish and nushell.",
}
WHERE = {"token": "user:token"}
ALIASES = {"ws": "workspace", "s": "server", "t": "taskserv"}
NAME = "provisioning"


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    aliases=ALIASES,
    where=WHERE,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 a step failed, 2 usage, 3 configuration, 4 not found, 5 health gate, 6 locked, 7 server,"
    " 130 interrupted.",
)
@click.version_option(__version__, "--version", message="%(prog)s %(version)s")
def provisioning() -> None:
    """Bring a set of servers to a declared state: a DAG of formulas, installed over SSH, gated, resumed."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    run(args, root=provisioning, name=NAME)


def run(args: Sequence[str] | None, *, root: click.Command, name: str) -> NoReturn:
    """Run the command line of a program of ours and leave with its exit code."""
    gc.set_threshold(200_000, 20, 50)  # modules and graphs are small objects that live to the end: 40 % less time for 10,000
    arguments = sys.argv[1:] if args is None else list(args)
    _leave_no_core()
    _open_streams()
    _leave(call(arguments, root=root, name=name))


def call(arguments: Sequence[str], app: App | None = None, *, root: click.Command = provisioning, name: str = NAME) -> int:
    """Run one command of a program and return its exit code; every error has been reported."""
    app = app or App()
    completing = completion_variable(name) in os.environ
    try:
        _prepare(completing=completing)
        code = root.main(args=list(arguments), prog_name=name, standalone_mode=False, obj=app)
        sys.stdout.flush()
    except BaseException as error:
        if isinstance(error, SystemExit):  # how click ends a completion
            return error.code if isinstance(error.code, int) else 0
        if completing:  # a message would stand in the line that somebody is typing
            return 1
        from provisioning_cli.failures import exit_code

        return exit_code(error, as_json=app.json or _asked_for_json(arguments))
    return code if isinstance(code, int) else 0


def completion_variable(name: str) -> str:
    """Return the variable with which a shell asks a program for completions."""
    return f"_{name}_COMPLETE".replace("-", "_").upper()


def _leave(code: int) -> NoReturn:
    """End the process without waiting for its threads: one may be in a login that nobody wants any more, for seconds."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _leave_no_core() -> None:
    """Let no dump of this process's memory be written when it crashes: there may be secrets in it."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _open_streams() -> None:
    """Put nothing in the place of standard streams that were closed, or the next file we open would be taken for one."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this stream's
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _prepare(*, completing: bool) -> None:
    """Make printing never fail for want of a character, and let shells ask for completions."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    if completing:
        from provisioning_cli.completion import register

        register()


def _asked_for_json(arguments: Sequence[str]) -> bool:
    """Whether JSON was asked for, also in a call that could not be parsed."""
    text = " ".join(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    padded = f" {text} "
    forms = (" -o json ", " -ojson ", " --output json ", " --output=json ")
    return any(form in padded for form in forms) or os.environ.get(VARIABLES["output"]) == "json"


if __name__ == "__main__":
    main()
