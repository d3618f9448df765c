"""`provisioning completion SHELL`: the script that a shell sources."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, CompletionItem, ShellComplete, add_completion_class, get_completion_class

from provisioning_cli.context import App, pass_app
from provisioning_cli.groups import Command
from provisioning_cli.main import completion_variable

NUSHELL = """\
# %(program)s: completion for Nushell. Save it, and `source` it in config.nu.
let %(function)s_before = ($env.config.completions?.external?.completer? | default {|spans| null })
$env.config.completions.external.enable = true
$env.config.completions.external.completer = {|spans: list<string>|
    if $spans.0 == "%(program)s" {
        with-env { %(variable)s: "nushell_complete", PROVISIONING_SPANS: ($spans | to json --raw) } { ^%(program)s }
        | from json
    } else {
        do $%(function)s_before $spans
    }
}
"""


class NushellComplete(ShellComplete):
    """Nushell asks an external completer with the words so far and takes JSON."""

    name = "nushell"
    source_template = NUSHELL

    def source(self) -> str:
        """Return the script."""
        return self.source_template % {"function": self.func_name, "variable": self.complete_var, "program": self.prog_name}

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is being typed, and that one."""
        import json
        import os

        spans = [str(word) for word in json.loads(os.environ.get("PROVISIONING_SPANS") or "[]")]
        return spans[1:-1], spans[-1] if len(spans) > 1 else ""

    def format_completion(self, item: CompletionItem) -> str:
        """Return one candidate."""
        import json

        return json.dumps({"value": item.value, "description": item.help or ""})

    def complete(self) -> str:
        """Return all candidates as a JSON list; null has Nushell offer files."""
        args, incomplete = self.get_completion_args()
        found = self.get_completions(args, incomplete)
        named = [item for item in found if item.type == "plain"]
        return "null" if found and not named else "[" + ", ".join(map(self.format_completion, named)) + "]"


class _Bash(BashComplete):
    """Bash, without starting one to ask for its version: the script may be made on another machine."""

    @staticmethod
    def _check_version() -> None: ...


def register() -> None:
    """Teach click about Nushell."""
    add_completion_class(NushellComplete)


def script(shell: str, program: str = "provisioning") -> str:
    """Return the script that completes a program's calls in a shell."""
    register()
    kind = _Bash if shell == "bash" else get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    return kind(click.Command(program), {}, program, completion_variable(program)).source()


@click.command(cls=Command)
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish", "nushell"]))
@pass_app
def completion(app: App, shell: str) -> None:
    """Print the completion script for SHELL.

    bash: eval "$(provisioning completion bash)" in ~/.bashrc. zsh: the same in ~/.zshrc. fish: `provisioning completion fish |
    source`. Nushell: save the script to a file and source that in config.nu. The same for `dag-engine`.
    """
    text = script(shell, click.get_current_context().find_root().info_name or "provisioning")
    app.emit({"shell": shell, "script": text}, lambda: text if text.endswith("\n") else f"{text}\n")
