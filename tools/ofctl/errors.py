"""What ends a run of pyvs-ofctl with exit status 1."""


class SwitchError(Exception):
    """The switch answered with the ERROR message of these bytes."""

    def __init__(self, raw: bytes):
        super().__init__("the switch answered with an error")
        self.raw = raw
