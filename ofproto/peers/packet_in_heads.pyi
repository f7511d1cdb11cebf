"""PACKET_INs without their packets, which are the same for many."""

MAX_HEADS: int

class Heads:
    """MAX_HEADS of them at most."""

    def __len__(self) -> int: ...
    def find(self, numbers: tuple, key: bytes) -> bytes | None:
        """The head for these numbers and this flow key (of KEY_SIZE bytes), or None."""

    def keep(self, numbers: tuple, key: bytes, head: bytes) -> None:
        """From here on find() gives this one."""
