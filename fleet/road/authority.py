"""The fleet's own certificate authority: it vouches for the broker and for the API's port, and for nobody else."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleet.errors import BadInput

AUTHORITY_LIFE = timedelta(days=3650)
"""Ten years: every join file carries the authority, so changing it means going to every host."""
SERVER_LIFE = timedelta(days=397)
"""A year and a month, the most that strict clients take."""
RENEW_BEFORE = timedelta(days=60)
"""So long before its end a certificate is replaced by the next ``fleet init``."""
_SKEW = timedelta(days=2)
"""Certificates begin in the past, for hosts whose clocks are late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


class Authority:
    """Signs certificates for servers of the fleet."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def make(cls, now: datetime) -> Self:
        """Return a new authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _common_name("Fleet authority")
        builder = _builder(name, name, key.public_key(), now, AUTHORITY_LIFE)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, made: Certified) -> Self:
        """Return the authority that was made before; raise BadInput where its files are broken or do not fit."""
        try:
            certificate = x509.load_pem_x509_certificate(made.certificate)
            key = serialization.load_pem_private_key(made.key, None)
        except (ValueError, TypeError) as error:
            raise BadInput("cannot read the fleet's authority: its certificate or key is no PEM") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise BadInput("cannot use the fleet's authority: its certificate and key do not fit each other")
        return cls(certificate, key)

    @property
    def certified(self) -> Certified:
        """The authority itself; its key signs whatever it likes, so it belongs on no host."""
        return Certified(certificate=self._certificate.public_bytes(serialization.Encoding.PEM), key=_pem(self._key))

    def issue(self, names: Sequence[str], now: datetime) -> Certified:
        """Return a certificate for a server that is called *names*: host names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.SubjectAlternativeName([_alternative(name) for name in names])
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        certificate = (
            _builder(_common_name(names[0]), self._certificate.subject, key.public_key(), now, SERVER_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(subject, critical=False)
            .add_extension(signer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Certified(certificate=certificate.public_bytes(serialization.Encoding.PEM), key=_pem(key))

    def still_good(self, certificate: bytes, names: Sequence[str], now: datetime) -> bool:
        """Tell whether *certificate* is of this authority, for just *names*, and not near its end."""
        try:
            made = x509.load_pem_x509_certificate(certificate)
            made.verify_directly_issued_by(self._certificate)
            there = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        return set(there) == {_alternative(name) for name in names} and now < made.not_valid_after_utc - RENEW_BEFORE


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now - _SKEW + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise BadInput(f"cannot make a certificate for {name!r}; expected a host name or an address") from error


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
