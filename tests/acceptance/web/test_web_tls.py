"""TLS by files of one's own, and what is said of files that are none."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.installation import Installation
from tests.web_server import serving_web


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for this machine, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return certificate, private


def test_the_web_app_speaks_tls(made_home: Path, tmp_path: Path, files: tuple[Path, Path]) -> None:
    certificate, key = files
    words = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with serving_web(made_home, tmp_path, *words) as web:
        assert web.url.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(certificate))
        with httpx.Client(base_url=web.url, verify=trusting, timeout=60) as client:
            answer = client.get("/set-up")
        assert answer.status_code == 200
        assert answer.headers["set-cookie"].startswith("__Host-tidemill_form=")
        assert "strict-transport-security" in answer.headers


def test_files_that_are_no_certificate_are_told_before_anything_begins(
    fresh_installation: Installation, files: tuple[Path, Path]
) -> None:
    certificate, key = files
    run = fresh_installation.run
    swapped = run("serve", "--role", "web", "--web-port", "0", "--tls-cert", str(key), "--tls-key", str(certificate))
    assert swapped.returncode == 2
    assert "cannot be used for TLS" in swapped.stderr
    half = run("serve", "--role", "web", "--web-port", "0", "--tls-cert", str(certificate))
    assert half.returncode == 2
    assert "--tls-key" in half.stderr
    assert not (fresh_installation.home / "postgres").exists()
