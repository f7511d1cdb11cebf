"""The two programs of the kernel cache, and the maps that they share.

A frame that a port receives passes its packet socket first, then the classifier of tc:

- The *socket filter* reads the frame, looks it up, and leaves its verdict in a place of the
  processor's own.  On a hit it returns 0, so that the frame does not go to user space.
- The *classifier*, on clsact ingress, runs next for the same frame on the same processor.  It takes
  the verdict, and on a hit does what the entry says; on a miss the frame, which the socket has got,
  goes to the host's stack, or no further where the device is the switch's alone (owned).  Where
  no verdict is there for this frame (no datapath process lives, or the kernel spared the packet
  sockets because memory is short), it looks up itself.

So a frame is looked up once, and delivered or forwarded once, whatever changes between the two.
A verdict is for the frame with the same address, device and length, and goes as it is taken.

The filter trusts that the classifier comes after it.  Where it finds the last verdict of its
processor not taken, that was in vain, and the verdict's device is in doubt: its frames are misses
until user space has looked after it (doubts).

An entry is void when its generation is not its slot's; one store of the worker that owns the slot
voids all entries of a megaflow.  What is read here is what entry.pyx says: Ethernet, one tag (the
kernel has it beside the frame by then), IPv4 without options or IPv6 without extension headers,
and ports.  Any frame that is not exactly so is a miss.
"""

import socket

from datapath.base.protocols import (
    ND_ADVERT,
    ND_SOLICIT,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_IGMP,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
)
from datapath.bpf import entry
from datapath.bpf.instructions import (
    FRAME,
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    Code,
    Register,
)

# struct __sk_buff
SKB_LENGTH, SKB_VLAN_PRESENT, SKB_VLAN_TCI, SKB_VLAN_PROTO, SKB_IFINDEX = 0, 20, 24, 28, 40

TC_ACT_UNSPEC, TC_ACT_SHOT = -1, 2
KEEP_ALL = -1  # of a socket filter: how much of the frame goes to the socket
RECOMPUTE_CHECKSUM = 1  # flag of skb_store_bytes: what the device summed changes, too

ETHERNET, IPV4, IPV6 = 14, 20, 40  # bytes of headers
FRAGMENT, FRAGMENT_OFFSET = 0x3FFF, 0x1FFF
ANY, LATER = 1, 2  # flow_key.nw_frag
DEI = 0x1000
ENTRY_BIT = entry.FLAGS
DEVICES = 1024  # places of devices in arrays, by the low bits of their numbers

_OFFSETS = entry.offsets()
KEY, ENTRY, COUNTERS, VERDICT = (_OFFSETS[name] for name in ("key", "entry", "counters", "verdict"))

# The stack: the key at its end, then a header, then words that outlive calls
KEY_AT = -KEY["size"]
HEADER_AT = KEY_AT - 40
TCP_FLAGS_AT = HEADER_AT - 8
SIZE_AT = TCP_FLAGS_AT - 8


def counters_size(n_cpus: int) -> int:
    """Bytes of all counters: slot by slot, in each processor by processor."""
    return entry.SLOTS * n_cpus * COUNTERS["size"]


# r6 is the frame's context all the time.


def _read(code: Code, at: int, offset: Register | int, size: int) -> None:
    """`size` bytes of the frame from `offset` to the stack at `at`; a miss where there are less."""
    code.mov(R1, R6).mov(R2, offset).mov(R3, FRAME).add(R3, at).mov(R4, size)
    code.call("skb_load_bytes").jump("jne", R0, 0, "miss")


def _network16(code: Code, to: Register, at: int) -> None:
    code.load(to, FRAME, at, 16).big_endian(to, 16)


def _put_key(code: Code, name: str, value: Register, bits: int) -> None:
    code.store(FRAME, KEY_AT + KEY[name], value, bits)


def _copy(code: Code, to: int, start: int, size: int) -> None:
    """Whole words on the stack."""
    for at in range(0, size, 8):
        code.load(R1, FRAME, start + at, 64).store(FRAME, to + at, R1, 64)


def _link_layer(code: Code) -> None:
    """Device, tag, addresses; r7: the Ethertype."""
    for at in range(KEY_AT, 0, 8):
        code.store(FRAME, at, 0, 64)
    code.store(FRAME, TCP_FLAGS_AT, 0, 64)
    code.load(R1, R6, SKB_IFINDEX, 32)
    _put_key(code, "ifindex", R1, 32)
    code.load(R1, R6, SKB_VLAN_PRESENT, 32).jump("jeq", R1, 0, "untagged")
    code.load(R1, R6, SKB_VLAN_PROTO, 32)
    _put_key(code, "vlan_tpid", R1, 16)
    code.load(R1, R6, SKB_VLAN_TCI, 32).alu("or", R1, DEI).big_endian(R1, 16)
    _put_key(code, "vlan_tci", R1, 16)
    code.label("untagged")
    _read(code, KEY_AT + KEY["eth_dst"], 0, ETHERNET)
    _network16(code, R7, KEY_AT + KEY["eth_type"])
    code.jump("jeq", R7, entry.ETHERTYPES["ipv6"], "ipv6")
    code.jump("jne", R7, entry.ETHERTYPES["ipv4"], "miss")


def _fits(code: Code, headers: int) -> None:
    """A miss unless r8 bytes are there behind `headers`."""
    code.load(R1, R6, SKB_LENGTH, 32).add(R1, -headers).jump("jsgt", R8, R1, "miss")


# From here to the transport layer: r7 protocol, r8 bytes from its header on, r9 where that is.


def _ipv4(code: Code) -> None:
    _read(code, HEADER_AT, ETHERNET, IPV4)
    code.load(R1, FRAME, HEADER_AT, 8).jump("jne", R1, 0x45, "miss")
    _network16(code, R8, HEADER_AT + 2)
    code.jump("jlt", R8, IPV4, "miss")
    _fits(code, ETHERNET)
    code.add(R8, -IPV4).mov(R9, ETHERNET + IPV4)
    for name, at in (("nw_tos", 1), ("nw_ttl", 8), ("nw_proto", 9)):
        code.load(R7, FRAME, HEADER_AT + at, 8)
        _put_key(code, name, R7, 8)
    code.load(R1, FRAME, HEADER_AT + 12, 32).store(FRAME, KEY_AT + KEY["addresses"], R1, 32)
    code.load(R1, FRAME, HEADER_AT + 16, 32).store(FRAME, KEY_AT + KEY["addresses"] + 4, R1, 32)
    _network16(code, R1, HEADER_AT + 6)
    code.mov(R2, R1).alu("and", R2, FRAGMENT).jump("jeq", R2, 0, "whole").mov(R2, ANY)
    code.alu("and", R1, FRAGMENT_OFFSET).jump("jeq", R1, 0, "first").mov(R2, ANY | LATER)
    _put_key(code, "nw_frag", R2, 8)
    code.go("look up").label("first")
    _put_key(code, "nw_frag", R2, 8)
    code.label("whole").jump("jeq", R7, PROTO_ICMP, "icmp").jump("jeq", R7, PROTO_IGMP, "miss")
    code.jump("jeq", R7, PROTO_TCP, "tcp").jump("jeq", R7, PROTO_UDP, "udp").jump(
        "jeq", R7, PROTO_SCTP, "sctp"
    )
    code.go("look up")


def _ipv6(code: Code) -> None:
    code.label("ipv6")
    _read(code, HEADER_AT, ETHERNET, IPV6)
    _network16(code, R1, HEADER_AT)
    code.mov(R2, R1).alu("rsh", R2, 12).jump("jne", R2, 6, "miss").alu("rsh", R1, 4)
    _put_key(code, "nw_tos", R1, 8)
    _network16(code, R8, HEADER_AT + 4)
    _fits(code, ETHERNET + IPV6)
    code.mov(R9, ETHERNET + IPV6)
    for name, at in (("nw_ttl", 7), ("nw_proto", 6)):
        code.load(R7, FRAME, HEADER_AT + at, 8)
        _put_key(code, name, R7, 8)
    _copy(code, KEY_AT + KEY["addresses"], HEADER_AT + 8, 32)
    code.jump("jeq", R7, PROTO_TCP, "tcp").jump("jeq", R7, PROTO_UDP, "udp").jump(
        "jeq", R7, PROTO_SCTP, "sctp"
    )
    code.jump("jne", R7, PROTO_ICMPV6, "miss")


def _icmp(code: Code) -> None:
    """Type and code are the ports; a neighbour's discovery has more that may matter."""
    code.label("icmp").jump("jlt", R8, 8, "miss")
    _read(code, HEADER_AT, R9, 8)
    code.load(R1, FRAME, HEADER_AT, 8).load(R2, FRAME, HEADER_AT + 1, 8)
    code.jump("jne", R7, PROTO_ICMPV6, "icmp ports").jump("jne", R2, 0, "icmp ports")
    code.jump("jeq", R1, ND_SOLICIT, "miss").jump("jeq", R1, ND_ADVERT, "miss")
    code.label("icmp ports").big_endian(R1, 16).big_endian(R2, 16)
    _put_key(code, "tp_src", R1, 16)
    _put_key(code, "tp_dst", R2, 16)
    code.go("look up")


def _tcp(code: Code) -> None:
    code.label("tcp").jump("jlt", R8, 20, "miss")
    _read(code, HEADER_AT, R9, 20)
    code.load(R1, FRAME, HEADER_AT + 12, 8).alu("rsh", R1, 4).alu("lsh", R1, 2)
    code.jump("jlt", R1, 20, "miss").jump("jgt", R1, R8, "miss")
    code.load(R1, FRAME, HEADER_AT + 12, 16).alu("and", R1, socket.htons(0x0FFF))
    code.store(FRAME, TCP_FLAGS_AT, R1, 64).go("ports")


def _other_ports(code: Code) -> None:
    for label, header in (("sctp", 12), ("udp", 8)):
        code.label(label).jump("jlt", R8, header, "miss")
        if label == "sctp":
            code.go("read ports")
    code.label("read ports")
    _read(code, HEADER_AT, R9, 8)
    code.label("ports").load(R1, FRAME, HEADER_AT, 16).load(R2, FRAME, HEADER_AT + 2, 16)
    _put_key(code, "tp_src", R1, 16)
    _put_key(code, "tp_dst", R2, 16)


def _look_up(code: Code) -> None:
    """r7: the entry; falls through on a hit."""
    code.label("look up").map(R1, "entries").mov(R2, FRAME).add(R2, KEY_AT)
    code.call("map_lookup_elem").jump("jeq", R0, 0, "miss").mov(R7, R0)
    code.load(R1, R7, ENTRY["slot"], 32).jump("jge", R1, entry.SLOTS, "miss").alu("lsh", R1, 2)
    code.map_value(R2, "generations").add(R2, R1).load(R2, R2, 0, 32)
    code.load(R1, R7, ENTRY["generation"], 32).jump("jne", R1, R2, "miss")


def _find(code: Code) -> None:
    """The whole way from the frame to the entry in r7; else "miss"."""
    for part in (_link_layer, _ipv4, _ipv6, _icmp, _tcp, _other_ports, _look_up):
        part(code)


def _processor(code: Code, n_cpus: int) -> None:
    """r0: the processor's number, which the verifier knows to be below n_cpus, a power of two."""
    code.call("get_smp_processor_id").alu("and", R0, n_cpus - 1)


def _verdict(code: Code, n_cpus: int, to: Register) -> None:
    """`to`: the processor's verdict; r0 is lost."""
    _processor(code, n_cpus)
    code.alu("mul", R0, VERDICT["size"]).map_value(to, "verdicts").add(to, R0)


def _place_of_device(code: Code, base: Register, name: str) -> None:
    """`base`: the word of the device numbered r1 in an array of DEVICES; r1 is lost."""
    code.alu("and", R1, DEVICES - 1).alu("lsh", R1, 2).map_value(base, name).add(base, R1)


def _doubt_untaken(code: Code, n_cpus: int) -> None:
    """A verdict that is still there puts its device in doubt."""
    _verdict(code, n_cpus, R8)
    code.load(R1, R8, VERDICT["state"], 32).jump("jeq", R1, entry.VERDICTS["none"], "taken")
    code.load(R1, R8, VERDICT["ifindex"], 32)
    _place_of_device(code, R2, "doubts")
    code.store(R2, 0, 1, 32).label("taken")


def _unless_in_doubt(code: Code) -> None:
    """A miss where this frame's device is in doubt."""
    code.load(R1, R6, SKB_IFINDEX, 32)
    _place_of_device(code, R2, "doubts")
    code.load(R1, R2, 0, 32).jump("jne", R1, 0, "miss")


def socket_filter(n_cpus: int) -> Code:
    """For a packet socket; n_cpus: a power of two, more than the greatest number of a processor."""
    code = Code().mov(R6, R1)
    _doubt_untaken(code, n_cpus)
    _find(code)
    _unless_in_doubt(code)
    _verdict(code, n_cpus, R8)
    code.load(R1, FRAME, TCP_FLAGS_AT, 64).store(R8, VERDICT["tcp_flags"], R1, 32)
    for at in range(0, ENTRY["size"], 8):
        code.load(R1, R7, at, 64).store(R8, VERDICT["entry"] + at, R1, 64)
    code.mov(R9, entry.VERDICTS["hit"]).mov(R7, 0).go("leave").label("miss")
    _verdict(code, n_cpus, R8)
    code.mov(R9, entry.VERDICTS["miss"]).mov(R7, KEEP_ALL).label("leave")
    code.store(R8, VERDICT["skb"], R6, 64)
    code.load(R1, R6, SKB_IFINDEX, 32).store(R8, VERDICT["ifindex"], R1, 32)
    code.load(R1, R6, SKB_LENGTH, 32).store(R8, VERDICT["frame"], R1, 32)
    return code.store(R8, VERDICT["state"], R9, 32).mov(R0, R7).exit()


def _take_verdict(code: Code, n_cpus: int) -> None:
    """To "act" with the verdict's entry in r7, to "miss", or on where there is none."""
    _verdict(code, n_cpus, R8)
    code.load(R9, R8, VERDICT["state"], 32).store(R8, VERDICT["state"], 0, 32)
    code.jump("jeq", R9, entry.VERDICTS["none"], "find")
    code.load(R1, R8, VERDICT["skb"], 64).jump("jne", R1, R6, "find")
    for name, field in (("ifindex", SKB_IFINDEX), ("frame", SKB_LENGTH)):
        code.load(R1, R8, VERDICT[name], 32).load(R2, R6, field, 32).jump("jne", R1, R2, "find")
    code.jump("jeq", R9, entry.VERDICTS["miss"], "miss")
    code.load(R1, R8, VERDICT["tcp_flags"], 32).store(FRAME, TCP_FLAGS_AT, R1, 64)
    code.mov(R7, R8).add(R7, VERDICT["entry"]).go("act").label("find")


def _count(code: Code, n_cpus: int) -> None:
    """Packet, bytes with their tag, time and flags, to the slot of the entry in r7."""
    code.load(R1, R6, SKB_LENGTH, 32).load(R2, R6, SKB_VLAN_PRESENT, 32)
    code.jump("jeq", R2, 0, "no tag").add(R1, 4).label("no tag").store(FRAME, SIZE_AT, R1, 64)
    _processor(code, n_cpus)
    code.load(R1, R7, ENTRY["slot"], 32).jump("jge", R1, entry.SLOTS, "drop")
    code.alu("mul", R1, n_cpus).add(R1, R0).alu("mul", R1, COUNTERS["size"])
    code.map_value(R8, "counters").add(R8, R1)
    code.load(R1, R8, COUNTERS["n_packets"], 64).add(R1, 1)
    code.store(R8, COUNTERS["n_packets"], R1, 64)
    code.load(R1, R8, COUNTERS["n_bytes"], 64).load(R2, FRAME, SIZE_AT, 64).add(R1, R2)
    code.store(R8, COUNTERS["n_bytes"], R1, 64)
    code.load(R1, R8, COUNTERS["tcp_flags"], 64).load(R2, FRAME, TCP_FLAGS_AT, 64)
    code.alu("or", R1, R2).store(R8, COUNTERS["tcp_flags"], R1, 64)
    code.call("ktime_get_ns").store(R8, COUNTERS["used"], R0, 64)


def _unless(code: Code, flag: str, target: str) -> None:
    """To `target` where the flag in r9 is not set."""
    code.mov(R1, R9).alu("and", R1, ENTRY_BIT[flag]).jump("jeq", R1, 0, target)


def _tags(code: Code) -> None:
    """r9: the entry's flags."""
    code.load(R8, R7, ENTRY["vlan_tci"], 16)
    _unless(code, "keep_dei", "no dei")
    code.load(R1, R6, SKB_VLAN_TCI, 32).alu("and", R1, DEI).alu("or", R8, R1).label("no dei")
    _unless(code, "pop", "not popped")
    code.mov(R1, R6).call("skb_vlan_pop").jump("jne", R0, 0, "drop").label("not popped")
    _unless(code, "push", "not pushed")
    code.mov(R1, R6).load(R2, R7, ENTRY["vlan_tpid"], 16).mov(R3, R8)
    code.call("skb_vlan_push").jump("jne", R0, 0, "drop").label("not pushed")


def _store(code: Code, offset: int, start: int, size: int, flags: int) -> None:
    """Bytes of the entry, from `start` on, into the frame."""
    code.mov(R1, R6).mov(R2, offset).mov(R3, R7).add(R3, start).mov(R4, size).mov(R5, flags)
    code.call("skb_store_bytes").jump("jne", R0, 0, "drop")


def _headers(code: Code) -> None:
    """Addresses and TTL.  The device's sum of a frame begins behind its Ethernet header; in IPv4
    the header's checksum takes back what the TTL changes, in IPv6 nothing does."""
    _unless(code, "set_macs", "no macs")
    _store(code, 0, ENTRY["macs"], 12, 0)
    code.label("no macs")
    _unless(code, "set_ttl6", "no ttl6")
    _store(code, ETHERNET + 7, ENTRY["ttl"], 1, RECOMPUTE_CHECKSUM)
    code.label("no ttl6")
    _unless(code, "set_ttl4", "no ttl4")
    _read_word(code, ETHERNET + 8)
    code.load(R3, FRAME, HEADER_AT, 16).load(R4, R7, ENTRY["ttl"], 8)
    code.store(FRAME, HEADER_AT, R4, 8).load(R4, FRAME, HEADER_AT, 16)
    code.mov(R1, R6).mov(R2, ETHERNET + 10).mov(R5, 2)
    code.call("l3_csum_replace").jump("jne", R0, 0, "drop")
    _store(code, ETHERNET + 8, ENTRY["ttl"], 1, 0)
    code.label("no ttl4")


def _read_word(code: Code, offset: int) -> None:
    code.mov(R1, R6).mov(R2, offset).mov(R3, FRAME).add(R3, HEADER_AT).mov(R4, 2)
    code.call("skb_load_bytes").jump("jne", R0, 0, "drop")


def classifier(n_cpus: int) -> Code:
    """For clsact ingress, direct action; n_cpus as in socket_filter()."""
    code = Code().mov(R6, R1).store(FRAME, TCP_FLAGS_AT, 0, 64)
    _take_verdict(code, n_cpus)
    _find(code)
    code.label("act")
    _count(code, n_cpus)
    code.load(R1, R7, ENTRY["ifindex"], 32).jump("jeq", R1, 0, "drop")
    code.load(R9, R7, ENTRY["flags"], 8)
    _tags(code)
    _headers(code)
    code.load(R1, R7, ENTRY["ifindex"], 32).mov(R2, 0).call("redirect").exit()
    code.label("drop").mov(R0, TC_ACT_SHOT).exit()
    code.label("miss").load(R3, R6, SKB_IFINDEX, 32).mov(R1, R3)
    _place_of_device(code, R2, "owned")
    code.load(R1, R2, 0, 32).jump("jeq", R1, R3, "drop")
    return code.mov(R0, TC_ACT_UNSPEC).exit()
