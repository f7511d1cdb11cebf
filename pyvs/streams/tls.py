"""TLS for Open vSwitch's protocols: OpenFlow, OVSDB, those of daemons and tools.

`Contexts` is where contexts are made, and made anew when a file has changed.  `bootstrap` takes
the authority's certificate from a peer at first contact, as --bootstrap-ca-cert asks for; a
context sends more certificates than one's own, as --peer-ca-cert wants, so that a peer can do
the former.
"""

import errno
import os
import ssl
from collections.abc import Callable
from typing import Any

from pyvs.named_files import read_regular
from pyvs.streams.tls_settings import TlsSettings

MOST_BYTES = 16 << 20  # of a file of certificates; a distribution's authorities are 250 KB

VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}

_EXPLICIT_0 = 0xA0  # DER tag of the version
_DER = 2  # ENCODING_DER of the _ssl module


class BootstrapError(Exception):
    """The peer gave no certificate that could be an authority's, or it cannot be saved."""


# --- contexts


class Contexts:
    """The contexts of a process for one protocol: one for clients and one for servers.

    `settings()` says what files there are to be now.  They are read again when one of them is
    another file or was written to, not for each connection: reading takes milliseconds, and
    anybody may connect.
    """

    def __init__(self, settings: Callable[[], TlsSettings]):
        self._settings = settings
        # server side? -> (what it was made of, the context or why there is none)
        self._made: dict[bool, tuple[tuple, ssl.SSLContext | Exception]] = {}

    def get(self, server_side: bool) -> ssl.SSLContext:
        """The context with the files as they are now; ValueError for what the settings lack or
        have too much, OSError when a file cannot be read or used."""
        settings = self._settings()
        state = _state(settings)
        known, made = self._made.get(server_side, (None, None))
        if known != state:
            try:
                for path in _files(settings):  # OpenSSL would read on and on in a device
                    read_regular(path, MOST_BYTES)
                made = new_context(settings, server_side)
            except (OSError, ValueError) as error:
                made = error
            self._made[server_side] = state, made
        if isinstance(made, Exception):
            raise made.with_traceback(None)
        return made


def _state(settings: TlsSettings) -> tuple:
    """What a context depends on; another value says that it is to be made anew."""
    files = (
        settings.private_key,
        settings.certificate,
        settings.ca_cert,
        settings.peer_ca_cert,
    )
    return (
        *((path, _stamp(path)) for path in files),
        settings.bootstrap,
        settings.protocols,
        settings.ciphers,
    )


def _stamp(path: str | None) -> tuple | None:
    if not path:
        return None
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def new_context(settings: TlsSettings, server_side: bool) -> ssl.SSLContext:
    """A context, for which the files are read; ValueError, OSError.

    While there is no certificate of the authority, and it may be taken from a peer, the context
    of a client verifies nothing: the connection is good for bootstrap() only.
    """
    missing = settings.missing()
    if missing:
        raise ValueError(f"TLS needs --{' and --'.join(missing)}")
    kind = ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT
    context = ssl.SSLContext(kind)
    context.check_hostname = False  # certificates name switches, not hosts
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    if settings.protocols:
        _set_protocols(context, settings.protocols)
    try:
        if settings.ciphers:
            context.set_ciphers(settings.ciphers)
        load_identity(context, settings.certificate, settings.private_key, settings.peer_ca_cert)  # type: ignore[arg-type]
        if settings.ca_cert == "none" or (not server_side and to_bootstrap(settings)):
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_verify_locations(settings.ca_cert)
    except ssl.SSLError as error:
        raise OSError(errno.EPROTO, str(error)) from error
    return context


def _files(settings: TlsSettings) -> list[str]:
    """The files that are there to be read."""
    named = [settings.private_key, settings.certificate, settings.peer_ca_cert]
    if settings.ca_cert != "none" and not to_bootstrap(settings):
        named.append(settings.ca_cert)
    return [path for path in named if path]


def to_bootstrap(settings: TlsSettings) -> str | None:
    """The file that the authority's certificate is yet to be saved in."""
    path = settings.ca_cert
    if not settings.bootstrap or not path or path == "none" or os.path.exists(path):
        return None
    return path


def _set_protocols(context: ssl.SSLContext, text: str) -> None:
    names = text.replace(",", " ").split()
    wanted = sorted(VERSIONS[name] for name in names if name in VERSIONS)
    if not wanted or len(wanted) != len(names):
        raise ValueError(f"{text}: unknown TLS protocol")
    context.minimum_version, context.maximum_version = wanted[0], wanted[-1]


def load_identity(
    context: ssl.SSLContext, certificate: str, private_key: str, peer_ca: str | None = None
) -> None:
    """Our certificate, followed by those of the file `peer_ca`.  Raises OSError."""
    if not peer_ca:
        context.load_cert_chain(certificate, private_key, _no_password)
        return
    # `ssl` reads a chain from one file only.
    fd = os.memfd_create("certificates")
    try:
        for path in (certificate, peer_ca):
            with open(path, "rb") as file:
                os.write(fd, file.read() + b"\n")
        context.load_cert_chain(f"/proc/self/fd/{fd}", private_key, _no_password)
    finally:
        os.close(fd)


def _no_password() -> str:
    """For a key that wants one: OpenSSL would ask on the terminal, and wait."""
    return ""


# --- first contact


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
    except (OSError, ValueError) as error:
        raise BootstrapError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        with os.fdopen(fd, "w") as file:
            file.write(ssl.DER_cert_to_PEM_cert(chain[-1]))
    except OSError as error:
        os.unlink(path)  # half of it would be taken for the authority's from now on
        raise BootstrapError(f"{path}: {error.strerror}") from error


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
