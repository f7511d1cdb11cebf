"""The lookup of a worker, for tests and measurements."""

class Classifier:
    """An exact-match cache in front of a megaflow table.

    Keys and masks have KEY_DP_SIZE or KEY_SIZE bytes."""

    def tune(self, inverse: int, signatures: bool) -> None: ...
    def insert(
        self, key: bytes, mask: bytes, actions: bytes = b"", ufid: bytes | None = None
    ) -> bytes:
        """Returns the ufid.  OSError EEXIST: the ufid has another key, or these another ufid."""

    def remove(self, ufid: bytes) -> None:
        """KeyError where it is not there."""

    def flush(self) -> None: ...
    def lookup(self, key: bytes, cached: bool = True) -> bytes | None: ...
    def flows(self) -> list[tuple[bytes, bytes, bytes, bytes]]:
        """(ufid, masked key, mask, actions) of each, KEY_DP_SIZE bytes of key and mask."""

    def stats(self) -> dict[str, int]: ...
    def classify_frames(self, frames: list[bytes], rounds: int, cached: bool = True) -> int:
        """Extracts and looks up all frames (in_port 1) `rounds` times; returns how many hit."""
