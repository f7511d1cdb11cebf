"""What ends a run of pyvs-ofctl with exit status 1."""


class SwitchError(Exception):
    """The switch answered with the ERROR message of these bytes."""

    def __init__(self, raw: bytes):
        super().__init__("the switch answered with an error")
        self.raw = raw


class BundleError(Exception):
    """A bundle has failed: the bytes of the ERRORs, and of the messages that they may be about."""

    def __init__(self, session, errors: list[bytes], requests: list[bytes]):
        super().__init__("a bundle was not executed")
        self.session = session
        self.errors = errors
        self.requests = requests
