"""Flow keys for Python: bytes laid out as struct flow_key, network byte order throughout."""

from collections.abc import Mapping

KEY_PACKET_SIZE: int  # 256: what extraction fills
KEY_DP_SIZE: int  # 584: what the datapath sees
KEY_SIZE: int  # 672: with the pipeline registers
FRAG_ANY: int
FRAG_LATER: int

# member -> (offset, size in bytes); the order is that of member ids in SET actions
MEMBERS: Mapping[str, tuple[int, int]]

def extract(
    packet_bytes: bytes,
    in_port: int = 0,
    recirc_id: int = 0,
    skb_priority: int = 0,
    pkt_mark: int = 0,
    dp_hash: int = 0,
    packet_type: int = 0,
) -> bytes:
    """The key (KEY_SIZE bytes) of a packet that starts with its Ethernet header, or with the one of
    its packet type.

    A layer that is truncated or contradicts itself leaves its members 0."""

def extract_with_offsets(
    packet_bytes: bytes,
    in_port: int = 0,
    recirc_id: int = 0,
    skb_priority: int = 0,
    pkt_mark: int = 0,
    dp_hash: int = 0,
    packet_type: int = 0,
) -> tuple[bytes, dict[str, int | None], int]:
    """The key, the offsets l2_5, l3, l4 (None: not there), and the IP packet's own length."""

def wildcards_for(key: bytes) -> bytes:
    """The mask (KEY_SIZE bytes) of all members that mean something for a packet with this key."""

def ufid(key: bytes, mask: bytes) -> bytes:
    """16 bytes that name the megaflow; key need not be masked."""

def hash_l4(key: bytes, basis: int = 0, symmetric: bool = False) -> int: ...
