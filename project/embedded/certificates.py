"""Certificates of one stack: a private authority between its parts, and a self-signed one for HTTPS."""

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from project.embedded.home import Home

AUTHORITY = "Parley authority"
DAYS = 3650
# Browsers refuse server certificates that live for longer than this.
PUBLIC_DAYS = 397
RENEW_BEFORE = timedelta(days=30)


def internal(home: Home, folder: Path) -> tuple[Path, Path, Path]:
    """The authority, certificate and key by which the parts know each other: (ca, cert, key)."""
    ca, certificate, key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    if not all(_fresh(path) for path in (ca, certificate)) or not key.exists():
        ca_key, own_key = _key(), _key()
        authority = _builder(AUTHORITY, AUTHORITY, ca_key, DAYS, authority=True).sign(ca_key, hashes.SHA256())
        both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = _builder("parley", AUTHORITY, own_key, DAYS).add_extension(both, critical=False)
        builder = builder.add_extension(_names(["localhost", "127.0.0.1"]), critical=False)
        # The authority's own key is forgotten here: nobody can ever make another certificate.
        home.write(ca, _pem(authority))
        home.write(key, _key_pem(own_key))
        home.write(certificate, _pem(builder.sign(ca_key, hashes.SHA256())))
    return ca, certificate, key


def self_signed(home: Home, folder: Path, names: Iterable[str]) -> tuple[Path, Path]:
    """A certificate for HTTPS in these names, kept while it still fits them: (cert, key)."""
    wanted = sorted(set(names))
    certificate, key = folder / "https-cert.pem", folder / "https-key.pem"
    if not _fresh(certificate) or not key.exists() or _named(certificate) != wanted:
        own_key = _key()
        builder = _builder("Parley", "Parley", own_key, PUBLIC_DAYS)
        builder = builder.add_extension(_names(wanted), critical=False)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        signed = builder.add_extension(usage, critical=False).sign(own_key, hashes.SHA256())
        home.write(key, _key_pem(own_key))
        home.write(certificate, _pem(signed))
    return certificate, key


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, days: int, *, authority: bool = False
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_common_name(subject))
        .issuer_name(_common_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks of other machines may be a little late
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return x509.DNSName(name)


def _named(path: Path) -> list[str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(str(name.value) for name in names)


def _fresh(path: Path) -> bool:
    if not path.exists():
        return False
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.not_valid_after_utc > datetime.now(UTC) + RENEW_BEFORE


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
