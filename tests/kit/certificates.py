"""Certificates for loopback: an authority that nobody trusts, and servers and clients that it vouches for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from ssl import CERT_REQUIRED, PROTOCOL_TLS_SERVER, SSLContext

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

PASSWORD = "open sesame"
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


class Authority:
    """A certificate authority; its files are in *folder*, its own certificate is *bundle*."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bundle = folder, folder / "authority.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Alloy's test authority")])
        usage = dict.fromkeys(_USAGES, False) | {"key_cert_sign": True, "crl_sign": True}
        builder = (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        )
        self._certificate = builder.sign(self._key, hashes.SHA256())
        self.bundle.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def issue(self, name: str, *, host: str = "", password: str | None = None) -> tuple[Path, Path]:
        """The paths of a certificate for *name* at 127.0.0.1, and at *host*, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        hosts: list[x509.GeneralName] = [x509.IPAddress(ip_address("127.0.0.1"))]
        hosts += [x509.DNSName(host)] if host else []
        names = x509.SubjectAlternativeName(hosts)
        # Python 3.13 checks strictly, and RFC 5280 requires the identifier of the authority's key.
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _builder(subject, self._name, key)
            .add_extension(names, critical=False)
            .add_extension(issuer, critical=False)
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        paths = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        locked = NoEncryption() if password is None else BestAvailableEncryption(password.encode())
        paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
        return paths

    def server_context(self, *, host: str = "", asks_client: bool = False) -> SSLContext:
        """TLS for a server with a certificate of this authority; *asks_client* wants one of the client."""
        context = SSLContext(PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue("server", host=host))
        if asks_client:
            context.verify_mode = CERT_REQUIRED
            context.load_verify_locations(self.bundle)
        return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
    )
