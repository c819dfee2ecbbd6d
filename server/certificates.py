"""A private certificate authority for one fleet: for its broker, its server and its gateways."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tinyfleet.errors import BrokerError

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 825
CLOCK_SLACK = timedelta(hours=1)
"""How far behind the clock of a gateway may be when it meets a new certificate."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key (ECDSA on P-256), both as PEM."""

    certificate: bytes
    key: bytes


def make_authority(name: str) -> Pair:
    """Make a certificate authority that may sign certificates of hosts and clients alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, subject, key.public_key(), AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(authority=True), critical=True)
    return _pair(builder.sign(key, hashes.SHA256()), key)


def certify_host(authority: Pair, hosts: Sequence[str]) -> Pair:
    """Make the certificate of a server that is reached under all of `hosts`, names or addresses."""
    names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    return _certify(authority, hosts[0], ExtendedKeyUsageOID.SERVER_AUTH, names)


def certify_client(authority: Pair, name: str) -> Pair:
    """Make the certificate of a client whose common name is `name`."""
    return _certify(authority, name, ExtendedKeyUsageOID.CLIENT_AUTH, None)


def _certify(
    authority: Pair,
    name: str,
    purpose: x509.ObjectIdentifier,
    names: x509.SubjectAlternativeName | None,
) -> Pair:
    issuer, issuer_key = _load(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    builder = _builder(subject, issuer.subject, key.public_key(), CERTIFICATE_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_usage(authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
    )
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return _pair(builder.sign(issuer_key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def certified_hosts(certificate: bytes) -> tuple[str, ...]:
    """Return the names and addresses that a host's PEM certificate vouches for, in their order.

    Raises:
        ValueError: it is no certificate, or none of a host.
    """
    found = x509.load_pem_x509_certificate(certificate).extensions
    try:
        names = found.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise ValueError(str(error)) from None
    return tuple(str(name.value) for name in names)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError:
        raise BrokerError(f"--host: expected a name or an address, got {host[:80]!r}") from None


def _load(authority: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(authority.certificate)
        key = serialization.load_pem_private_key(authority.key, password=None)
    except (ValueError, TypeError) as error:
        raise BrokerError(
            f"ca.crt and ca.key: expected a certificate and its open key as PEM, got {error}; "
            "put back the right files, or start over in an empty folder"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BrokerError("ca.key: expected a key on an elliptic curve, got another kind")
    if key.public_key() != certificate.public_key():
        raise BrokerError("ca.key: expected the key of ca.crt, got another one")
    return certificate, key


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
