"""Messages that the switch sends unasked: PACKET_IN, FLOW_REMOVED, ROLE_STATUS, REQUESTFORWARD.

Each peer gets those that its role, its masks and its version want, in its own format.
"""

from typing import Any

from datapath.base.protocols import ETH_IP, ETH_IPV6
from datapath.key import flow
from ofproto.codec import messages
from ofproto.codec.errors import OFError
from ofproto.codec.match import Match
from ofproto.codec.messages.packet import TOTAL_LEN_AT
from ofproto.codec.numbers import OF13, OF14, OFPR_ACTION, OFPR_NO_MATCH
from ofproto.peers.packet_in import ACTION, MISS
from ofproto.peers.packet_in_heads import Heads
from ofproto.peers.roles import ROLE_SLAVE

# A frame that is yet to be segmented may be longer than a message: so much of it goes to a
# controller.  Its match takes less than the rest; the length of the whole has 16 bits.
MOST_PACKET = messages.MAX_SIZE - 1024
MOST_TOTAL = 0xFFFF

# Fields of the pipeline that a PACKET_IN tells when they are not zero: name, start, end, zero.
PIPELINE = [
    (name, start, start + size, bytes(size))
    for name in (
        *("packet_type", "metadata", "pkt_mark", "ct_zone", "ct_mark", "ct_label"),
        *("tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst", "tun_gbp_id"),
        *("tun_gbp_flags", "tun_erspan_ver", "tun_erspan_idx", "tun_erspan_dir"),
        *("tun_erspan_hwid", "tun_gtpu_flags", "tun_gtpu_msgtype"),
        *(f"reg{i}" for i in range(16)),
    )
    for start, size in [flow.MEMBERS[name]]
]


_PHYSICAL = flow.MEMBERS["in_phy_port"][0]
_TUN_OAM_AT = sum(flow.MEMBERS["tun_flags"]) - 1
_PRESENT = slice(flow.MEMBERS["tun_present"][0], sum(flow.MEMBERS["tun_present"]))
_OAM = 1  # the flag that OpenFlow's tun_flags has

# What the tracker found: those that every packet may have, and by the Ethertype the original
# direction's, which a valid connection has.
_CT_STATE, _CT_PROTO, _ETH_TYPE = (
    flow.MEMBERS[n][0] for n in ("ct_state", "ct_nw_proto", "eth_type")
)
_CT_VALID = 0x0B  # new, est, rpl
_L4_TUPLE = ("ct_nw_proto", "ct_tp_src", "ct_tp_dst")
_TUPLES = {
    ETH_IP: ("ct_nw_src", "ct_nw_dst", *_L4_TUPLE),
    ETH_IPV6: ("ct_ipv6_src", "ct_ipv6_dst", *_L4_TUPLE),
}


def _tracked(match: Match, key: bytes) -> None:
    """What the tracker found; the Ethertype says how to read it."""
    state = int.from_bytes(key[_CT_STATE : _CT_STATE + 4], "big")
    if not state:
        return
    eth_type = int.from_bytes(key[_ETH_TYPE : _ETH_TYPE + 2], "big")
    match.set("ct_state", state)
    match.set("eth_type", eth_type)
    if state & _CT_VALID and key[_CT_PROTO]:
        for name in _TUPLES.get(eth_type, ()):
            start, size = flow.MEMBERS[name]
            match.set(name, int.from_bytes(key[start : start + size], "big"))


def pipeline_match(event: Any) -> Match:
    """in_port, and what metadata, tunnel, registers and tracking were, as a match."""
    match = Match()
    match.set("in_port", event.in_port)
    key = event.key
    for name, start, end, zero in PIPELINE:
        if key[start:end] != zero:
            match.set(name, int.from_bytes(key[start:end], "big"))
    if key[_TUN_OAM_AT] & _OAM:
        match.set("tun_flags", _OAM)
    if any(key[_PRESENT]):
        event.options.match_all(match, key)
    _tracked(match, key)
    physical = int.from_bytes(key[_PHYSICAL : _PHYSICAL + 4], "big")
    if physical not in (0, event.in_port):  # else it goes without saying (OpenFlow 1.3.5, 7.2.3.8)
        match.set("in_phy_port", physical)
    return match


def wire_reason(event: Any, version: int) -> int:
    """The reason that a version has for it: before 1.4 what is not a miss or a TTL is an action's,
    and before 1.3 a table-miss flow is a flow like others."""
    if event.reason == OFPR_NO_MATCH:
        return OFPR_ACTION if event.miss == "flow" and version < OF13 else OFPR_NO_MATCH
    if event.reason > 2 and version < OF14:
        return OFPR_ACTION
    return event.reason


def packet_in_for(peer: Any, event: Any) -> bytes | None:
    """The message for a peer, or None when it does not want it.

    It has the whole packet, whatever the action's max_len or miss_send_len: they say how much of
    a packet is sent that is kept in a buffer (OpenFlow 1.3.5, 7.4.1), and there are no buffers.
    """
    if event.controller_id != peer.controller_id or not peer.running:
        return None
    if event.miss == "implicit" and peer.version >= OF13:
        return None  # there a miss without a flow for it drops
    reason = wire_reason(event, peer.version)
    if not peer.wants("packet_in", reason):
        return None
    packet = event.packet[:MOST_PACKET]
    total = min(len(event.packet), MOST_TOTAL)
    if peer.packet_in_format != "standard":
        return _packet_in(peer, event, reason, packet, total)
    head, at = _head(peer, event, reason), TOTAL_LEN_AT[peer.version]
    size = (len(head) + len(packet)).to_bytes(2, "big")
    return b"".join((head[:2], size, head[4:at], total.to_bytes(2, "big"), head[at + 2 :], packet))


_heads = Heads()


def _head(peer: Any, event: Any, reason: int) -> bytes:
    """The message without its packet, which is the same for many."""
    key = event.key
    if any(key[_CT_STATE : _CT_STATE + 4]):  # what the tracker found is another thing each time
        return _packet_in(peer, event, reason, b"", 0)
    numbers = (
        peer.version, reason, event.miss, event.table_id, event.cookie, event.in_port, event.options
    )  # fmt: skip
    head = _heads.find(numbers, key)
    if head is None:
        head = _packet_in(peer, event, reason, b"", 0)
        _heads.keep(numbers, key, head)
    return head


def _packet_in(peer: Any, event: Any, reason: int, packet: bytes, total: int) -> bytes:
    message = messages.PacketIn(
        packet=packet,
        total_len=total,
        reason=reason,
        table_miss=event.miss == "flow",
        table_id=event.table_id,
        cookie=event.cookie,
        in_port=event.in_port,
        match=pipeline_match(event),
        format=peer.packet_in_format,
        userdata=event.userdata,
        continuation=event.continuation,
    )
    return message.encode(peer.version)


def send_packet_in(peers: list[Any], event: Any, now: int) -> None:
    """To each that wants it, at the rate that it allows."""
    for peer in peers:
        data = packet_in_for(peer, event)
        if data is None:
            continue
        if peer.scheduler is None:
            peer.connection.send_packet_in(data)
        else:
            limiter = peer.scheduler.by_kind[MISS if event.miss else ACTION]
            limiter.put(now, event.in_port, data, peer.connection.send_packet_in)


def flow_removed(rule: Any, reason: int, now: int) -> Any:
    """The FLOW_REMOVED of a rule; `reason` is an OFPRR_*."""
    age = max(0, now - rule.created)
    return messages.FlowRemoved(
        match=rule.match,
        priority=rule.priority,
        cookie=rule.cookie,
        reason=reason,
        table_id=rule.table_id,
        duration_sec=age // 1000,
        duration_nsec=age % 1000 * 1_000_000,
        idle_timeout=rule.idle_timeout,
        hard_timeout=rule.hard_timeout,
        n_packets=rule.n_packets,
        n_bytes=rule.n_bytes,
    )


def send_role_status(demoted: list[Any], generation_id: int | None) -> None:
    """Tell those that another peer took mastership from, and which are slaves now, unless their
    masks are against it; versions before 1.3 cannot be told."""
    message = messages.RoleStatus(ROLE_SLAVE, messages.R_MASTER_REQUEST, generation_id)
    for peer in demoted:
        if peer.version >= OF13 and peer.asynchronous.masks["role_status"][1] >> message.reason & 1:
            peer.connection.send(message.encode(peer.version))


_FORWARDED = {
    messages.GroupMod: messages.RF_GROUP_MOD,
    messages.MeterMod: messages.RF_METER_MOD,
}


def forward_request(connmgr: Any, source: Any, mod: Any) -> None:
    """REQUESTFORWARD: the other controllers that asked for it hear of a GROUP_MOD or METER_MOD
    that was done."""
    reason = _FORWARDED[type(mod)]

    def encode(version: int) -> bytes | None:
        if reason == messages.RF_METER_MOD and version < OF13:
            return None
        try:
            return messages.RequestForward(mod.encode(version, mod.xid)).encode(version)
        except (ValueError, OFError):
            return None  # what it does cannot be said there

    connmgr.broadcast("requestforward", reason, encode, source)
