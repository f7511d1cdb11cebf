"""What is said of TLS by command lines, commands and databases: the daemons' and the tools'."""


class TlsSettings:
    """Names of files, or None; `ca_cert` "none" asks for no certificate of the peer."""

    __slots__ = (
        "bootstrap",
        "ca_cert",
        "certificate",
        "ciphers",
        "peer_ca_cert",
        "private_key",
        "protocols",
    )

    def __init__(
        self,
        private_key: str | None = None,
        certificate: str | None = None,
        ca_cert: str | None = None,
        peer_ca_cert: str | None = None,
        bootstrap: bool = False,
    ) -> None:
        self.private_key = private_key
        self.certificate = certificate
        self.ca_cert = ca_cert
        self.bootstrap = (
            bootstrap  # take the CA's certificate from the first peer, if none is there
        )
        self.peer_ca_cert = peer_ca_cert  # sent to peers after our own
        self.protocols: str | None = None
        self.ciphers: str | None = None

    def missing(self) -> list[str]:
        """The names of those of the three files that are not named."""
        names = ("private_key", "certificate", "ca_cert")
        return [name.replace("_", "-") for name in names if not getattr(self, name)]
