"""`env`, `dotenv`, `secrets`: maps, lists of maps, lists of `K=V`; the order stays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType

from provisioning.core.dagu.commands import commands_in
from provisioning.core.dagu.declared import Secret, Selector, Variable
from provisioning.core.dagu.doing import Pair, Text
from provisioning.core.dagu.placing import wrong_label
from provisioning.core.shown import quote
from provisioning.formats.dagu.reading import Record, Spot
from provisioning.formats.dagu.spelling import SECRET, folded

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOCAL = "local"
_PROVIDERS = ("env", "file")
"""Where secrets can come from: what the port `Secrets` knows."""


def read_env(spot: Spot | None) -> tuple[Variable, ...]:
    """Return the variables in their order. A single text is a fault, as in Dagu."""
    if spot is None:
        return ()
    if spot.scalar is not None:
        spot.expected("a map or a list", 'write it as a list: env: ["NAME=value"]')
        return ()
    return tuple(_variables(spot))


def read_env_pairs(spot: Spot | None) -> tuple[Pair, ...]:
    """Return variables of a container."""
    return tuple(Pair(name=one.name, value=one.value) for one in read_env(spot))


def _variables(spot: Spot) -> Iterator[Variable]:
    if spot.is_map:
        for name, value in spot.entries():
            yield from _variable(name, value)
        return
    for item in spot.items():
        if item.is_map:
            for name, value in item.entries():
                yield from _variable(name, value)
        else:
            yield from _pair(item)


def _pair(item: Spot) -> Iterator[Variable]:
    text = item.text()
    if text is None:
        return
    name, equals, value = text.raw.partition("=")
    if not equals:
        item.fault("bad_variable", f"found {quote(text.raw)}, expected NAME=value")
    elif _named(name.strip(), item):
        substitution(item, value)
        yield Variable(name=name.strip(), value=Text(raw=value, line=text.line, column=text.column))


def _variable(name: str, value: Spot) -> Iterator[Variable]:
    if not _named(name, value):
        return
    if value.scalar is None:
        value.expected("text")
        return
    text = value.text() or Text(raw="", line=value.line, column=value.column)
    substitution(value, text.raw)
    yield Variable(name=name, value=text)


def _named(name: str, spot: Spot) -> bool:
    if _NAME.fullmatch(name):
        return True
    spot.fault("bad_name", f"found the variable {quote(name)}, expected letters, digits and underscores, no digit first")
    return False


def substitution(spot: Spot, raw: str) -> None:
    """Note a command in a value (Y3)."""
    if commands_in(raw):
        message = "the command in this value is run, and what it prints is the value; Dagu from 2.7 on takes it as it stands"
        spot.note("command_substitution", message)


def note_substitutions(spot: Spot) -> None:
    """Note commands in the values of an executor's options; scripts belong to their shell."""
    work = [spot]
    while work:
        one = work.pop()
        if one.scalar is not None:
            substitution(one, one.scalar.raw)
        elif one.is_list:
            work.extend(one.items())
        else:
            work.extend(value for key, value in one.entries() if folded(key) not in {"command", "script", "steps"})


def read_dotenv(spot: Spot | None) -> tuple[Text, ...] | None:
    """Return the files; None where nothing is said, () where there shall be none."""
    if spot is None:
        return None
    return spot.texts()


def read_secrets(spot: Spot | None) -> tuple[Secret, ...]:
    """Return the secrets: each has a provider and a key, or a reference."""
    return tuple(secret for one in spot.items() if (secret := _secret(one.record(SECRET))) is not None) if spot else ()


def _secret(record: Record) -> Secret | None:
    name, provider, key, ref = (record.word(field) for field in ("name", "provider", "key", "ref"))
    if not record.spot.is_map or not _named(name, record.at("name") or record.spot):
        return None
    if bool(ref) == bool(provider and key):
        record.spot.fault("missing_key", f"the secret {quote(name)} needs either ref, or provider and key")
        return None
    asked = provider or ref.partition(":")[0]
    if asked not in _PROVIDERS:
        spot = record.at("ref" if ref else "provider") or record.spot
        message = f"secrets from {quote(asked)} are not supported, expected {' or '.join(_PROVIDERS)}"
        spot.fault("unsupported_key", message)
        return None
    options = {one.name or "": one.value.raw for one in record.pairs("options")}
    record.note_ignored("options", "variables and files are read as they are")
    return Secret(name=name, provider=provider, key=key, ref=ref, options=MappingProxyType(options))


def read_selector(spot: Spot | None) -> Selector | None:
    """Return which worker may take it: `local`, or labels with one value each. Names and values may have references."""
    if spot is None:
        return None
    if not spot.is_map:
        word = spot.word() if spot.scalar is not None else ""
        if word == _LOCAL:
            return Selector(local=True)
        hint = (
            f'did you mean "{_LOCAL}"?' if word.strip().lower() == _LOCAL else f"worker_selector: {{NAME: VALUE}}, or {_LOCAL}"
        )
        spot.expected(f'a map of labels or "{_LOCAL}"', hint)
        return None
    for name, value in spot.entries():
        _check_label(name, value)
    return Selector(labels=tuple(Variable(name=one.name or "", value=one.value) for one in spot.pairs()))


def _check_label(name: str, value: Spot) -> None:
    """Refuse what no worker's label can be. What a reference stands for is looked at when the run begins."""
    if value.scalar is None or value.is_null:
        if value.is_null:
            value.fault("missing_value", f"the label {quote(name)} has no value", "labels match one value, exactly")
        return
    text = value.word()
    problem = "" if "$" in name + text else wrong_label(name, text)
    if problem:
        value.fault("bad_label", f"found {problem}")
