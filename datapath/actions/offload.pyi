"""Offloads in software, for tests."""

def segments(frame: bytes, vnet: dict[str, int]) -> list[tuple[bytes, dict[str, int]]]:
    """The frames that a frame with this virtio-net header stands for; ValueError."""

def crc(data: bytes) -> int:
    """CRC32c."""
