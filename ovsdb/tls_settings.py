"""What command lines say of TLS: those of the database server and of the tools."""


class TlsSettings:
    """Names of files, or None; those of our own three may be db:DB,TABLE,COLUMN, too."""

    __slots__ = (
        "bootstrap",
        "ca_cert",
        "certificate",
        "ciphers",
        "peer_ca_cert",
        "private_key",
        "protocols",
    )

    def __init__(self) -> None:
        self.private_key: str | None = None
        self.certificate: str | None = None
        self.ca_cert: str | None = None
        self.bootstrap = False  # take the CA's certificate from the first peer, if none is there
        self.peer_ca_cert: str | None = None  # sent to peers after our own
        self.protocols: str | None = None
        self.ciphers: str | None = None
