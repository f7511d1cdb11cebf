"""What TLS for Open vSwitch's protocols needs besides Python's `ssl`.

`bootstrap` takes the authority's certificate from a peer at first contact, as
--bootstrap-ca-cert asks for; `load_identity` sends more certificates than one's own, as
--peer-ca-cert does, so that a peer can do the former.
"""

import os
import ssl
from typing import Any

_EXPLICIT_0 = 0xA0  # DER tag of the version
_DER = 2  # ENCODING_DER of the _ssl module


class BootstrapError(Exception):
    """The peer gave no certificate that could be an authority's, or it cannot be saved."""


def load_identity(
    context: ssl.SSLContext, certificate: str, private_key: str, peer_ca: str | None = None
) -> None:
    """Our certificate, followed by those of the file `peer_ca`.  Raises OSError."""
    if not peer_ca:
        context.load_cert_chain(certificate, private_key)
        return
    # `ssl` reads a chain from one file only.
    fd = os.memfd_create("certificates")
    try:
        for path in (certificate, peer_ca):
            with open(path, "rb") as file:
                os.write(fd, file.read() + b"\n")
        context.load_cert_chain(f"/proc/self/fd/{fd}", private_key)
    finally:
        os.close(fd)


def bootstrap(sock: ssl.SSLSocket, path: str) -> None:
    """Save the last certificate that the peer sent as that of its authority, in PEM.

    The connection has passed its handshake without verification and is good for nothing
    else.  Raises BootstrapError; an existing file is one.
    """
    chain = _chain(sock)
    if not chain:
        raise BootstrapError("the peer sent no certificate")
    if not _is_self_signed(chain[-1]):
        raise BootstrapError("the peer does not send its authority's certificate")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except OSError as error:
        raise BootstrapError(f"{path}: {error.strerror}") from error
    with os.fdopen(fd, "w") as file:
        file.write(ssl.DER_cert_to_PEM_cert(chain[-1]))


def _chain(sock: Any) -> list[bytes]:
    """The certificates as the peer sent them, in DER; its own is the first."""
    if hasattr(sock, "get_unverified_chain"):  # from Python 3.13
        return list(sock.get_unverified_chain() or ())
    return [each.public_bytes(_DER) for each in sock._sslobj.get_unverified_chain() or ()]


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, begin and end of the contents of the DER element at this offset."""
    tag, length = data[at], data[at + 1]
    at += 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(data[at : at + size], "big")
        at += size
    if at + length > len(data):
        raise IndexError("element is longer than its surroundings")
    return tag, at, at + length


def _is_self_signed(certificate: bytes) -> bool:
    """Whether issuer and subject are the same (RFC 5280 section 4.1)."""
    try:
        _, at, _ = _element(certificate, 0)
        _, at, _ = _element(certificate, at)  # TBSCertificate
        parts = []
        while len(parts) < 5:  # serial number, algorithm, issuer, validity, subject
            tag, _, end = _element(certificate, at)
            if tag != _EXPLICIT_0:  # the version is left out in version 1
                parts.append(certificate[at:end])
            at = end
    except IndexError:
        return False
    return parts[2] == parts[4]
