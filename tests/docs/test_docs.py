from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from provisioning import errors
from provisioning.settings import reference
from provisioning_cli.main import provisioning

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LINK = re.compile(r"\]\(([^)#]+)(?:#([^)]*))?\)")
CALL = re.compile(r"provisioning ([a-z]+) ([a-z]+)\b")


def named(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the commands that stand in code, as noun and verb."""
    code = re.findall(r"```.*?```|`[^`]+`", page.read_text("utf-8"), re.DOTALL)
    for text in code:
        yield from CALL.findall(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = [target for target, _ in LINK.findall(page.read_text("utf-8")) if "://" not in target]

    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_is_named_exists(page: Path) -> None:
    context = click.Context(provisioning)
    for noun, verb in named(page):
        group = provisioning.get_command(context, noun)
        assert group is not None, f"{noun} {verb}"
        known = group.list_commands(context) if isinstance(group, click.Group) else ["bash", "zsh", "fish", "nushell"]
        assert verb in known, f"{noun} {verb}"


def test_the_table_of_commands_is_complete() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8")
    context = click.Context(provisioning)
    for noun in provisioning.list_commands(context):
        group = provisioning.get_command(context, noun)
        verbs = group.list_commands(context) if isinstance(group, click.Group) else []
        row = next(line for line in page.splitlines() if line.startswith(f"| `{noun}`"))

        assert set(verbs) <= set(re.findall(r"`([a-z]+)`", row))


def test_the_settings_are_those_that_the_program_has() -> None:
    assert reference() in (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")


def test_the_exit_codes_are_those_of_the_errors() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8")
    documented = {int(code) for code in re.findall(r"(?m)^\| (\d+) \|", page)}
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ProvisioningError)]

    assert documented == {0, *(one.exit_code for one in classes)}
