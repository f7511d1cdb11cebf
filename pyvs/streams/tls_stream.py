"""The `ovs` library's ssl: streams, with --bootstrap-ca-cert and --peer-ca-cert."""

import errno
import os
import socket
import ssl

import ovs.socket_util
import ovs.stream
import ovs.vlog

from pyvs.streams import tls
from pyvs.streams.tls_settings import TlsSettings

vlog = ovs.vlog.Vlog("stream_ssl")


class TlsStream(ovs.stream.SSLStream):
    """While there is no certificate of the CA and `may_bootstrap`, the first peer's is saved:
    that connection ends with EPROTO, and the next one is verified."""

    may_bootstrap = False
    peer_ca_cert: str | None = None

    @staticmethod
    def _open(suffix: str, dscp: int) -> tuple:
        """(0, socket) or (errno, None)."""
        address = ovs.socket_util.inet_parse_active(suffix, 0, raises=False)
        family, sock = ovs.socket_util.inet_create_socket_active(socket.SOCK_STREAM, address)
        if sock is None:
            return family, sock
        try:
            wrapped = contexts.get(False).wrap_socket(sock, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            vlog.err(f"ssl:{suffix}: {error}")
            sock.close()
            return errno.EPROTO, None
        error = ovs.socket_util.inet_connect_active(wrapped, address, family, dscp)
        if error in (0, errno.EAGAIN, errno.EINPROGRESS):
            wrapped.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return error, wrapped

    def connect(self) -> int:
        result = super().connect()
        if result == 0 and self.socket.context.verify_mode == ssl.CERT_NONE:
            self._take_ca()
            return errno.EPROTO
        return result

    def _take_ca(self) -> None:
        path = ovs.stream.Stream._SSL_ca_cert_file
        if os.path.exists(path):
            return
        try:
            tls.bootstrap(self.socket, path)
        except tls.BootstrapError as error:
            vlog.err(f"{self.name}: could not bootstrap the CA certificate: {error}")
        else:
            vlog.info(f"{self.name}: bootstrapped the CA certificate to {path}")


def settings() -> TlsSettings:
    """What configure() was told last."""
    stream = ovs.stream.Stream
    return TlsSettings(
        stream._SSL_private_key_file,
        stream._SSL_certificate_file,
        stream._SSL_ca_cert_file,
        TlsStream.peer_ca_cert,
        TlsStream.may_bootstrap,
    )


# Of all `ssl:` and `pssl:` streams of this process.
contexts = tls.Contexts(settings)


def configure(
    private_key: str | None, certificate: str | None, ca_cert: str | None, bootstrap: bool
) -> None:
    """Names of files for all ssl: connections of this process that begin from now on.

    None or "": as before.
    """
    stream = ovs.stream.Stream
    for value, setter in (
        (private_key, stream.ssl_set_private_key_file),
        (certificate, stream.ssl_set_certificate_file),
        (ca_cert, stream.ssl_set_ca_cert_file),
    ):
        if value:
            setter(os.path.abspath(value))
    TlsStream.may_bootstrap = bootstrap
    stream.register_method("ssl", TlsStream)
