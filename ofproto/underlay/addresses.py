"""Addresses as numbers of 128 bits: IPv4's are mapped, so that one table has both."""

from ipaddress import IPv4Address, IPv6Address, ip_address

MAPPED = 0xFFFF << 32
BITS = 128
IPV4_BITS = 96  # of a mapped address's prefix that say that it is one


def from_text(text: str) -> int:
    """ValueError where it is no address."""
    address = ip_address(text)
    return int(address) | (MAPPED if address.version == 4 else 0)


def from_packed(packed: bytes) -> int:
    """4 or 16 bytes."""
    return int.from_bytes(packed, "big") | (MAPPED if len(packed) == 4 else 0)


def is_ipv4(address: int) -> bool:
    return address >> 32 == 0xFFFF


def text(address: int) -> str:
    return str(IPv4Address(address & 0xFFFFFFFF) if is_ipv4(address) else IPv6Address(address))


def packed(address: int) -> bytes:
    """4 bytes, or 16."""
    if is_ipv4(address):
        return (address & 0xFFFFFFFF).to_bytes(4, "big")
    return address.to_bytes(16, "big")


def mask(length: int) -> int:
    """Of a prefix of so many bits of 128."""
    return ((1 << BITS) - 1) ^ ((1 << (BITS - length)) - 1)


def network_from_text(given: str) -> tuple[int, int]:
    """(masked address, bits of 128) of ADDRESS or ADDRESS/BITS; ValueError."""
    host, slash, length = given.partition("/")
    address = from_text(host)
    family = BITS - IPV4_BITS if is_ipv4(address) else BITS
    bits = int(length) if slash else family
    if not 0 <= bits <= family:
        raise ValueError(f"{given}: no such prefix")
    bits += BITS - family
    return address & mask(bits), bits


def solicited_node(address: int) -> int:
    """The multicast address that asks for an IPv6 address (RFC 4291, section 2.7.1)."""
    return 0xFF0200000000000000000001FF000000 | address & 0xFFFFFF
