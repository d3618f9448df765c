"""Who we are to a server that asks for a signature: seeds and .creds files, without a package that has no wheels.

A seed is base32 of two bytes that say what it is for, 32 bytes of Ed25519 key and a checksum; a public key is written alike.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning.core.frozen import dataclass
from provisioning.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEED, USER = 18 << 3, 20 << 3
HINT = "it is what `nsc generate creds` or `nk -gen user` writes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Answers a server's challenge. `jwt` is empty where the public key alone is known to the server."""

    sign: Callable[[str], bytes]
    public: str
    jwt: str = ""


def from_credentials(path: Path) -> Signer:
    """Return the signer of a .creds file. Raises ConfigError."""
    parts = _blocks(_text(path))
    seed, jwt = parts.get("USER NKEY SEED"), parts.get("NATS USER JWT")
    if seed is None or jwt is None:
        raise ConfigError(f"nats.credentials: {path} has no user's JWT and seed in it", hint=HINT)
    return _signer(path, seed, jwt)


def from_seed(path: Path) -> Signer:
    """Return the signer of a file with a seed. Raises ConfigError."""
    return _signer(path, _text(path).strip(), "")


def _blocks(text: str) -> Mapping[str, str]:
    """Return by title what stands between dashed lines."""
    found: dict[str, str] = {}
    title = ""
    for line in text.splitlines():
        if line.startswith("---"):
            title = line.strip("- ").removeprefix("BEGIN ") if "BEGIN" in line else ""
        elif title and line.strip():
            found.setdefault(title, line.strip())
    return found


def _signer(path: Path, seed: str, jwt: str) -> Signer:
    key = _key(path, seed)
    raw = bytes([USER]) + key.public_key().public_bytes_raw()
    public = base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")
    return Signer(sign=lambda nonce: base64.b64encode(key.sign(nonce.encode())), public=public, jwt=jwt)


def _key(path: Path, seed: str) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except ValueError as error:
        raise ConfigError(f"nats: {path} does not hold a seed", hint=HINT) from error
    good = len(raw) == 36 and raw[0] & 0xF8 == SEED and binascii.crc_hqx(raw[:34], 0).to_bytes(2, "little") == raw[34:]
    if not good:
        raise ConfigError(f"nats: {path} does not hold a whole seed", hint=HINT)
    return Ed25519PrivateKey.from_private_bytes(raw[2:34])


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"nats: there is no file {path}", hint="check the settings of nats") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"nats: {path} cannot be read: {error}", hint="check the settings of nats") from error
