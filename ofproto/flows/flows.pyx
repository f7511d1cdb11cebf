"""The datapath's flows as vswitchd knows them: ukeys, and translation of a datapath key.

UpcallHandler adds the packets that come up; Revalidator keeps the flows right.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from datapath.key.flow cimport KEY_DP_SIZE, KEY_DP_WORDS, KEY_SIZE, flow_key, flow_ufid
from ofproto.rules.program cimport Program
from ofproto.xlate.recirc cimport FrozenState
from ofproto.xlate.xbridge cimport NO_ODP_PORT, Generation, XBridge, XPort
from ofproto.xlate.xcache cimport XCache
from ofproto.xlate.xlate cimport Xlate
from ofproto.xlate.xlate_base cimport OFPR_TABLE_MISS_FLOW, controller_data, set_in_port

from datapath.key import flow as flow_module
from ofproto.xlate.xbridge import PacketInEvent
from ofproto.codec.numbers cimport OFPR_NO_MATCH

cdef extern from "arpa/inet.h" nogil:
    uint32_t ntohl(uint32_t)

cdef enum:
    FLOW_LIMIT = 200000
    MAX_MASKS = 10000       # distinct masks remembered for sharing

COUNTS = ("upcalls", "misses", "packet_ins", "installed", "executed_only", "flow_limit_hit",
          "unknown_port", "unknown_state", "xlate_errors", "execute_errors")


@cython.no_gc
cdef class Ukey:
    """A flow in the datapath, as vswitchd knows it."""

    def __repr__(self):
        return f"<Ukey {self.ufid.hex()} packets={self.packets}>"


cdef class Flows:
    """Of one datapath.  Whoever installs flows there notes them here."""

    def __init__(self, dpif=None):
        self.dpif = dpif
        self.generation = Generation()
        self.flow_limit = FLOW_LIMIT
        self.xlate = Xlate()
        self.recirc = self.xlate.recirc
        self.bridges = []
        self.ports = {}
        self.by_ufid = {}
        self.masks = {}
        self.counts = dict.fromkeys(COUNTS, 0)

    # --- configuration

    def set_dpif(self, dpif):
        """After a reconnect; None: disconnected.  What is known of flows is forgotten."""
        cdef Ukey ukey
        for ukey in list(self.by_ufid.values()):
            self.remove_ukey(ukey, 0)
        self.dpif = dpif
        self.settled = self.looked = False

    cdef bint settle(self) except -1:
        """Whether the datapath has no flows but ours, or those that it had are adopted.

        Before that nothing is installed: a flow made with half of the configuration would take
        the packets of known ones.  The Revalidator says when the adoption is over.
        """
        if not self.settled and not self.looked and self.dpif is not None:
            self.looked = self.settled = True
            for info in self.dpif.flow_dump(terse=True):
                if self.find(info.ufid) is None:
                    self.settled = False
                    break
        return self.settled

    cdef bint change(self, Ukey ukey, bytes actions) except -1:
        self.dpif.flow_put(ukey.key, ukey.mask, actions, ufid=ukey.ufid)
        return True

    def add_bridge(self, XBridge bridge):
        """Its MAC table is aged and its moves are followed from now on."""
        if bridge not in self.bridges:
            self.bridges.append(bridge)

    def remove_bridge(self, XBridge bridge):
        """Flows that lead through it are found by the next revalidation."""
        if bridge in self.bridges:
            self.bridges.remove(bridge)
            self.recirc.forget_bridge(bridge)
            self.generation.touch()

    def port_set(self, uint32_t odp_port, XPort port):
        """Packets of this datapath port come in by `port`."""
        cdef XPort old = self.ports.get(odp_port)
        if old is not None and old is not port and old.odp_port == odp_port:
            old.odp_port = <uint32_t> NO_ODP_PORT
        if port.odp_port != odp_port and self.ports.get(port.odp_port) is port:
            del self.ports[port.odp_port]
        self.ports[odp_port] = port
        port.odp_port = odp_port
        self.generation.touch()

    def port_del(self, uint32_t odp_port):
        """Packets of this datapath port are dropped from now on."""
        cdef XPort port = self.ports.pop(odp_port, None)
        if port is not None:
            if port.odp_port == odp_port:
                port.odp_port = <uint32_t> NO_ODP_PORT
            self.generation.touch()

    def port_get(self, uint32_t odp_port):
        """The XPort, or None."""
        return self.ports.get(odp_port)

    def stats(self):
        """Counters of upcalls, and the number of flows."""
        return dict(self.counts, flows=len(self.by_ufid), states=len(self.recirc))

    def ukeys(self):
        """A snapshot of all flows."""
        return list(self.by_ufid.values())

    def __len__(self):
        return len(self.by_ufid)

    # --- translation

    cdef bint translate(self, const flow_key *key, int64_t now) except -1:
        cdef XPort port = self.ports.get(ntohl(key.in_port))
        cdef FrozenState state
        cdef flow_key flow
        memset(&flow, 0, sizeof(flow))
        memcpy(&flow, key, KEY_DP_SIZE)
        # A packet-out that was sent round came in by no port: its state tells by which it did.
        if (port is None or port.bridge is None) and (key.in_port or not key.recirc_id):
            self.counts["unknown_port"] += 1
            return False
        if key.recirc_id:
            state = self.recirc.get(ntohl(key.recirc_id))
            if state is None:
                self.counts["unknown_state"] += 1
                return False
            self.xlate.resume(state, &flow, now)
        else:
            set_in_port(&flow, port.ofp_port)
            self.xlate.translate(port.bridge, &flow, now)
        if self.xlate.error is not None:
            self.counts["xlate_errors"] += 1
        return True

    cdef bytes name_flow(self, const flow_key *key, flow_key *masked):
        cdef const uint64_t *k = <const uint64_t *> key
        cdef const uint64_t *m = <const uint64_t *> &self.xlate.wc
        cdef uint64_t *out = <uint64_t *> masked
        cdef uint8_t ufid[16]
        cdef uint32_t i
        memset(masked, 0, sizeof(flow_key))
        for i in range(KEY_DP_WORDS):
            out[i] = k[i] & m[i]
        flow_ufid(masked, &self.xlate.wc, ufid)
        return (<char *> ufid)[:16]

    def miss(self, bytes key, uint32_t size, int64_t now):
        """Translates a datapath key (KEY_DP_SIZE bytes at least) as for a packet of `size` bytes,
        and notes the flow.  Returns its Ukey, or None when the packet belongs nowhere."""
        cdef flow_key masked
        cdef Ukey ukey
        cdef const flow_key *dp_key = <const flow_key *> <const char *> key
        if len(key) < KEY_DP_SIZE:
            raise ValueError(f"a datapath key has {KEY_DP_SIZE} bytes")
        if not self.translate(dp_key, now):
            return None
        self.xlate.cache.credit(1, size, now)
        ufid = self.name_flow(dp_key, &masked)
        ukey = self.find(ufid)
        if ukey is None:
            ukey = self.add_ukey(ufid, (<char *> &masked)[:KEY_DP_SIZE],
                                 self.shared_mask(&self.xlate.wc), now)
        self.take_translation(ukey, now)
        return ukey

    def packet_out(self, XBridge bridge, bytes packet, int in_port, Program program, int64_t now):
        """Runs an OpenFlow action list on a packet, with statistics and learning."""
        cdef flow_key key
        cdef XPort port = bridge.ports.get(in_port)
        cdef uint32_t odp_port = 0
        cdef bytes extracted
        if port is not None and port.odp_port != <uint32_t> NO_ODP_PORT:
            odp_port = port.odp_port
        extracted = flow_module.extract(packet, odp_port)
        memcpy(&key, <const char *> extracted, KEY_SIZE)
        set_in_port(&key, in_port)
        self.xlate.run_program(bridge, &key, program, now)
        self.xlate.cache.credit(1, len(packet), now)
        if self.xlate.out.length and self.dpif is not None:
            actions = self.xlate_actions()
            if not self.dpif.execute_soon(packet, actions, odp_port):
                self.dpif.execute(packet, actions, in_port=odp_port)

    cdef int to_controller(self, const flow_key *dp_key, const uint8_t *packet, uint32_t size,
                           const uint8_t *userdata, uint32_t length) except -1:
        """A packet that the datapath sends for the controllers, as its flow's actions say."""
        cdef controller_data data
        cdef flow_key key
        cdef FrozenState state = None
        cdef XBridge bridge
        if length >= sizeof(data):
            memcpy(&data, userdata, sizeof(data))
            state = self.recirc.get(data.state)
        if state is None:
            self.counts["unknown_state"] += 1
            return 0
        bridge = state.bridge
        if bridge.packet_in is None:
            return 0
        self.counts["packet_ins"] += 1
        memcpy(&key, dp_key, KEY_DP_SIZE)
        set_in_port(&key, state.in_port)
        memcpy(<uint8_t *> &key + KEY_DP_SIZE, <const char *> state.pipeline,
               KEY_SIZE - KEY_DP_SIZE)
        bridge.packet_in(PacketInEvent(
            (<char *> packet)[:size],
            OFPR_NO_MATCH if data.reason == OFPR_TABLE_MISS_FLOW else data.reason,
            data.table_id, data.cookie, data.max_len, data.controller_id, state.in_port,
            (<char *> &key)[:KEY_SIZE], data.reason == OFPR_TABLE_MISS_FLOW))
        return 0

    def deliver(self, bytes key, bytes packet, bytes userdata):
        """A packet that came up for the controllers, with its datapath key."""
        if len(key) < KEY_DP_SIZE:
            raise ValueError(f"a datapath key has {KEY_DP_SIZE} bytes")
        self.to_controller(<const flow_key *> <const char *> key,
                           <const uint8_t *> <const char *> packet, <uint32_t> len(packet),
                           <const uint8_t *> <const char *> userdata, <uint32_t> len(userdata))

    # --- flows

    def flush(self):
        """Deletes all flows from the datapath."""
        cdef Ukey ukey
        if self.dpif is not None:
            self.dpif.flow_flush()
        for ukey in list(self.by_ufid.values()):
            self.remove_ukey(ukey, 0)

    cdef Ukey find(self, bytes ufid):
        return <Ukey> self.by_ufid.get(ufid)

    cdef Ukey add_ukey(self, bytes ufid, bytes key, bytes mask, int64_t now):
        cdef Ukey ukey = Ukey()
        ukey.ufid = ufid
        ukey.key = key
        ukey.mask = mask
        ukey.created = now
        self.by_ufid[ufid] = ukey
        return ukey

    cdef int take_translation(self, Ukey ukey, int64_t now) except -1:
        """The last translation's actions become the flow's, and its packets are credited to what
        that went through."""
        cdef XCache cache = self.xlate.cache
        cache.keep_states(self.recirc, True, now)
        self.drop_cache(ukey, now)
        if ukey.actions is None or not same_actions(ukey, self.xlate):
            ukey.actions = self.xlate_actions()
        ukey.cache = cache
        ukey.generation = self.generation.value
        cache.watch(ukey, True)
        return 0

    cdef int drop_cache(self, Ukey ukey, int64_t now) except -1:
        if ukey.cache is None:
            return 0
        ukey.cache.watch(ukey, False)
        ukey.cache.keep_states(self.recirc, False, now)
        ukey.cache = None
        return 0

    cdef int remove_ukey(self, Ukey ukey, int64_t now) except -1:
        if not ukey.dead:
            ukey.dead = True
            self.drop_cache(ukey, now)
            self.by_ufid.pop(ukey.ufid, None)
        return 0

    cdef bytes xlate_actions(self):
        return (<char *> self.xlate.out.data)[:self.xlate.out.length] if self.xlate.out.length else b""

    cdef bytes shared_mask(self, const flow_key *mask):
        """The datapath's part of a mask; equal ones are one object."""
        found = (<char *> mask)[:KEY_DP_SIZE]
        if len(self.masks) > MAX_MASKS:
            self.masks.clear()
        return self.masks.setdefault(found, found)


cdef bint same_actions(Ukey ukey, Xlate x) except -1:
    cdef Py_ssize_t length = len(ukey.actions)
    return (length == <Py_ssize_t> x.out.length
            and (not length or memcmp(<const char *> ukey.actions, x.out.data, length) == 0))
