"""What the command line says of TLS."""


class TlsSettings:
    """Names of files, or None; each may be db:DB,TABLE,COLUMN, too."""

    __slots__ = ("ca_cert", "certificate", "ciphers", "private_key", "protocols")

    def __init__(self) -> None:
        self.private_key: str | None = None
        self.certificate: str | None = None
        self.ca_cert: str | None = None
        self.protocols: str | None = None
        self.ciphers: str | None = None
