"""Makes a request over HTTP, and says what became of it. Settings: see docs/reference/actions.md."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import cast
from urllib.parse import urlencode

from provisioning.codec import CodecError, encode, parse
from provisioning.core.frozen import dataclass
from provisioning.core.outside import Exchange, Fetch, Fetched
from provisioning.core.ports import Outcome, Task
from provisioning.core.shown import escaped
from provisioning.core.web import REDIRECTS, Place, barred, barred_name, is_credential, next_hop, place
from provisioning.engine.actions import Context, Result, Traits
from provisioning.engine.actions.checking import (
    Check,
    Scalar,
    faults,
    flag,
    more_seconds,
    one_of,
    refused,
    scalar_text,
    text,
    texts,
    whole,
)

TIMEOUT_S = 30.0
MAX_BYTES = 1024 * 1024
MAX_REDIRECTS = 5
SHOWN_BYTES = 2048  # of the body of a refusal, in the log
FILLABLE = ("url", "query", "headers", "form", "body")  # settings that a step's arguments may bring
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_CHARSET = re.compile(r"charset=[\"']?([A-Za-z0-9._-]+)", re.IGNORECASE)
_TEXT_CODING = re.compile(r"(?:utf-(?:8|16|32)(?:-[lb]e)?|ascii|iso8859-\d+|cp\d+|koi8-[ru]|gb\w+|big5|euc_\w+|shift_jis)\Z")


# ---------------------------------------------------------------- settings


def check_settings(settings: Mapping[str, object], args: object = None) -> list[str]:
    """Return what is wrong with the settings of an http step, all of it. `args` may bring some of them."""
    found = faults(settings, SETTINGS)
    brought = args if isinstance(args, Mapping) else {}
    if settings.get("url") is None and "url" not in brought:
        found.append("url has to be there")
    if settings.get("body") is not None and settings.get("form") is not None:
        found.append("body and form cannot both be there")
    found += [f"the argument {name} is none of {', '.join(FILLABLE)}" for name in brought if name not in FILLABLE]
    return found


def _method(value: object) -> str:
    return "" if isinstance(value, str) and value.upper() in _METHODS else f"one of {', '.join(_METHODS)}"


def _headers(value: object) -> str:
    if not isinstance(value, Mapping) or not all(isinstance(each, Scalar) for each in value.values()):
        return "an object whose values are texts"
    for name, each in value.items():
        if not _TOKEN.match(name):
            return f"without {escaped(name)!r}, which is no name of a header"
        if name.lower() in _OURS:
            return f"without {name}, which is ours to set"
        if text(str(each)) or any(char in str(each) for char in "\r\n"):
            return f"without line ends in {name}"
    return ""


def _fields(value: object) -> str:
    right = isinstance(value, Mapping) and all(
        isinstance(each, Scalar) or (isinstance(each, list | tuple) and all(isinstance(one, Scalar) for one in each))
        for each in value.values()
    )
    return "" if right else "an object whose values are texts, numbers, or lists of them"


def _anything(value: object) -> str:
    return text(value) if isinstance(value, str) else ""


def _codes(value: object) -> str:
    right = isinstance(value, list | tuple) and all(isinstance(each, int) and 100 <= each <= 599 for each in value)
    return "" if right else "a list of status codes"


SETTINGS: Mapping[str, Check] = {
    "method": _method,
    "url": text,
    "headers": _headers,
    "query": _fields,
    "body": _anything,
    "form": _fields,
    "timeout_s": more_seconds,
    "max_bytes": whole,
    "follow_redirects": flag,
    "max_redirects": whole,
    "allow_private": flag,
    "allow_hosts": texts,
    "insecure_tls": flag,
    "proxy": flag,
    "ok_codes": _codes,
    "output": one_of("json", "text", "full", "exact"),
}


def _filled(settings: Mapping[str, object], args: object) -> dict[str, object]:
    """Return the settings with what the arguments bring: objects are merged, everything else is replaced."""
    full = dict(settings)
    for name, value in args.items() if isinstance(args, Mapping) else ():
        old = full.get(name)
        merges = name in ("query", "headers", "form") and isinstance(old, Mapping) and isinstance(value, Mapping)
        full[name] = {**cast("Mapping[str, object]", old), **value} if merges else value
    return full


# ---------------------------------------------------------------- the request


class _Refused(Exception):
    """The end of a step, before the request that it asked for was made."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        hopeless = kind in ("settings", "refused")
        self.result = Result(outcome=Outcome.FAILED, error_kind=kind, error=message, retryable=not hopeless)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    """What is asked of one place."""

    method: str
    place: Place
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


class HttpAction:
    """The action `http`."""

    traits = Traits()

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    async def run(self, task: Task, context: Context) -> Result:
        """Ask, follow redirects where that is wanted, judge the answer. Cancelling closes the connection."""
        settings = _filled(task.action.settings, task.args)
        if found := check_settings(task.action.settings, task.args) or check_settings(settings):
            return refused(found)
        try:
            ask = _ask(settings)
            context.mask(dict(_secrets(ask)))
            return await _Journey(self._fetch, settings, context).run(ask)
        except _Refused as refusal:
            return refusal.result


def _ask(settings: Mapping[str, object]) -> _Ask:
    try:
        where = place(str(settings["url"]), _pairs(settings.get("query")))
    except ValueError as error:
        raise _Refused("refused", str(error)) from error
    headers = _pairs(settings.get("headers"))
    has = {name.lower() for name, _ in headers}
    body, kind = _body(settings)
    if where.userinfo and "authorization" not in has:
        headers.append(("Authorization", f"Basic {base64.b64encode(where.userinfo.encode()).decode()}"))
    ours = (("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate"), ("User-Agent", "provisioning"), ("Content-Type", kind))
    headers += [(name, value) for name, value in ours if value and name.lower() not in has]
    return _Ask(method=str(settings.get("method") or "GET").upper(), place=where, headers=tuple(headers), body=body)


def _body(settings: Mapping[str, object]) -> tuple[bytes, str]:
    """Return the body and what kind it is."""
    body, form = settings.get("body"), settings.get("form")
    if form is not None:
        return urlencode(_pairs(form)).encode(), "application/x-www-form-urlencoded"
    if body is None:
        return b"", ""
    if isinstance(body, str):
        return body.encode("utf-8", "surrogateescape"), "text/plain; charset=utf-8"
    try:
        return encode(body), "application/json"
    except CodecError as error:
        raise _Refused("settings", f"body {error}") from error


def _pairs(fields: object) -> list[tuple[str, str]]:
    pairs = []
    for name, value in fields.items() if isinstance(fields, Mapping) else ():
        pairs += [(name, scalar_text(each)) for each in (value if isinstance(value, list | tuple) else (value,))]
    return pairs


def _secrets(ask: _Ask) -> Iterator[tuple[str, str]]:
    """Yield the values of a request that nobody may read in a log."""
    if ask.place.userinfo:
        yield "userinfo", ask.place.userinfo
        yield "password", ask.place.userinfo.partition(":")[2]
    for name, value in ask.headers:
        if is_credential(name):
            yield name, value
            scheme, _, token = value.partition(" ")
            yield f"{name} token", token
            if scheme.lower() == "basic":
                yield f"{name} password", _password(token)


def _password(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


# ---------------------------------------------------------------- the journey


class _Journey:
    """From the first request to the answer that counts, within one deadline."""

    def __init__(self, fetch: Fetch, settings: Mapping[str, object], context: Context) -> None:
        self._fetch, self._settings, self._context = fetch, settings, context
        self._timeout_s = _number(settings, "timeout_s", TIMEOUT_S)
        self._until_s = context.clock.monotonic_s() + self._timeout_s

    async def run(self, ask: _Ask) -> Result:
        """Go there. Raises _Refused."""
        most = int(_number(self._settings, "max_redirects", MAX_REDIRECTS))
        for _ in range(most + 1):
            fetched = await self._fetch.exchange(await self._exchange(ask))
            self._tell(ask, fetched)
            location = fetched.header("location")
            if not (self._settings.get("follow_redirects") and fetched.status in REDIRECTS and location):
                return _verdict(ask, fetched, self._settings, self._context)
            ask = _next(ask, fetched.status, location)
        raise _Refused("redirects", f"{ask.method} {ask.place.shown}: more than {most} redirects")

    async def _exchange(self, ask: _Ask) -> Exchange:
        settings, where = self._settings, ask.place
        proxy = self._fetch.proxy(where.scheme, where.host) if settings.get("proxy") else ""
        if proxy:
            self._context.mask({"proxy": _userinfo(proxy), "proxy password": _userinfo(proxy).partition(":")[2]})
            self._refuse_bars({where.host: barred_name(where.host)}, where)
        return Exchange(
            method=ask.method,
            scheme=where.scheme,
            host=where.host,
            port=where.port,
            target=where.target,
            addresses=() if proxy else await self._addresses(where),
            headers=ask.headers,
            body=ask.body,
            timeout_s=self._left_s(where),
            max_bytes=int(_number(settings, "max_bytes", MAX_BYTES)),
            verify=not settings.get("insecure_tls"),
            proxy=proxy,
        )

    async def _addresses(self, where: Place) -> Sequence[str]:
        """Look the host up, once: what is judged here is what is connected to."""
        resolved = await self._fetch.resolve(where.host, timeout_s=self._left_s(where))
        if not resolved.addresses:
            raise _Refused("dns", resolved.message)
        self._refuse_bars({address: barred(address) for address in resolved.addresses}, where)
        return resolved.addresses

    def _refuse_bars(self, bars: Mapping[str, str], where: Place) -> None:
        allowed = self._settings.get("allow_hosts")
        names = {str(name).lower().rstrip(".") for name in allowed} if isinstance(allowed, list | tuple) else set()
        if self._settings.get("allow_private") or where.host.rstrip(".") in names:
            return
        for address, bar in bars.items():
            if bar:
                what = f"{where.host} is {bar}" if address == where.host else f"{where.host} is {address}, {bar}"
                hint = f'allow it with allow_hosts: ["{where.host}"], or all such addresses with allow_private: true'
                raise _Refused("refused", f"{what}; {hint}")

    def _left_s(self, where: Place) -> float:
        left_s = self._until_s - self._context.clock.monotonic_s()
        if left_s > 0:
            return left_s
        refusal = _Refused("timeout", f"{where.shown}: no complete answer within {self._timeout_s:g} s")
        refusal.result = replace(refusal.result, outcome=Outcome.TIMED_OUT)
        raise refusal

    def _tell(self, ask: _Ask, fetched: Fetched) -> None:
        said = f"{fetched.status} {_reason(fetched)}".strip() if fetched.status else fetched.kind
        self._context.note(f"{ask.method} {ask.place.shown}: {said}, {len(fetched.body):,} bytes")


def _next(ask: _Ask, status: int, location: str) -> _Ask:
    """Return what a redirect makes of a request."""
    try:
        hop = next_hop(ask.place, ask.method, status, location)
    except ValueError as error:
        raise _Refused("refused", f"a redirect is not followed: {error}") from error
    headers = [
        (name, value)
        for name, value in ask.headers
        if (hop.keeps_body or not name.lower().startswith("content-")) and (hop.keeps_credentials or not is_credential(name))
    ]
    return _Ask(method=hop.method, place=hop.place, headers=tuple(headers), body=ask.body if hop.keeps_body else b"")


# ---------------------------------------------------------------- the verdict


def _verdict(ask: _Ask, fetched: Fetched, settings: Mapping[str, object], context: Context) -> Result:
    what = f"{ask.method} {ask.place.shown}"
    if not fetched.status:
        outcome = Outcome.TIMED_OUT if fetched.kind == "timeout" else Outcome.FAILED
        return Result(outcome=outcome, error_kind=fetched.kind, error=f"{what}: {fetched.message}")
    codes = settings.get("ok_codes") or range(200, 300)
    if fetched.status not in cast("Sequence[int]", codes):
        if fetched.body:
            context.write(fetched.body[:SHOWN_BYTES] + b"\n")
        return _failed(f"http_{fetched.status}", f"{what} answered {fetched.status} {_reason(fetched)}".strip())
    if fetched.kind == "too_large":
        return _failed("too_large", f"{what}: {fetched.message}")
    try:
        return Result(outcome=Outcome.OK, exit_code=0, output=_output(fetched, str(settings.get("output") or "")))
    except CodecError as error:
        return _failed("output", f"{what} answered no JSON: {error}")


def _output(fetched: Fetched, wanted: str) -> object:
    """Return what the step gives to others. Raises CodecError."""
    if wanted in {"full", "exact"}:
        headers: dict[str, str] = {}
        for name, value in fetched.headers:
            headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
        return {
            "status": fetched.status,
            "headers": headers,
            "body": _decoded(fetched) if wanted == "exact" else _output(fetched, ""),
        }
    content = _decoded(fetched)
    kind = fetched.header("content-type").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or kind.endswith("+json")
    if not content.strip() and wanted != "json":
        return content or None
    return parse(content) if wanted == "json" or (is_json and not wanted) else content


def _decoded(fetched: Fetched) -> str:
    """Return the body as text. Codings that are none of texts, and unknown ones, are taken for UTF-8."""
    import codecs

    coding, found = "utf-8-sig", _CHARSET.search(fetched.header("content-type"))
    if found:
        try:
            name = codecs.lookup(found.group(1)).name
        except LookupError:
            name = ""
        coding = name if _TEXT_CODING.match(name) and name != "utf-8" else coding
    return fetched.body.decode(coding, "replace")


def _reason(fetched: Fetched) -> str:
    return escaped(fetched.reason[:60])


def _failed(kind: str, message: str) -> Result:
    return Result(outcome=Outcome.FAILED, error_kind=kind, error=message)


def _number(settings: Mapping[str, object], name: str, default: float) -> float:
    value = settings.get(name)
    return default if value is None else float(cast("float", value))


def _userinfo(url: str) -> str:
    return url.rpartition("@")[0].rpartition("/")[2]
