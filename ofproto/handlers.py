"""What each OpenFlow message of a peer does: one function per message class.

A handler is called with (ofproto, peer, message, now), answers by `peer.reply`, and raises OFError
for a refusal, which is sent with the request's transaction id.  Statistics are in
handlers_multipart.
"""

from collections.abc import Callable
from typing import Any

import ovs.vlog

from ofproto import async_messages, ct_flush, handlers_multipart
from ofproto.changes import monitors, prepare
from ofproto.changes.bundles import Bundles
from ofproto.codec import messages
from ofproto.codec.errors import NX_VENDOR_ID, OFError
from ofproto.codec.numbers import (
    N_VISIBLE_TABLES,
    OF10,
    OF13,
    OF14,
    OFPP_NONE,
)
from ofproto.flows.packet_outs import NOTHING_SENT
from ofproto.peers.connection import VERSION_NAMES
from ofproto.peers.roles import ROLE_MASTER, ROLE_SLAVE
from ofproto.tables import tlv_table
from ofproto.xlate.state import continuation
from pyvs import clock
from pyvs.log_limit import LimitedLog

vlog = ovs.vlog.Vlog("ofproto")
# What peers cause, and may cause as often as they like
_refusals, _answers, _modes = (LimitedLog(vlog, 10, 10) for _ in range(3))

# Of the FEATURES reply; the codec leaves out those that a version does not have.
CAPABILITIES = (
    messages.C_FLOW_STATS
    | messages.C_TABLE_STATS
    | messages.C_PORT_STATS
    | messages.C_GROUP_STATS
    | messages.C_QUEUE_STATS
    | messages.C_ARP_MATCH_IP
    | messages.C_BUNDLES
)
OF10_ACTIONS = 0xFFF

FRAG_MODES = ("normal", "drop", "reasm", "nx-match")  # OFPC_FRAG_*
FRAG_MASK, INVALID_TTL = 3, 4
# 1.3 has no reasons for a meter's deletion and eviction: they can be asked for, and are not told.
FLOW_REMOVED_13 = 0x0F


def handle(ofproto: Any, peer: Any, raw: bytes, now: int) -> None:
    """Decode a whole message and do what it wants; errors are answered."""
    if _planned(ofproto, peer, raw, now):
        return
    try:
        whole = peer.parts.join(raw)
        if whole is None:
            return
        raw = whole
        _for_switch(messages.kind(raw), raw, peer.version)
        message = messages.decode(raw, flow_mod_table_id=peer.flow_mod_table_id)
        ofproto.tlv_table.layout.of_message(message)
        _dispatch(ofproto, peer, message, raw, now)
    except OFError as error:
        _refuse(ofproto, peer, raw, error)
    finally:
        ofproto.tables.requester = None
        ofproto.monitors.flush()


def _planned(ofproto: Any, peer: Any, raw: bytes, now: int) -> bool:
    """Execute a message that is like an earlier one."""
    planned = _PLANNED.get(raw[1])
    if planned is None or peer.role == ROLE_SLAVE or ofproto.table_work.busy:
        return False
    return planned(ofproto, peer, raw, now)


def _planned_packet_out(ofproto: Any, _peer: Any, raw: bytes, now: int) -> bool:
    found = ofproto.packet_outs
    program = found.find(raw)
    if program is None or ofproto.tables.watched is not None:
        return False
    ofproto.backer.send_packet(
        ofproto.xbridge, found.packet, found.port, NOTHING_SENT, program, now
    )
    return True


def _planned_flow_mod(ofproto: Any, peer: Any, raw: bytes, now: int) -> bool:
    command = messages.ADD  # a fault may have changed something, see _recorded()
    ofproto.tables.requester = (peer, int.from_bytes(raw[4:8], "big"))
    try:
        command = ofproto.mod_plans.run(raw, peer.flow_mod_table_id, now)
    finally:
        ofproto.tables.requester = None
        if command is not None:
            ofproto.log.flow_mod(raw, peer.flow_mod_table_id, now)
    if command is None:
        return False
    peer.flow_mods.note(command, now)
    return True


NXT_FLOW_MOD = NX_VENDOR_ID.to_bytes(4, "big") + (13).to_bytes(4, "big")  # behind the header


def _planned_nicira(ofproto: Any, peer: Any, raw: bytes, now: int) -> bool:
    return raw[8:16] == NXT_FLOW_MOD and _planned_flow_mod(ofproto, peer, raw, now)


# The first half of each version's request -> that of its reply; the transaction id is the other.
_BARRIERS = {
    messages.BarrierRequest().encode(version)[:4]: messages.BarrierReply().encode(version)[:4]
    for version in VERSION_NAMES
}


def _planned_barrier(ofproto: Any, peer: Any, raw: bytes, _now: int) -> bool:
    """Many send one behind each message."""
    reply = _BARRIERS.get(raw[:4])
    if reply is None:
        return False
    _barrier(ofproto, peer, reply + raw[4:])
    return True


# By the type of the message
_PLANNED = {
    **{request[1]: _planned_barrier for request in _BARRIERS},
    messages.OFPT_PACKET_OUT: _planned_packet_out,
    messages.OFPT_FLOW_MOD: _planned_flow_mod,
    messages.OFPT_VENDOR: _planned_nicira,
}


def _refuse(ofproto: Any, peer: Any, raw: bytes, error: OFError) -> None:
    _refusals.info(f"{ofproto.name}<->{peer.name}: sending {error} error reply")
    peer.connection.send(messages.error(error, raw, peer.version))


def _for_switch(kind: type, raw: bytes, version: int) -> None:
    """Raises OFError for a message that is none for a switch, whatever is in it."""
    if kind in HANDLERS or kind in BUNDLED:
        return
    multipart = 16 if version == OF10 else 18
    name = "OFPBRC_BAD_STAT" if raw[1] == multipart else "OFPBRC_BAD_TYPE"
    raise OFError(name, kind.__name__)


def _dispatch(ofproto: Any, peer: Any, message: Any, raw: bytes, now: int) -> None:
    kind = type(message)
    if peer.role == ROLE_SLAVE and kind in NOT_FOR_SLAVES:
        raise OFError("OFPBRC_IS_SECONDARY")
    if ofproto.table_work.busy and kind in WAITS_FOR_TABLES:
        ofproto.table_work.defer(peer, lambda: handle(ofproto, peer, raw, clock.msec()))
        return
    ofproto.tables.requester = (peer, message.xid)
    if kind in BUNDLED:
        BUNDLED[kind](ofproto.bundles, peer, message, raw, now)
    elif kind in handlers_multipart.COUNTERS_OF:
        _when_there(ofproto.backer.collect, ofproto, peer, message, raw)
    elif kind in handlers_multipart.TOLD_BY_DATAPATH:
        _when_there(ofproto.backer.ask, ofproto, peer, message, raw)
    elif kind in RECORDS:
        _recorded(ofproto, peer, message, raw, now)
    else:
        HANDLERS[kind](ofproto, peer, message, now)
    if kind is messages.PacketOut:
        ofproto.packet_outs.learn(raw, message.actions)


def _recorded(ofproto: Any, peer: Any, message: Any, raw: bytes, now: int) -> None:
    """Execute what is also written to the journal; not when it is refused, since a replay might
    let it in, which knows no limits of tables."""
    kind = type(message)
    refused = False
    try:
        if kind is messages.FlowMod:
            prepare.flow_mod(message, len(raw), peer.version)
            peer.flow_mods.note(message.command, now)
        if kind is messages.FlowMod and ofproto.long_mods.takes(message):
            ofproto.long_mods.start(
                peer, message, peer.version, now, lambda error: _refuse(ofproto, peer, raw, error)
            )
        else:
            HANDLERS[kind](ofproto, peer, message, now)
    except OFError:
        refused = True
        raise
    finally:  # a fault may have changed something: replayed, it does so again
        if not refused:
            RECORDS[kind](ofproto, peer, raw, now)
    if kind is messages.FlowMod:
        ofproto.mod_plans.learn(raw, message, peer.flow_mod_table_id)


def _when_there(wait: Callable, ofproto: Any, peer: Any, message: Any, raw: bytes) -> None:
    """Answer a request for counters once those of the datapath are there, for which `wait` waits,
    and the peer's next message, too."""

    def answer() -> None:
        peer.connection.release()
        try:
            HANDLERS[type(message)](ofproto, peer, message, clock.msec())
        except OFError as error:
            _refuse(ofproto, peer, raw, error)

    peer.connection.hold()
    wait(answer, lambda: peer.connection.fail("internal error"))


# --- the switch


def features(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    old = peer.version < OF13
    ports = ofproto.ports_in_order() if old else []
    answer = messages.FeaturesReply(
        datapath_id=ofproto.datapath_id,
        n_buffers=0,
        n_tables=N_VISIBLE_TABLES,
        auxiliary_id=0,
        capabilities=CAPABILITIES,
        actions=OF10_ACTIONS if old else 0,
        ports=[messages.PortDesc.of_port(port) for port in ports],
    )
    peer.reply(request, answer)


def get_config(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    masks = peer.asynchronous
    flags = FRAG_MODES.index(ofproto.xbridge.frag_mode) | INVALID_TTL * masks.invalid_ttl
    peer.reply(request, messages.GetConfigReply(flags=flags, miss_send_len=masks.miss_send_len))


def set_config(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    if peer.role != ROLE_SLAVE:
        mode = FRAG_MODES[request.flags & FRAG_MASK]
        if mode == "reasm":
            _modes.warn(f"{ofproto.name}: reassembly of fragments is not supported")
        elif mode != ofproto.xbridge.frag_mode:
            ofproto.xbridge.frag_mode = mode
            ofproto.xbridge.touch()
    peer.asynchronous.invalid_ttl = bool(request.flags & INVALID_TTL)
    peer.asynchronous.miss_send_len = request.miss_send_len


def _barrier(ofproto: Any, peer: Any, reply: bytes) -> None:
    """What came before is done in the tables; when this is answered it is in the datapath, too."""

    def answer() -> None:
        peer.connection.release()
        peer.connection.send(reply)

    peer.connection.hold()  # the peer's next message waits
    ofproto.backer.barrier(answer)


def barrier(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    _barrier(ofproto, peer, messages.BarrierReply().encode(peer.version, request.xid))


def peer_error(ofproto: Any, peer: Any, message: Any, _now: int) -> None:
    """Logged, and refused like any message that is for a controller."""
    _answers.info(f"{ofproto.name}<->{peer.name}: the peer answered {message.name}")
    raise OFError("OFPBRC_BAD_TYPE", "an error for the switch")


# --- flows and packets


def flow_mod(ofproto: Any, peer: Any, mod: Any, now: int) -> None:
    ofproto.flow_mod(mod, peer.version, now)


def packet_out(ofproto: Any, peer: Any, message: Any, now: int) -> None:
    program = prepare.packet_out(ofproto, message, peer.version)
    ofproto.backer.packet_out(ofproto.xbridge, message, program, now)


def resume(ofproto: Any, _peer: Any, message: Any, now: int) -> None:
    told = message.packet_in
    state = continuation.decode(ofproto.xbridge, told)
    if len(told.packet) < 14:
        raise OFError("OFPBRC_BAD_LEN", f"a packet of {len(told.packet)} bytes")
    ofproto.backer.resume(state, told.packet, told.match.key_bytes, now)


# --- ports and tables


def port_mod(ofproto: Any, _peer: Any, mod: Any, _now: int) -> None:
    prepare.configure_port(ofproto, prepare.find_port(ofproto, mod), mod)


def table_mod(ofproto: Any, peer: Any, mod: Any, _now: int) -> None:
    ofproto.tables.configs.table_mod(mod, peer.version)


def group_mod(ofproto: Any, peer: Any, mod: Any, now: int) -> None:
    ofproto.groups.group_mod(mod, peer.version, now)
    async_messages.forward_request(ofproto.connmgr, peer, mod)


def meter_mod(ofproto: Any, peer: Any, mod: Any, now: int) -> None:
    ofproto.meter_mod(mod, now)
    async_messages.forward_request(ofproto.connmgr, peer, mod)


def queue_get_config(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    number = None if request.port_no == OFPP_NONE else request.port_no
    found = handlers_multipart.queues(ofproto, number, None)
    answer = messages.QueueGetConfigReply(
        port_no=request.port_no,
        queues=[(queue, None, None) for _port, queue in found],
        ports=[port.number for port, _queue in found],
    )
    peer.reply(request, answer)


# --- the connection


def role_request(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    manager = ofproto.connmgr
    counts = request.role in (ROLE_MASTER, ROLE_SLAVE) and request.generation_id is not None
    if counts and not manager.roles.accept(request.generation_id):
        raise OFError("OFPRRFC_STALE")
    if request.role != "nochange":
        demoted = manager.set_role(peer, request.role)
        async_messages.send_role_status(demoted, manager.roles.generation_id)
    answer = messages.RoleReply(
        role=peer.role, generation_id=manager.roles.generation_id, nicira=request.nicira
    )
    peer.reply(request, answer)


def get_async(_ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    masks = dict(peer.asynchronous.masks)
    if peer.version < OF14:
        primary, secondary = masks["flow_removed"]
        masks["flow_removed"] = (primary & FLOW_REMOVED_13, secondary & FLOW_REMOVED_13)
    peer.reply(request, messages.GetAsyncReply(masks=masks))


def set_async(_ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    known = peer.asynchronous.masks
    for kind, masks in request.masks.items():
        before = known.get(kind, (0, 0))
        new = (old if mask is None else mask for mask, old in zip(masks, before, strict=True))
        known[kind] = tuple(new)
    peer.asynchronous.asked()


def set_flow_format(_ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    peer.flow_format = request.format


def set_flow_mod_table_id(_ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    peer.flow_mod_table_id = request.enable


def set_packet_in_format(_ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    peer.packet_in_format = request.format


def flow_age(_ofproto: Any, _peer: Any, _request: Any, _now: int) -> None:
    """Ages are in each reply that has room for them."""


def set_controller_id(_ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    peer.controller_id = request.controller_id


HANDLERS: dict[type, Callable[[Any, Any, Any, int], None]] = {
    messages.FeaturesRequest: features,
    messages.GetConfigRequest: get_config,
    messages.SetConfig: set_config,
    messages.BarrierRequest: barrier,
    messages.Error: peer_error,
    messages.FlowMod: flow_mod,
    messages.PacketOut: packet_out,
    messages.Resume: resume,
    messages.PortMod: port_mod,
    messages.TableMod: table_mod,
    messages.GroupMod: group_mod,
    messages.MeterMod: meter_mod,
    messages.QueueGetConfigRequest: queue_get_config,
    messages.RoleRequest: role_request,
    messages.GetAsyncRequest: get_async,
    messages.SetAsync: set_async,
    messages.NxSetFlowFormat: set_flow_format,
    messages.NxFlowModTableId: set_flow_mod_table_id,
    messages.NxSetPacketInFormat: set_packet_in_format,
    messages.NxSetControllerId: set_controller_id,
    messages.NxFlowAge: flow_age,
    **ct_flush.HANDLERS,
    **handlers_multipart.HANDLERS,
    **monitors.HANDLERS,
    **tlv_table.HANDLERS,
}

BUNDLED: dict[type, Callable[..., None]] = {
    messages.BundleControl: Bundles.control,
    messages.BundleAdd: Bundles.add,
}

# What the journal has of messages that changed the tables.
RECORDS: dict[type, Callable[[Any, Any, bytes, int], None]] = {
    messages.FlowMod: lambda ofproto, peer, raw, now: ofproto.log.flow_mod(
        raw, peer.flow_mod_table_id, now
    ),
    messages.GroupMod: lambda ofproto, peer, raw, now: ofproto.log.group_mod(raw, now),
    messages.MeterMod: lambda ofproto, peer, raw, now: ofproto.log.meter_mod(raw, now),
    messages.TlvTableMod: lambda ofproto, peer, raw, now: ofproto.log.tlv_table_mod(raw, now),
}

# OpenFlow 1.3.5 6.3.4
NOT_FOR_SLAVES = {
    *BUNDLED,
    messages.FlowMod,
    messages.PacketOut,
    messages.Resume,
    messages.PortMod,
    messages.TableMod,
    messages.GroupMod,
    messages.MeterMod,
}

# What waits while there is work on the tables; a new monitor, too, which is not to hear of flows
# that it was not told.
WAITS_FOR_TABLES = NOT_FOR_SLAVES - {messages.PacketOut, messages.Resume, messages.BundleAdd} | {
    messages.FlowMonitorRequest,
    messages.TlvTableMod,
}
