"""TLS for the OVSDB clients; apart, because importing `ssl` is slow."""

import os
import ssl

from pyvs.streams.tls import BootstrapError, bootstrap, new_context


def _bootstrap(sock, path):
    """Takes the last certificate that the peer sends as the CA's, and saves it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(sock) as wrapped:
        try:
            bootstrap(wrapped, path)
        except BootstrapError as error:
            raise ValueError(f"could not bootstrap the CA certificate: {error}") from None


def wrap(sock, tls, server_side):
    """`sock` inside TLS.  Raises OSError, ValueError."""
    if tls.missing():
        raise ValueError("SSL needs --private-key, --certificate and --ca-cert")
    try:
        if tls.bootstrap and not os.path.exists(tls.ca_cert):
            # One connection fetches the certificate; the verified one is a second.
            address = sock.getpeername()
            _bootstrap(sock, tls.ca_cert)
            import socket

            sock = socket.create_connection(address[:2])
        return new_context(tls, server_side).wrap_socket(sock, server_side=server_side)
    except (OSError, ValueError):
        sock.close()
        raise
