"""Commands and groups with the options that every one of them takes, and the nearest name for a wrong one.

Light on purpose: `provisioning --help` needs this module and click, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType

import click

from provisioning_cli.context import App

PACKAGE = "provisioning_cli"
NOWHERE: Mapping[str, str] = MappingProxyType({})

Options = Callable[[], list[click.Parameter]]


def remember(ctx: click.Context, param: click.Parameter, value: str | bool | None) -> str | bool | None:
    """Keep the option where every command finds it; the innermost one that was given wins."""
    if value not in (None, False) and param.name is not None:
        ctx.ensure_object(App).given[param.name] = str(value)
    return value


def output_option() -> click.Option:
    """Return `-o`, which every command takes."""
    return click.Option(
        ["-o", "--output"],
        type=click.Choice(["table", "json"]),
        expose_value=False,
        callback=remember,
        help="How to print the result.",
    )


def workspace_options() -> list[click.Parameter]:
    """Return what every command of `provisioning` takes."""
    return [
        click.Option(["-w", "--workspace"], metavar="PATH", expose_value=False, callback=remember, help="Its folder."),
        click.Option(["--infra"], metavar="NAME", expose_value=False, callback=remember, help="One of its infras."),
        output_option(),
    ]


class Command(click.Command):
    """A command that takes the common options of its root as well as the root does: `-w`, `--infra` and `-o`."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters, the common ones, then `--help`."""
        return with_options(super().get_params(ctx), _of_root(ctx))


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
    common: Options = staticmethod(workspace_options)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the group's own parameters, the common ones, then `--help`."""
        return with_options(super().get_params(ctx), _of_root(ctx))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or fail naming the nearest one."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(unknown("command", args[0], self.list_commands(ctx)), ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """Its commands live in modules that are imported when they are used. Help needs none of them."""

    def __init__(
        self,
        *,
        lazy: Mapping[str, str],
        aliases: Mapping[str, str] = NOWHERE,
        where: Mapping[str, str] = NOWHERE,
        common: Options = workspace_options,
        **settings: object,
    ) -> None:
        """`lazy`: name -> one line of help. `where`: name -> `module:command`, where both are not called like it.

        `common` are the options that every command takes if this is the root.
        """
        super().__init__(**settings)  # type: ignore[arg-type]
        self.lazy = lazy
        self.aliases = aliases
        self.where = where
        self.common = common

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- as click calls it
        """Return the names, without the aliases."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- as click calls it
        """Import the command's module and return the command."""
        name = self.aliases.get(cmd_name, cmd_name)
        if name not in self.lazy:
            return None
        module, _, attribute = self.where.get(name, f"{name}:{name}").partition(":")
        command: click.Command = getattr(import_module(f"{PACKAGE}.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- as click calls it
        """Write the list of commands without importing them."""
        short = {name: alias for alias, name in self.aliases.items()}
        rows = [(f"{name}, {short[name]}" if name in short else name, text) for name, text in self.lazy.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def with_options(own: list[click.Parameter], more: Iterable[click.Parameter]) -> list[click.Parameter]:
    """Return a command's parameters with more options before `--help`; those that it has already are left out."""
    taken = {option for param in own for option in param.opts}
    free = [param for param in more if not taken.intersection(param.opts)]
    at = next((index for index, param in enumerate(own) if "--help" in param.opts), len(own))
    return [*own[:at], *free, *own[at:]]


def _of_root(ctx: click.Context) -> list[click.Parameter]:
    root = ctx.find_root().command
    return root.common() if isinstance(root, Group) else workspace_options()


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that nothing has."""
    from provisioning.core.suggest import nearest

    choices: Sequence[str] = tuple(known)
    near = nearest(name, choices)
    return f"no such {kind} {name!r}" + (f", did you mean {near!r}?" if near else f"; there are: {', '.join(choices)}")
