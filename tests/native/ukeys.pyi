"""vswitchd's table of flows, for its test."""

class Table:
    """Names have 16 bytes."""

    is_moving: bool  # whether it has grown and is not done with it

    def add(self, name: bytes) -> None: ...  # KeyError where it is there
    def find(self, name: bytes) -> bytes | None: ...
    def remove(self, name: bytes) -> bool: ...
    def names(self) -> list[bytes]: ...  # by age
    def take_all(self) -> list[bytes]: ...
