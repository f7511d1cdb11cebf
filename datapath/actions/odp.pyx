"""Datapath actions as bytes: building, checking; their text is in odp_text.py."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset

from datapath.key.flow cimport (
    KEY_PACKET_SIZE, MEMBER_tun_metadata, MEMBER_tun_opts_size, N_MEMBERS, key_members,
)
from datapath.actions.meter cimport MAX_METERS
from datapath.actions.odp cimport *
from datapath.actions.rewrite cimport is_writable
from datapath.actions.tunnel_push cimport check_tunnel_push
from datapath.base.protocols cimport nsh_size

# Names for Python, as C has them.
globals().update(
    OUTPUT=<int> ACT_OUTPUT, PUSH_VLAN=<int> ACT_PUSH_VLAN, POP_VLAN=<int> ACT_POP_VLAN,
    SET=<int> ACT_SET, PUSH_MPLS=<int> ACT_PUSH_MPLS, POP_MPLS=<int> ACT_POP_MPLS,
    RECIRC=<int> ACT_RECIRC, HASH=<int> ACT_HASH, SAMPLE=<int> ACT_SAMPLE, CLONE=<int> ACT_CLONE,
    USERSPACE=<int> ACT_USERSPACE, DROP=<int> ACT_DROP, TRUNC=<int> ACT_TRUNC,
    METER=<int> ACT_METER, CHECK_PKT_LEN=<int> ACT_CHECK_PKT_LEN, PUSH_PBB=<int> ACT_PUSH_PBB, POP_PBB=<int> ACT_POP_PBB,
    SET_TUNNEL=<int> ACT_SET_TUNNEL, TUNNEL_DEFRAG=<int> ACT_TUNNEL_DEFRAG,
    TUNNEL_PUSH=<int> ACT_TUNNEL_PUSH, TUNNEL_POP=<int> ACT_TUNNEL_POP,
    CT=<int> ACT_CT, CT_CLEAR=<int> ACT_CT_CLEAR,
    FLAG_COMMIT=<int> CT_COMMIT, FLAG_FORCE=<int> CT_FORCE, FLAG_NAT=<int> CT_NAT,
    FLAG_SRC=<int> CT_SRC, FLAG_DST=<int> CT_DST, FLAG_PERSISTENT=<int> CT_PERSISTENT,
    FLAG_HASH=<int> CT_HASH, FLAG_RANDOM=<int> CT_RANDOM, FLAG_MARK=<int> CT_MARK,
    FLAG_LABEL=<int> CT_LABEL, FLAG_IPV6=<int> CT_IPV6, TIMEOUT_NAME=<int> CT_TIMEOUT_NAME,
    HELPER_FTP=<int> ALG_FTP, HELPER_TFTP=<int> ALG_TFTP,
    LB_OUTPUT=<int> ACT_LB_OUTPUT, PUSH_ETH=<int> ACT_PUSH_ETH, POP_ETH=<int> ACT_POP_ETH, PUSH_NSH=<int> ACT_PUSH_NSH,
    POP_NSH=<int> ACT_POP_NSH, ADD_MPLS=<int> ACT_ADD_MPLS,
    COPY_TTL=<int> ACT_COPY_TTL, TTL_OUT=<int> COPY_TTL_OUT, TTL_IN=<int> COPY_TTL_IN,
    ALG_L4=<int> HASH_L4, ALG_SYM_L4=<int> HASH_SYM_L4, SLOW_ACTION=<int> USERSPACE_ACTION,
    CFM=<int> SLOW_CFM, BFD=<int> SLOW_BFD, LACP=<int> SLOW_LACP, STP=<int> SLOW_STP, LLDP=<int> SLOW_LLDP,
    TO_CONTROLLER=<int> USERSPACE_CONTROLLER, PAUSED=<int> CONTINUATION,
    NESTING=<int> MAX_NESTING, ACTIONS_SIZE=<int> MAX_ACTIONS, EXECUTED_SIZE=<int> MAX_EXECUTED,
)


# ---- Building ----

cdef class ActionBuffer:
    """A growing list of actions; translation fills it from C, see odp.pxd."""

    def __cinit__(self):
        self.data = NULL
        self.length = self.capacity = 0
        self.failed = False

    def __dealloc__(self):
        free(self.data)

    def __bytes__(self):
        if self.failed:
            raise MemoryError("actions without memory, or too long")
        return PyBytes_FromStringAndSize(<char *> self.data, self.length)

    def __len__(self):
        return self.length

    cdef bint _reserve(self, uint32_t more) noexcept nogil:
        cdef uint32_t capacity
        cdef uint8_t *data
        if self.failed or more > MAX_EXECUTED - self.length:
            self.failed = True
            return False
        if self.length + more > self.capacity:
            capacity = max(self.capacity * 2, self.length + more, <uint32_t> 256)
            data = <uint8_t *> realloc(self.data, capacity)
            if data == NULL:
                self.failed = True
                return False
            self.data = data
            self.capacity = capacity
        return True

    cdef uint8_t *room(self, uint16_t kind, uint32_t payload) noexcept nogil:
        """A new attribute; its zeroed payload, or NULL."""
        cdef uint32_t size
        cdef attr *a
        if payload > MAX_ACTIONS - sizeof(attr):
            self.failed = True
            return NULL
        size = sizeof(attr) + ((payload + 3) & ~<uint32_t> 3)
        if not self._reserve(size):
            return NULL
        a = <attr *> (self.data + self.length)
        memset(a, 0, size)
        a.type = kind
        a.length = <uint16_t> (sizeof(attr) + payload)
        self.length += size
        return <uint8_t *> a + sizeof(attr)

    cdef void _put32(self, uint16_t kind, uint32_t value) noexcept nogil:
        cdef uint8_t *at = self.room(kind, 4)
        if at != NULL:
            memcpy(at, &value, 4)

    cdef void _put32x2(self, uint16_t kind, uint32_t first, uint32_t second) noexcept nogil:
        cdef uint8_t *at = self.room(kind, 8)
        if at != NULL:
            memcpy(at, &first, 4)
            memcpy(at + 4, &second, 4)

    cdef void clear(self) noexcept nogil:
        self.length = 0
        self.failed = False

    cdef void truncate(self, uint32_t length) noexcept nogil:
        if length <= self.length:
            self.length = length

    cdef void output(self, uint32_t port) noexcept nogil:
        self._put32(ACT_OUTPUT, port)

    cdef void push_vlan(self, uint16_t tpid, uint16_t tci) noexcept nogil:
        cdef uint8_t *at = self.room(ACT_PUSH_VLAN, 4)
        if at != NULL:
            memcpy(at, &tpid, 2)
            memcpy(at + 2, &tci, 2)

    cdef void pop_vlan(self) noexcept nogil:
        self.room(ACT_POP_VLAN, 0)

    cdef void set(self, uint16_t member, const void *value, const void *mask) noexcept nogil:
        cdef uint16_t size
        cdef uint8_t *at
        if member >= N_MEMBERS:
            self.failed = True
            return
        size = key_members[member].size
        at = self.room(ACT_SET, 4 + 2 * size)
        if at != NULL:
            memcpy(at, &member, 2)
            memcpy(at + 2, &size, 2)
            memcpy(at + 4, value, size)
            memcpy(at + 4 + size, mask, size)

    cdef void push_mpls(self, uint32_t lse, uint16_t ethertype) noexcept nogil:
        cdef uint8_t *at = self.room(ACT_PUSH_MPLS, 6)
        if at != NULL:
            memcpy(at, &lse, 4)
            memcpy(at + 4, &ethertype, 2)

    cdef void pop_mpls(self, uint16_t ethertype) noexcept nogil:
        cdef uint8_t *at = self.room(ACT_POP_MPLS, 2)
        if at != NULL:
            memcpy(at, &ethertype, 2)

    cdef void push_pbb(self, uint32_t tci) noexcept nogil:
        self._put32(ACT_PUSH_PBB, tci)

    cdef void pop_pbb(self) noexcept nogil:
        self.room(ACT_POP_PBB, 0)

    cdef void push_eth(self, const uint8_t *source, const uint8_t *destination) noexcept nogil:
        cdef uint8_t *at = self.room(ACT_PUSH_ETH, 12)
        if at != NULL:
            memcpy(at, source, 6)
            memcpy(at + 6, destination, 6)

    cdef void pop_eth(self) noexcept nogil:
        self.room(ACT_POP_ETH, 0)

    cdef void push_nsh(self, const uint8_t *header, uint32_t size) noexcept nogil:
        cdef uint8_t *at = self.room(ACT_PUSH_NSH, size)
        if at != NULL:
            memcpy(at, header, size)

    cdef void pop_nsh(self) noexcept nogil:
        self.room(ACT_POP_NSH, 0)

    cdef void add_mpls(self, uint32_t lse, uint16_t ethertype) noexcept nogil:
        cdef uint8_t *at = self.room(ACT_ADD_MPLS, 6)
        if at != NULL:
            memcpy(at, &lse, 4)
            memcpy(at + 4, &ethertype, 2)

    cdef void copy_ttl(self, uint32_t direction) noexcept nogil:
        self._put32(ACT_COPY_TTL, direction)

    cdef void set_tunnel(self, const uint8_t *part, uint32_t opts_size) noexcept nogil:
        cdef uint32_t size = _tunnel_fixed() + opts_size
        cdef uint8_t *at = self.room(ACT_SET_TUNNEL, size)
        if at != NULL:
            memcpy(at, part, size)

    cdef void recirc(self, uint32_t recirc_id) noexcept nogil:
        self._put32(ACT_RECIRC, recirc_id)

    cdef void hash(self, uint32_t algorithm, uint32_t basis) noexcept nogil:
        self._put32x2(ACT_HASH, algorithm, basis)

    cdef void userspace(self, uint32_t reason, const void *userdata,
                        uint32_t length) noexcept nogil:
        cdef uint8_t *at
        if length > MAX_ACTIONS:
            self.failed = True
            return
        at = self.room(ACT_USERSPACE, 8 + length)
        if at != NULL:
            memcpy(at, &reason, 4)
            if length:
                memcpy(at + 8, userdata, length)

    cdef void lb_output(self, uint32_t bond) noexcept nogil:
        self._put32(ACT_LB_OUTPUT, bond)

    cdef void drop(self, uint32_t reason) noexcept nogil:
        self._put32(ACT_DROP, reason)

    cdef void trunc(self, uint32_t max_len) noexcept nogil:
        self._put32(ACT_TRUNC, max_len)

    cdef void meter(self, uint32_t meter) noexcept nogil:
        self._put32(ACT_METER, meter)

    cdef void ct(self, const ct_action *a) noexcept nogil:
        cdef uint8_t *at = self.room(ACT_CT, sizeof(ct_action))
        if at != NULL:
            memcpy(at, a, sizeof(ct_action))

    cdef void ct_clear(self) noexcept nogil:
        self.room(ACT_CT_CLEAR, 0)

    cdef uint32_t start_nested(self, uint16_t kind, uint32_t probability=0) noexcept nogil:
        cdef uint32_t offset = self.length
        if kind == ACT_SAMPLE:
            self._put32(ACT_SAMPLE, probability)
        else:
            self.room(kind, 0)
        return offset

    cdef void end_nested(self, uint32_t offset) noexcept nogil:
        if self.length > offset + MAX_ACTIONS:
            self.failed = True
        if not self.failed and offset + sizeof(attr) <= self.length:
            (<attr *> (self.data + offset)).length = <uint16_t> (self.length - offset)

    cdef uint32_t start_check_len(self, uint32_t size) noexcept nogil:
        cdef uint32_t offset = self.length
        self._put32x2(ACT_CHECK_PKT_LEN, size, 0)
        return offset

    cdef void end_check_len(self, uint32_t offset, uint32_t middle) noexcept nogil:
        cdef uint32_t longer = middle - offset - <uint32_t> sizeof(attr) - 8
        if not self.failed and offset + sizeof(attr) + 8 <= middle <= self.length:
            memcpy(self.data + offset + sizeof(attr) + 4, &longer, 4)
            self.end_nested(offset)

    cdef void append(self, const uint8_t *actions, uint32_t length) noexcept nogil:
        if length and self._reserve(length):
            memcpy(self.data + self.length, actions, length)
            self.length += length


# ---- Checking ----

cdef const char *_check_set(const uint8_t *payload, uint32_t length) noexcept nogil:
    cdef uint16_t head[2]
    if length < 4:
        return "set: too short"
    memcpy(head, payload, 4)
    if head[0] >= N_MEMBERS:
        return "set: no such member"
    if not is_writable(head[0]):
        return "set: this member cannot be set"
    if head[1] != key_members[head[0]].size or length != <uint32_t> 4 + 2 * head[1]:
        return "set: wrong size"
    return NULL


cdef inline uint32_t _tunnel_fixed() noexcept nogil:
    """Bytes of a key's tunnel part before the options."""
    return key_members[<int> MEMBER_tun_metadata].offset - KEY_PACKET_SIZE


cdef const char *_check_tunnel(const uint8_t *payload, uint32_t length) noexcept nogil:
    cdef uint32_t at = key_members[<int> MEMBER_tun_opts_size].offset - KEY_PACKET_SIZE
    if length < _tunnel_fixed() or length != _tunnel_fixed() + payload[at] or payload[at] & 3:
        return "set_tunnel: wrong size"
    return NULL


cdef inline int _payload_size(uint16_t kind) noexcept nogil:
    """Of actions whose payload has one size; else -1."""
    if (kind == ACT_POP_VLAN or kind == ACT_POP_PBB or kind == ACT_CT_CLEAR or kind == ACT_POP_ETH
            or kind == ACT_POP_NSH):
        return 0
    if kind == ACT_PUSH_ETH:
        return 12
    if kind == ACT_POP_MPLS:
        return 2
    if (kind == ACT_OUTPUT or kind == ACT_RECIRC or kind == ACT_DROP or kind == ACT_PUSH_VLAN
            or kind == ACT_TRUNC or kind == ACT_METER or kind == ACT_COPY_TTL or kind == ACT_PUSH_PBB
            or kind == ACT_TUNNEL_POP or kind == ACT_LB_OUTPUT):
        return 4
    if kind == ACT_PUSH_MPLS or kind == ACT_ADD_MPLS:
        return 6
    return 8 if kind == ACT_HASH else -1


cdef const char *_check_fixed(uint16_t kind, const uint8_t *payload, uint32_t length,
                              uint32_t size) noexcept nogil:
    cdef uint32_t number = 0
    if length != size:
        return "wrong length of an action"
    memcpy(&number, payload, min(length, <uint32_t> 4))
    if kind == ACT_TRUNC and number < 14:
        return "trunc: less than an Ethernet header"
    if kind == ACT_METER and number >= MAX_METERS:
        return "meter: no such number"
    if kind == ACT_COPY_TTL and number > COPY_TTL_IN:
        return "copy_ttl: no such direction"
    if kind == ACT_HASH and number > HASH_SYM_L4:
        return "hash: no such algorithm"
    return NULL


cdef const char *_check_lengths(const uint8_t *payload, uint32_t length,
                                int depth) noexcept nogil:
    cdef uint32_t head[2]
    cdef const char *wrong
    if length < 8:
        return "check_pkt_len: too short"
    memcpy(head, payload, 8)
    if head[1] > length - 8 or head[1] & 3:
        return "check_pkt_len: wrong length of a list"
    wrong = check_run(payload + 8, head[1], depth + 1)
    if wrong != NULL:
        return wrong
    return check_run(payload + 8 + head[1], length - 8 - head[1], depth + 1)


cdef const char *_check_nat(const ct_action *a) noexcept nogil:
    cdef uint16_t kind = a.flags & (CT_SRC | CT_DST)
    cdef const uint64_t *least = <const uint64_t *> a.addr_min
    cdef bint given = (least[0] | least[1] | a.port_min | a.port_max) != 0
    if kind == (CT_SRC | CT_DST):
        return "ct: nat of both src and dst"
    if kind and not a.flags & CT_NAT:
        return "ct: src or dst without nat"
    given = given or memcmp(a.addr_min, a.addr_max, 16) != 0
    if not kind and (given or a.flags & (CT_PERSISTENT | CT_HASH | CT_RANDOM)):
        return "ct: a range of nat without src or dst"
    if memcmp(a.addr_min, a.addr_max, 16) > 0 or a.port_min > a.port_max:
        return "ct: a range of nat that ends before it begins"
    if a.port_max and not a.port_min:
        return "ct: a range of ports from 0"
    if a.flags & CT_HASH and a.flags & CT_RANDOM:
        return "ct: nat with both hash and random"
    return NULL


cdef const char *_check_ct(const uint8_t *payload, uint32_t length) noexcept nogil:
    cdef ct_action a
    if length != sizeof(ct_action):
        return "ct: wrong length"
    memcpy(&a, payload, sizeof(ct_action))
    if a.flags & ~CT_FLAGS or a.pad[0] or a.pad[1] or a.pad[2]:
        return "ct: unknown flags"
    if a.flags & CT_FORCE and not a.flags & CT_COMMIT:
        return "ct: force without commit"
    if a.alg > ALG_TFTP:
        return "ct: no such helper"
    if a.timeout[CT_TIMEOUT_NAME - 1]:
        return "ct: the name of a timeout policy has no end"
    return _check_nat(&a)


cdef const char *_check_one(uint16_t kind, const uint8_t *payload, uint32_t length,
                            int depth) noexcept nogil:
    cdef int size = _payload_size(kind)
    if size >= 0:
        return _check_fixed(kind, payload, length, <uint32_t> size)
    if kind == ACT_SET:
        return _check_set(payload, length)
    if kind == ACT_CT:
        return _check_ct(payload, length)
    if kind == ACT_CLONE:
        return check_run(payload, length, depth + 1)
    if kind == ACT_SAMPLE:
        if length < 4:
            return "sample: too short"
        return check_run(payload + 4, length - 4, depth + 1)
    if kind == ACT_CHECK_PKT_LEN:
        return _check_lengths(payload, length, depth)
    if kind == ACT_PUSH_NSH:
        if length == 0 or nsh_size(payload, length) != length:
            return "push_nsh: malformed"
        return NULL
    if kind == ACT_SET_TUNNEL:
        return _check_tunnel(payload, length)
    if kind == ACT_TUNNEL_DEFRAG:
        if length < 4 or (length - 4) % sizeof(tunnel_end):
            return "tnl_defrag: malformed"
        return NULL
    if kind == ACT_TUNNEL_PUSH:
        return check_tunnel_push(payload, length)
    if kind == ACT_USERSPACE:
        if length < 8:
            return "userspace: malformed"
        return NULL
    return "unknown action"


cdef const char *check_run(const uint8_t *at, uint32_t length, int depth) noexcept nogil:
    cdef attr a
    cdef uint32_t size
    cdef const char *wrong
    if depth > MAX_NESTING:
        return "actions nested too deep"
    while length:
        if length < sizeof(attr):
            return "a cut action at the end"
        memcpy(&a, at, sizeof(attr))
        if a.length < sizeof(attr) or a.length > length:
            return "an action's length reaches out of the list"
        wrong = _check_one(a.type, at + sizeof(attr), a.length - sizeof(attr), depth)
        if wrong != NULL:
            return wrong
        size = (a.length + 3) & ~3
        if size > length:
            return "the last action lacks its padding"
        at += size
        length -= size
    return NULL


def check_actions(actions, bint executed=False):
    cdef const uint8_t[::1] view = actions
    cdef const char *wrong
    if view.shape[0] > (MAX_EXECUTED if executed else MAX_ACTIONS):
        raise ValueError("action list too long")
    if view.shape[0] == 0:
        return
    wrong = check_run(&view[0], <uint32_t> view.shape[0], 0)
    if wrong != NULL:
        raise ValueError((<bytes> wrong).decode())
