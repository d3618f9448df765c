"""What a step of a Dagu file does. Which keys and which executor said it no longer matters here."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from provisioning.core.frozen import dataclass

if TYPE_CHECKING:
    from provisioning.core.dagu.declared import Step

MAX_CONCURRENT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text as it is written, and where; it is expanded when the DAG runs."""

    raw: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A name and its text: a header, an argument. Without a name it counts by its position."""

    name: str | None
    value: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Parameters for another DAG: one text, or pairs."""

    text: Text | None = None
    pairs: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellDoing:
    """Commands one after the other until one fails, or a script, or a program with arguments and no shell.

    With a script and one command, the command is the program that gets the script's file.
    """

    commands: tuple[Text, ...] = ()
    script: Text | None = None
    argv: tuple[Text, ...] = ()
    shell: tuple[Text, ...] = ()  # empty: the DAG's


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpDoing:
    """One request; the answer's body is the step's stdout."""

    method: Text
    url: Text
    headers: tuple[Pair, ...] = ()
    query: tuple[Pair, ...] = ()
    body: Text | None = None
    timeout_s: int = 0
    silent: bool = False  # only the body, no status and headers
    debug: bool = False
    as_json: bool = False  # status, headers and body as one JSON object
    skip_tls_verify: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SshLogin:
    """Where and how to log in. Host keys are verified as everywhere: `strict_host_key: false` is not followed."""

    host: Text | None = None
    user: Text | None = None
    port: Text | None = None
    key: Text | None = None
    password: Text | None = None
    known_hosts: Text | None = None
    strict_host_key: bool = True
    timeout_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SshDoing:
    """Commands or a script on another machine. What `login` leaves out, the DAG's `ssh` has."""

    login: SshLogin
    commands: tuple[Text, ...] = ()
    script: Text | None = None
    shell: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container to start from an image, or (`exec_in`) a running one."""

    image: Text | None = None
    exec_in: Text | None = None
    name: Text | None = None
    pull_policy: str = "missing"  # missing | always | never
    env: tuple[Pair, ...] = ()
    volumes: tuple[Text, ...] = ()
    user: Text | None = None
    working_dir: Text | None = None
    platform: Text | None = None
    ports: tuple[Text, ...] = ()
    network: Text | None = None
    keep: bool = False
    shell: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerDoing:
    """Commands or a script in a container; with neither, what its image does."""

    container: Container
    commands: tuple[Text, ...] = ()
    script: Text | None = None
    argv: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JqDoing:
    """A filter over JSON."""

    filter: Text
    data: Text | None = None
    raw: bool = False  # texts without quotes


@dataclass(frozen=True, slots=True, kw_only=True)
class MailDoing:
    """One mail."""

    sender: Text | None = None
    to: tuple[Text, ...] = ()
    cc: tuple[Text, ...] = ()
    bcc: tuple[Text, ...] = ()
    subject: Text | None = None
    message: Text | None = None
    attachments: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of a loop: a text, or fields that `${ITEM.name}` reads."""

    text: Text | None = None
    fields: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """Each item is one run of the sub-DAG. `reference` is one text that becomes the items."""

    items: tuple[Item, ...] = ()
    reference: Text | None = None
    max_concurrent: int = MAX_CONCURRENT


@dataclass(frozen=True, slots=True, kw_only=True)
class SubDagDoing:
    """A run of another DAG, or one for each item."""

    dag: Text
    params: Arguments = Arguments()
    parallel: Parallel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeachDoing:
    """Steps that are done for each item."""

    items: tuple[Item, ...] = ()
    reference: Text | None = None
    variable: str = "item"
    key: Text | None = None
    max_concurrent: int = MAX_CONCURRENT
    steps: tuple[Step, ...] = ()
    collect: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Steps that run when the value matches: a literal, or `re:` and a pattern."""

    pattern: str
    targets: tuple[str, ...]  # names of steps


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterDoing:
    """Chooses which steps go on."""

    value: Text
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanDoing:
    """Waits for a person."""

    prompt: Text | None = None
    inputs: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionDoing:
    """A command that is registered under an id in `functions.toml`."""

    function: str
    params: Arguments = Arguments()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoopDoing:
    """Nothing: it succeeds."""


Doing: TypeAlias = (
    ShellDoing
    | HttpDoing
    | SshDoing
    | DockerDoing
    | JqDoing
    | MailDoing
    | SubDagDoing
    | ForeachDoing
    | RouterDoing
    | HumanDoing
    | FunctionDoing
    | NoopDoing
)
