"""Servers that speak TLS, and those that want a certificate of ours as well."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.natsservers import running

from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.errors import ConfigError, ProvisioningError

Signed = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def certified(name: str, by: Signed | None = None) -> Signed:
    """Return a certificate for loopback and its key, signed by another one or by itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        issuer_name=by[0].subject if by else subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(hours=1),
        not_valid_after=now + timedelta(hours=1),
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    return builder.add_extension(loopback, critical=False).sign(by[1] if by else key, hashes.SHA256()), key


def write(folder: Path, name: str, signed: Signed) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(signed[0].public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        signed[1].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, key


@contextmanager
def served(folder: Path, *, verify: bool) -> Iterator[Access]:
    """Run a server with TLS; return access with everything that it wants."""
    authority = certified("authority")
    ca, _ = write(folder, "ca", authority)
    certificate, key = write(folder, "server", certified("server", authority))
    mine, my_key = write(folder, "mine", certified("mine", authority))
    said = f'tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{ca}", verify: {str(verify).lower()} }}'
    with running(extra=said) as server:
        url = f"tls://app:app@127.0.0.1:{server.port}"
        yield Access(urls=(url,), ca=ca, certificate=mine, key=my_key, timeout_s=3.0)


async def answers(access: Access) -> bool:
    cluster = Cluster(access)
    try:
        return "memory" in await cluster.ask("INFO")
    finally:
        await cluster.close()


@pytest.mark.parametrize("verify", [False, True])
async def test_whoever_has_the_certificates_gets_through(tmp_path: Path, *, verify: bool) -> None:
    with served(tmp_path, verify=verify) as access:
        assert await answers(access)


async def test_a_server_of_unknown_origin_is_not_talked_to(tmp_path: Path) -> None:
    with served(tmp_path, verify=False) as access:
        other, _ = write(tmp_path, "other", certified("other"))
        with pytest.raises(ProvisioningError, match="certificate"):
            await answers(Access(urls=access.urls, ca=other, timeout_s=3.0))


async def test_without_a_certificate_of_ours_a_server_that_wants_one_refuses_us(tmp_path: Path) -> None:
    with served(tmp_path, verify=True) as access, pytest.raises(ProvisioningError):
        await answers(Access(urls=access.urls, ca=access.ca, timeout_s=3.0))


@pytest.mark.parametrize("scheme", ["tls", "nats"])
async def test_where_tls_was_asked_for_a_server_without_it_does_not_hear_who_we_are(tmp_path: Path, scheme: str) -> None:
    heard: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"auth_required":true}\r\n')
        heard.append(await reader.read())
        writer.close()

    ca, _ = write(tmp_path, "ca", certified("authority"))
    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        url = f"{scheme}://app:a-secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ConfigError, match="the server speaks without TLS"):
            await answers(Access(urls=(url,), ca=ca if scheme == "nats" else None, timeout_s=1.0))
    assert set(heard) == {b""}


async def test_the_end_of_a_connection_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with served(tmp_path, verify=True) as access:
        assert await answers(access)
        await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
