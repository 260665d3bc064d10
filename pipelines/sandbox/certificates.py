"""Certificates of the sandbox: an authority, a server on this machine and a client, made when they are needed.

They vouch for nothing outside this machine. The authority's key is forgotten at once: nothing else can be signed by it.
"""

import fcntl
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=365)
_MARGIN = timedelta(days=1)  # made anew this long before the end, so that a server started now lasts a working day
_CLOCK_SKEW = timedelta(hours=1)

_Key: TypeAlias = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the sandbox's certificates are.

    Attributes:
        folder: Readable by its owner only, as is everything in it.
    """

    folder: Path

    @property
    def authority(self) -> Path:
        """PEM of the authority that signed the others."""
        return self.folder / "authority.pem"

    @property
    def server(self) -> Path:
        """PEM bundle of the server's key and certificate, for 127.0.0.1 and localhost."""
        return self.folder / "server.pem"

    @property
    def client(self) -> Path:
        """PEM bundle of the client's key and certificate."""
        return self.folder / "client.pem"

    @property
    def client_pkcs12(self) -> Path:
        """The same as PKCS12, encrypted under the password."""
        return self.folder / "client.p12"

    @property
    def client_password(self) -> Path:
        """The password of the PKCS12 file."""
        return self.folder / "client.password"


def make_certificates(folder: Path, now: datetime) -> Certificates:
    """Returns the certificates in `folder`, made anew if some are missing, damaged or about to expire.

    Processes that start together agree on one set.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    certificates = Certificates(folder)
    lock_path = folder / ".lock"
    lock_path.touch(mode=0o600)
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _are_valid(certificates, now):
            _write_all(certificates, now)
    return certificates


def _are_valid(certificates: Certificates, now: datetime) -> bool:
    try:
        authority = x509.load_pem_x509_certificate(certificates.authority.read_bytes())
        password = certificates.client_password.read_bytes()
        packed = pkcs12.load_key_and_certificates(certificates.client_pkcs12.read_bytes(), password)[1]
        server, client = (
            x509.load_pem_x509_certificate(bundle.read_bytes()) for bundle in (certificates.server, certificates.client)
        )
        for certificate in (server, client):
            certificate.verify_directly_issued_by(authority)
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    return packed == client and min(each.not_valid_after_utc for each in (authority, server, client)) > now + _MARGIN


def _write_all(certificates: Certificates, now: datetime) -> None:
    authority_key, server_key, client_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    authority = _sign("Sandbox authority", authority_key, authority_key, now)
    server = _sign("localhost", server_key, authority_key, now, names, _purpose(ExtendedKeyUsageOID.SERVER_AUTH))
    client = _sign("Sandbox client", client_key, authority_key, now, _purpose(ExtendedKeyUsageOID.CLIENT_AUTH))
    password = secrets.token_urlsafe(24).encode()
    encryption = BestAvailableEncryption(password)
    packed = pkcs12.serialize_key_and_certificates(b"sandbox client", client_key, client, None, encryption)
    _write(certificates.authority, authority.public_bytes(Encoding.PEM))
    _write(certificates.server, _bundle(server_key, server))
    _write(certificates.client, _bundle(client_key, client))
    _write(certificates.client_pkcs12, packed)
    _write(certificates.client_password, password)


def _sign(subject: str, key: _Key, signer: _Key, now: datetime, *extensions: x509.ExtensionType) -> x509.Certificate:
    itself = key is signer
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("Sandbox authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=itself, path_length=0 if itself else None), critical=True)
        .add_extension(_usage(signs_certificates=itself), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _purpose(purpose: x509.ObjectIdentifier) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage([purpose])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _bundle(key: _Key, certificate: x509.Certificate) -> bytes:
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return plain + certificate.public_bytes(Encoding.PEM)


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)  # before there is anything to read
    path.write_bytes(content)
