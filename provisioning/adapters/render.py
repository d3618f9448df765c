"""Render the templates of one bundle: jinja2 in its immutable sandbox, every unknown name an error.

Beside jinja2's own: `secret("name")` is the value of a secret that the workspace declares, `fail("text")` refuses the
request, the filter `sh` quotes for a shell (a list becomes several words), `tojson` escapes nothing for HTML, and true,
false and null print as shells and configuration files write them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import CodeType, TracebackType
from typing import NoReturn

from jinja2 import (
    BaseLoader,
    BytecodeCache,
    Environment,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    Undefined,
    UndefinedError,
)
from jinja2.bccache import Bucket
from jinja2.exceptions import TemplateRuntimeError
from jinja2.utils import missing

from provisioning.adapters.prepare import visible
from provisioning.adapters.sandbox import Sandbox
from provisioning.core.faults import Fault
from provisioning.core.hosts import BundleRequest
from provisioning.core.mask import Masker
from provisioning.core.ports import Secrets
from provisioning.core.shown import escaped, quote
from provisioning.core.suggest import nearest
from provisioning.errors import ConfigError

BUILT_IN = ("secret", "fail", "range", "dict", "lipsum", "cycler", "joiner", "namespace")


class Compiled(BytecodeCache):
    """What templates compile to, by name and text: each is compiled once, however many servers it is rendered for.

    Compiling costs twenty times what rendering does. May be used by several threads.
    """

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """See `BytecodeCache`."""
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """See `BytecodeCache`."""
        if bucket.code is not None:
            self._codes[bucket.key, bucket.checksum] = bucket.code


class Renderer:
    """Renders the templates of one request. `used` has the secrets asked for so far, by name."""

    def __init__(self, request: BundleRequest, secrets: Secrets, templates: Mapping[str, bytes], compiled: Compiled) -> None:
        self.used: dict[str, str] = {}
        self._request = request
        self._secrets = secrets
        self._asked = False
        self._variables = visible(request)
        self._environment = _environment(_Files(templates), self._secret, tuple(self._variables), compiled)

    def render(self, name: str) -> tuple[str, bool]:
        """Return the text, and whether it holds a secret. Raises ConfigError naming file, line and what is wrong."""
        self._asked = False
        try:
            return self._environment.get_template(name).render(self._variables), self._asked
        except ConfigError as error:
            self._refuse(name, _line(error.__traceback__, name), error.message, hint=error.hint)
        except TemplateSyntaxError as error:
            self._refuse(error.name or name, error.lineno, error.message or "syntax error")
        except TemplateNotFound as error:
            self._refuse(name, _line(error.__traceback__, name), f"no template {quote(str(error.name))} in the profile")
        except TemplateError as error:
            self._refuse(name, _line(error.__traceback__, name), error.message or "cannot be rendered")
        except Exception as error:  # an expression can raise whatever it likes
            self._refuse(name, _line(error.__traceback__, name), f"{type(error).__name__}: {error}")

    def _refuse(self, name: str, line: int, what: str, hint: str = "") -> NoReturn:
        """Raise the ConfigError. Not chained: the cause's frames hold variables."""
        masker = Masker(self.used.values())
        text, _, suggestion = (masker.feed(what.encode()) + masker.flush()).decode().partition(_MEANT)
        text = escaped(text)  # after masking, which looks for values as they are
        hint = hint or (f"did you mean {quote(suggestion)}?" if suggestion else "")
        path = str(Path(self._request.profile_path, name))
        fault = Fault(code="template", message=text, file=path, line=line, hint=hint)
        where = f"{self._request.taskserv}/{self._request.profile}/{name}:{line}"
        raise ConfigError(f"{where}: {text}", hint=hint, faults=[fault]) from None

    def _secret(self, name: str) -> str:
        reference = self._request.secrets.get(name)
        if reference is None:
            known = nearest(name, self._request.secrets)
            hint = f"did you mean {quote(known)}?" if known else f'declare it: [secrets] {name} = "env:NAME" in workspace.toml'
            raise ConfigError(f"no secret {quote(name)} in this workspace", hint=hint)
        self._asked = True
        if name not in self.used:
            self.used[name] = self._secrets.resolve(reference)
        return self.used[name]


class _Files(BaseLoader):
    """Finds the templates of one profile, and nothing else."""

    def __init__(self, templates: Mapping[str, bytes]) -> None:
        self._templates = templates

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:  # noqa: ARG002
        text = self._templates.get(template)
        if text is None:
            raise TemplateNotFound(template)
        try:
            return text.decode(), template, lambda: True
        except UnicodeDecodeError as error:
            raise TemplateSyntaxError(f"not UTF-8 (byte {error.start})", 1, name=template) from None


_MEANT = "\0"  # between an undefined error's text and the nearest name


def _environment(loader: BaseLoader, secret: Callable[[str], str], names: tuple[str, ...], compiled: Compiled) -> Environment:
    environment = Sandbox(
        loader=loader,
        undefined=_undefined(names),
        autoescape=False,  # shell and configuration files, not HTML
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
        cache_size=0,
        bytecode_cache=compiled,
    )
    environment.filters |= {"sh": _sh, "tojson": _json}
    environment.globals["secret"] = secret
    environment.globals["fail"] = _fail
    return environment


@cache  # a class each would cost more than rendering
def _undefined(names: tuple[str, ...]) -> type[StrictUndefined]:
    class Named(StrictUndefined):
        """Says what is undefined in our words, with the nearest name."""

        __slots__ = ()

        def __init__(
            self,
            hint: str | None = None,
            obj: object = missing,
            name: object = None,
            exc: type[TemplateRuntimeError] = UndefinedError,
        ) -> None:
            super().__init__(hint or _say(obj, name, names), obj, name, exc)  # type: ignore[arg-type]

    return Named


def _say(obj: object, name: object, names: Iterable[str]) -> str:
    known = [*names, *BUILT_IN] if obj is missing else [str(key) for key in obj] if isinstance(obj, Mapping) else []
    found = nearest(str(name), known)
    of = "" if obj is missing else " here"
    return f'"{name}" is not defined{of}' + (_MEANT + found if found else "")


def _fail(text: str) -> NoReturn:
    raise ConfigError(text)


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def _sh(value: object) -> str:
    """Quote for a shell; a list becomes its items as separate words."""
    if isinstance(value, list | tuple):
        return " ".join(_sh(item) for item in value)
    return shlex.quote(str(_plain(value)))


def _json(value: object, indent: int | None = None) -> str:
    """Return JSON as it is; jinja2's own would write `&` and quotes as HTML pages need them."""
    return json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=True, default=_unwrapped)


def _unwrapped(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Undefined):
        str(value)  # raises, saying what is undefined
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _line(traceback: TracebackType | None, name: str) -> int:
    """Return the innermost line of the template in a traceback, 0 where it is not known."""
    line = 0
    while traceback:
        if traceback.tb_frame.f_code.co_filename == name:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
