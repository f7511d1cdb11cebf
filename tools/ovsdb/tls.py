"""TLS for the OVSDB clients; apart, because importing `ssl` is slow."""

import os
import ssl

from pyvs import tls as tls_files

_VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}


def _context(tls, server_side):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # certificates name switches, not hosts
    context.verify_mode = ssl.CERT_REQUIRED
    if tls.protocols:
        names = tls.protocols.replace(",", " ").split()
        wanted = sorted(_VERSIONS[name] for name in names if name in _VERSIONS)
        if not wanted or len(wanted) != len(names):
            raise ValueError(f"{tls.protocols}: unknown TLS protocol")
        context.minimum_version, context.maximum_version = wanted[0], wanted[-1]
    if tls.ciphers:
        context.set_ciphers(tls.ciphers)
    return context


def _bootstrap(sock, path):
    """Takes the last certificate that the peer sends as the CA's, and saves it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(sock) as wrapped:
        try:
            tls_files.bootstrap(wrapped, path)
        except tls_files.BootstrapError as error:
            raise ValueError(f"could not bootstrap the CA certificate: {error}") from None


def wrap(sock, tls, server_side):
    """`sock` inside TLS.  Raises OSError, ValueError."""
    if not (tls.private_key and tls.certificate and tls.ca_cert):
        raise ValueError("SSL needs --private-key, --certificate and --ca-cert")
    try:
        if tls.bootstrap and not os.path.exists(tls.ca_cert):
            # One connection fetches the certificate; the verified one is a second.
            address = sock.getpeername()
            _bootstrap(sock, tls.ca_cert)
            import socket

            sock = socket.create_connection(address[:2])
        context = _context(tls, server_side)
        tls_files.load_identity(context, tls.certificate, tls.private_key, tls.peer_ca_cert)
        if tls.ca_cert == "none":
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_verify_locations(tls.ca_cert)
        return context.wrap_socket(sock, server_side=server_side)
    except (OSError, ValueError):
        sock.close()
        raise
