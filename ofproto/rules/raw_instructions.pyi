"""A flow's instructions as they came."""

from typing import Any

class RawInstructions:
    """Not decoded."""

    data: bytes
    version: int
    kind: Any
    def decode(self) -> list[Any]:
        """A list of Instruction."""

    def compile(self) -> Any:
        """A Program of them."""
