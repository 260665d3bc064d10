"""TLS contexts from client certificates that are held in memory.

Here: reading a PEM bundle or a PKCS12 file, and whom to trust on the other side. Not here: where credentials come
from and what is sent over the connection.
"""

import secrets
import ssl
from tempfile import NamedTemporaryFile
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import Certificate, load_pem_x509_certificates
from pydantic import SecretStr

Identity: TypeAlias = tuple[PrivateKeyTypes, list[Certificate]]


class CredentialError(ValueError):
    """A credential can't be used; the message says which and why, and holds nothing of it."""


def build_context(certificate: bytes | None, password: SecretStr | None, authority: bytes | None) -> ssl.SSLContext:
    """Builds the context of a client that verifies the other side and shows `certificate` to it.

    Args:
        certificate: A PEM bundle (key, certificate, chain, in any order) or a PKCS12 file; None shows nothing.
        password: Of the key or of the PKCS12 file; None if it has none.
        authority: PEM of the authorities to trust instead of the system's.

    Raises:
        CredentialError: If one of them can't be read, or they don't belong together.
    """
    # Not create_default_context: it obeys SSLKEYLOGFILE, and its strictness changes with the version of Python.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Under TLS 1.3 a gateway that asks for the certificate per path can do so only of clients that offer this.
    context.post_handshake_auth = True
    if authority is None:
        context.load_default_certs()
    else:
        _trust_authority(context, authority)
    if certificate is not None:
        _show_identity(
            context, *_read_identity(certificate, password.get_secret_value().encode() if password else None)
        )
    return context


def _trust_authority(context: ssl.SSLContext, authority: bytes) -> None:
    try:
        context.load_verify_locations(cadata=authority.decode("ascii"))
    except (ValueError, ssl.SSLError):
        raise CredentialError("the certificate authority is not readable PEM") from None


def _read_identity(certificate: bytes, password: bytes | None) -> Identity:
    read, form = (_read_pem, "PEM") if b"-----BEGIN " in certificate else (_read_pkcs12, "PKCS12")
    try:
        key, chain = read(certificate, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CredentialError(
            f"the client certificate, taken for {form}, can't be read: damaged, or its password is wrong or missing"
        ) from None
    chain.sort(key=lambda link: link.public_key() != key.public_key())  # OpenSSL wants the key's own certificate first
    return key, chain


def _read_pem(certificate: bytes, password: bytes | None) -> Identity:
    return load_pem_private_key(certificate, password), load_pem_x509_certificates(certificate)


def _read_pkcs12(certificate: bytes, password: bytes | None) -> Identity:
    key, leaf, chain = pkcs12.load_key_and_certificates(certificate, password)
    if key is None or leaf is None:
        raise ValueError("no key or no certificate")
    return key, [leaf, *chain]


def _show_identity(context: ssl.SSLContext, key: PrivateKeyTypes, chain: list[Certificate]) -> None:
    once = secrets.token_bytes(32).hex().encode()  # ssl reads files only: what is left of one must open for nobody
    with NamedTemporaryFile(suffix=".pem") as file:  # owner only, deleted on the way out
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(once)))
        file.writelines(link.public_bytes(Encoding.PEM) for link in chain)
        file.flush()
        try:
            context.load_cert_chain(file.name, password=once)
        except ssl.SSLError:
            raise CredentialError("the client certificate and its key don't belong together, or are too weak") from None
