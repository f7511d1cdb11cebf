"""The error object of the specification (CNI 1.1.0, section 5, "Error")."""

from ..errors import Fault

INCOMPATIBLE_VERSION, UNSUPPORTED_FIELD, UNKNOWN_CONTAINER, INVALID_ENVIRONMENT = 1, 2, 3, 4
IO_FAILURE, DECODING_FAILURE, INVALID_CONFIG = 5, 6, 7
TRY_AGAIN = 11
NOT_AVAILABLE = 50  # STATUS: ADD would fail
# From 100 on they are the plug-in's own.
FAILED = 100


class CniError(Fault):
    """An answer with `code`; str() is its msg."""

    def __init__(self, code: int, message: str, details: str = ""):
        super().__init__(message)
        self.code, self.details = code, details

    def as_object(self, version: str) -> dict:
        """What is printed."""
        found = {"cniVersion": version, "code": self.code, "msg": str(self)}
        return {**found, "details": self.details} if self.details else found


class Delegated(CniError):
    """The IPAM plug-in is not there, or answers nothing that can be read."""


class Refused(Delegated):
    """What the IPAM plug-in answered; it is passed on as it is."""
