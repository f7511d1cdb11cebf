"""From OpenFlow actions and instructions to the ops that translation runs.

EMIT has one function per class of ofproto.actions and ofproto.instructions.
"""

from sys import byteorder

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from datapath.actions.odp cimport ALG_FTP, ALG_NONE, ALG_TFTP, CT_IPV6, CT_NAT, ct_action
from datapath.key.flow import MEMBERS
from ofproto.codec import fields
from ofproto.codec.actions.encap import MAX_CONTEXT
from ofproto.codec.actions.learn import DELETE_LEARNED
from ofproto.codec.actions.placed import options_of
from ofproto.codec.actions.spread import BUNDLE_ALGORITHMS, HASH_FIELDS, MULTIPATH_ALGORITHMS
from ofproto.codec.fields import BY_NAME, selection_order
from ofproto.codec.numbers import OF10

from ofproto.rules.learned cimport LearnSpec
from ofproto.rules.program cimport *
from ofproto.codec.numbers cimport OFPP_IN_PORT

PREREQUISITES = {
    fields.VLAN: PRE_VLAN,
    fields.ARP: PRE_ARP,
    fields.IPV4: PRE_IPV4,
    fields.IPV6: PRE_IPV6,
    fields.IP_ANY: PRE_IP_ANY,
    fields.MPLS: PRE_MPLS,
    fields.PBB: PRE_PBB,
    fields.IN_PORT: PRE_NONE,       # each packet came in somewhere
    fields.TCP: PRE_TCP,
    fields.UDP: PRE_UDP,
    fields.SCTP: PRE_SCTP,
    fields.ICMPV4: PRE_ICMPV4,
    fields.ICMPV6: PRE_ICMPV6,
    fields.ND: PRE_ND,
    fields.ND_SOLICIT: PRE_ND_SOLICIT,
    fields.ND_ADVERT: PRE_ND_ADVERT,
    fields.NSH: PRE_NSH,
    fields.ETHERNET: PRE_ETHERNET,
    fields.CT: PRE_CT,
    None: PRE_NONE,
}
# Of what OpenFlow 1.0 has actions for.
LEGACY_PREREQUISITES = {"mod_tp_src": PRE_L4_PORTS, "mod_tp_dst": PRE_L4_PORTS}
# Of fields that are written.
WRITTEN = {fields.IPV4: PRE_IPV4_HEADER, fields.IP_ANY: PRE_IP_HEADER}
CT_ALGS = {None: <int> ALG_NONE, "ftp": <int> ALG_FTP, "tftp": <int> ALG_TFTP}
VLAN_VID, VLAN_PCP = BY_NAME["vlan_vid"], BY_NAME["vlan_pcp"]
DL_VLAN, DL_VLAN_PCP = BY_NAME["dl_vlan"], BY_NAME["dl_vlan_pcp"]


cdef enum:
    NAT_FLAGS_SHIFT = 3     # from nat's flags to CT_SRC and so on


cdef uint8_t prerequisite(field):
    if field is VLAN_VID:
        return PRE_VLAN         # a tag is changed, not made
    return PREREQUISITES[field.prerequisite]


cdef slot slot_of(field, int start, int n_bits):
    """Bits [start, start + n_bits) of a field."""
    cdef slot s
    member, shift, bits = field.slot
    offset, size = MEMBERS[member]
    s.option = 0
    if field.option is not None:        # its own bytes: the member has 256
        s.option = field.option + 1
        offset, size, shift = offset + field.offset, field.n_bytes, 0
    s.offset = offset
    s.size = max(size, (shift + bits + 7) // 8)
    s.shift = shift + start
    s.n_bits = min(n_bits, bits - start)
    s.absent = min(max(_absent(field) - start, 0), <int> s.n_bits)
    return s


cdef int _absent(field) except -1:
    """How many of a field's lowest bits are no part of it: mask 0xfc, 2."""
    return (field.mask & -field.mask).bit_length() - 1


cdef op *emit(Program p, op_code code, set_kind_t kind) except NULL:
    cdef op *o = p.add(code)
    o.set_kind = kind
    o.action = <uint16_t> (len(p.actions) - 1)
    return o


cdef int emit_set(Program p, field, value, mask) except -1:
    """Sets the bits of `mask` (of the field's value) to `value`."""
    cdef op *o
    cdef slot s
    cdef bytes data
    if field is DL_VLAN or field is DL_VLAN_PCP:
        return emit_set_vlan(p, field is DL_VLAN, value, True)
    if field is VLAN_VID:
        mask &= 0xfff
    s = slot_of(field, 0, field.n_bits)
    mask &= field.mask & (1 << field.slot[2]) - 1       # arp_op: the key has its low byte
    data = ((value & mask) << s.shift).to_bytes(s.size, "big")
    data += (mask << s.shift).to_bytes(s.size, "big")
    o = emit(p, OP_SET, SET_FIELD)
    o.prereq = WRITTEN.get(field.prerequisite, prerequisite(field))
    o.dst = s
    o.data_len = <uint16_t> len(data)
    o.data = p.add_data(data, <uint32_t> len(data))
    return 0


def _delete_field(Program p, a):
    emit(p, OP_DELETE_FIELD, SET_FIELD).dst = slot_of(a.field, 0, a.field.n_bits)


cdef int emit_set_vlan(Program p, bint vid, value, bint push) except -1:
    cdef op *o = emit(p, OP_SET_VLAN_VID if vid else OP_SET_VLAN_PCP, SET_FIELD)
    o.arg = value
    o.aux = push
    o.prereq = PRE_ETHERNET
    return 0


cdef int emit_port(Program p, op_code code, set_kind_t kind, uint32_t port, uint32_t arg) except -1:
    cdef op *o = emit(p, code, kind)
    o.port = port
    o.arg = arg
    return 0


cdef int emit_aux(Program p, op_code code, set_kind_t kind, uint16_t aux) except -1:
    cdef op *o = emit(p, code, kind)
    o.aux = aux
    return 0


cdef int emit_ttl(Program p, op_code code, set_kind_t kind, prereq_t prereq, uint32_t arg) except -1:
    cdef op *o = emit(p, code, kind)
    o.prereq = prereq
    o.arg = arg
    return 0


cdef int emit_tag(Program p, op_code code, set_kind_t kind, uint16_t aux) except -1:
    """What only an Ethernet header can have."""
    cdef op *o = emit(p, code, kind)
    o.aux = aux
    o.prereq = PRE_ETHERNET
    return 0


def _encap(Program p, a):
    cdef op *o
    cdef bytes data = b"".join([
        kind.to_bytes(2, "big") + bytes((number, len(value))) + value + bytes((4 - len(value) % 4) % 4)
        for kind, number, value in a.tlvs
    ])
    if len(data) > MAX_CONTEXT:
        raise ValueError(f"options of an NSH header: {len(data)} bytes, {MAX_CONTEXT} at most")
    o = emit(p, OP_ENCAP, SET_ENCAP)
    o.arg = a.packet_type
    o.aux = a.md_type or 1
    o.data_len = <uint16_t> len(data)
    o.data = p.add_data(data, <uint32_t> len(data))


def _output(p, a):
    emit_port(p, OP_OUTPUT, SET_OUTPUT, a.port, a.max_len)


def _output_reg(Program p, a):
    cdef op *o = emit(p, OP_OUTPUT_REG, SET_OUTPUT)
    o.src = slot_of(a.field, a.start, a.n_bits)
    o.arg = a.max_len


def _controller(Program p, a):
    cdef op *o
    cdef bytes data
    o = emit(p, OP_PAUSE if a.pause else OP_CONTROLLER, SET_OUTPUT)
    o.port = a.controller_id
    o.arg = a.max_len
    o.aux = a.reason
    if a.userdata or a.meter is not None:
        meter = <uint32_t> OFPM_CONTROLLER if a.meter is None else a.meter
        data = meter.to_bytes(4, byteorder) + a.userdata
        o.data_len = <uint16_t> len(data)
        o.data = p.add_data(data, <uint32_t> len(data))


def _set_field(Program p, a):
    cdef op *o
    emit_set(p, a.field, a.value, a.field.mask if a.mask is None else a.mask)
    o = &p.ops[p.n_ops - 1]
    legacy = getattr(a, "legacy", None)
    if legacy in LEGACY_PREREQUISITES:
        o.prereq = LEGACY_PREREQUISITES[legacy]
    if legacy and o.code == OP_SET:
        o.aux = True            # a trace says nothing where it does nothing


def _reg_load(p, a):
    mask = ((1 << a.n_bits) - 1) << a.start
    emit_set(p, a.field, a.value << a.start, mask)


def _reg_move(Program p, a):
    cdef op *o = emit(p, OP_MOVE, SET_FIELD)
    o.src = slot_of(a.src, a.src_start, a.n_bits)
    o.dst = slot_of(a.dst, a.dst_start, a.n_bits)
    o.src_prereq = prerequisite(a.src)
    o.prereq = prerequisite(a.dst)


def _check_pkt_larger(Program p, a):
    cdef op *o = emit(p, OP_CHECK_LARGER, SET_NONE)
    o.arg = a.size
    o.dst = slot_of(a.field, a.start, 1)
    o.prereq = prerequisite(a.field)


def _stack_push(Program p, a):
    cdef op *o = emit(p, OP_STACK_PUSH, SET_NONE)
    o.src = slot_of(a.field, a.start, a.n_bits)


def _stack_pop(Program p, a):
    cdef op *o = emit(p, OP_STACK_POP, SET_NONE)
    o.dst = slot_of(a.field, a.start, a.n_bits)


def _dec_ttl(Program p, a):
    cdef op *o
    told = (0,) if a.ids is None else a.ids
    cdef bytes ids = b"".join([i.to_bytes(2, "big") for i in told])
    o = emit(p, OP_DEC_NW_TTL, SET_DEC_NW_TTL)
    o.prereq = PRE_IP_HEADER
    o.data_len = <uint16_t> len(ids)
    o.data = p.add_data(ids, <uint32_t> len(ids))


def _resubmit(Program p, a):
    cdef op *o = emit(p, OP_RESUBMIT, SET_RESUBMIT)
    o.arg = a.ct
    o.port = OFPP_IN_PORT if a.port is None else a.port
    o.aux = 255 if a.table is None else a.table


def _group(Program p, a):
    emit_port(p, OP_GROUP, SET_GROUP, 0, a.group)
    p.groups = frozenset([a.group]) if p.groups is None else p.groups | {a.group}


def _conjunction(Program p, a):
    emit_aux(p, OP_CONJUNCTION, SET_NONE, a.clause << 8 | a.clauses)
    p.ops[p.n_ops - 1].arg = a.id
    p.add_conjunction(a.id, a.clause, a.clauses)


def _learn(Program p, a):
    cdef op *o
    cdef bytes data = a.encode(OF10)        # for the signature
    cdef LearnSpec spec = LearnSpec(a, compile_actions)
    for clause in a.clauses:
        if clause.n_bits > 128:
            raise ValueError("learn of more than 128 bits is not supported")
        if not isinstance(clause.source, int):
            field, start = clause.source
            spec.add_source(slot_of(field, start, clause.n_bits))
    if a.result is not None:
        spec.has_result = True
        field, start = a.result
        spec.result = slot_of(field, start, 1)
    o = emit(p, OP_LEARN, SET_NONE)
    o.arg = <uint32_t> len(p.specs)
    o.data = p.add_data(data, <uint32_t> len(data))
    p.specs.append(spec)
    if a.flags & DELETE_LEARNED:
        p.learned += ((a.table, a.cookie),)


def _fin_timeout(Program p, a):
    cdef op *o = emit(p, OP_FIN_TIMEOUT, SET_NONE)
    o.prereq = PRE_TCP
    o.arg = a.idle_timeout << 16 | a.hard_timeout


def _multipath(Program p, a):
    cdef op *o
    cdef bytes data = a.argument.to_bytes(4, "little")
    o = emit(p, OP_MULTIPATH, SET_NONE)
    o.aux = HASH_FIELDS.index(a.fields)
    o.arg = a.basis << 16 | MULTIPATH_ALGORITHMS.index(a.algorithm)
    o.port = a.links
    o.prereq = prerequisite(a.field)
    o.dst = slot_of(a.field, a.start, a.n_bits)
    o.data = p.add_data(data, 4)
    o.data_len = 4


def _bundle(Program p, a):
    cdef op *o
    cdef bytes data = b"".join([port.to_bytes(2, "little") for port in a.members])
    if p.pool_size & 1:
        p.add_data(b"\0", 1)
    o = emit(p, OP_BUNDLE, SET_NONE)
    o.aux = HASH_FIELDS.index(a.fields)
    o.arg = a.basis << 16 | BUNDLE_ALGORITHMS.index(a.algorithm)
    o.port = len(a.members)
    o.data_len = <uint16_t> len(data)
    o.data = p.add_data(data, <uint32_t> len(data))
    if a.destination is not None:
        field, start, n_bits = a.destination
        o.prereq = prerequisite(field)
        o.dst = slot_of(field, start, n_bits)


cdef int fill_range(ct_action *c, nat) except -1:
    """What is not given stays 0; a range of one ends where it begins."""
    cdef bytes first, last
    c.flags |= CT_NAT | <uint16_t> nat.flags << NAT_FLAGS_SHIFT
    if nat.first is not None:
        first = nat.first.packed
        memcpy(c.addr_min, <const char *> first, len(first))
        last = first if nat.last is None else nat.last.packed
        memcpy(c.addr_max, <const char *> last, len(last))
        if nat.first.version == 6:
            c.flags |= CT_IPV6
    if nat.first_port:
        c.port_min = nat.first_port
        c.port_max = nat.last_port or nat.first_port
    return 0


def _ct(Program p, a):
    cdef op *o
    cdef ct_action c
    memset(&c, 0, sizeof(c))
    c.flags = a.flags       # COMMIT and FORCE have the same bits
    c.alg = CT_ALGS[a.alg]
    for each in a.actions:
        if type(each).__name__ == "Nat":
            fill_range(&c, each)
    emit_sub(p, OP_CT, a.actions)
    o = &p.ops[p.n_ops - 1]
    o.set_kind = SET_CT
    o.aux = CT_NO_TABLE if a.table is None else a.table
    if isinstance(a.zone, int):
        o.port = a.zone
    else:
        field, start, n_bits = a.zone
        o.src = slot_of(field, start, n_bits)
        o.src_prereq = prerequisite(a.zone[0])
    o.data_len = sizeof(c)
    o.data = p.add_data(<const uint8_t *> &c, sizeof(c))


def compile_fields(fields):
    """A Program that names fields to be hashed, not to be run: an op for each, with its slot and
    prerequisite, its size in bytes, and its mask in 16 bytes.  ValueError: a field has more."""
    cdef Program p = Program()
    cdef op *o
    cdef bytes data
    for field, mask in sorted(fields, key=selection_order):
        if field.n_bits > 128:
            raise ValueError(f"{field.name} is too long to be hashed")
        p.actions.append(field)
        data = (mask & field.mask).to_bytes(16, "big")
        while p.pool_size & 7:
            p.add_data(b"\0", 1)
        o = emit(p, OP_NOP, SET_NONE)
        o.prereq = PREREQUISITES[field.prerequisite]   # that there is no tag is hashed, too
        o.aux = field.n_bytes
        o.src = slot_of(field, 0, field.n_bits)
        o.data_len = 16
        o.data = p.add_data(data, 16)
    return p


def _sample(Program p, a):
    cdef op *o
    cdef bytes data = a.domain.to_bytes(4, "big") + a.point.to_bytes(4, "big")
    o = emit(p, OP_SAMPLE, SET_NONE)
    o.aux = a.probability
    o.port = a.port
    o.arg = a.collector_set
    o.data_len = 8
    o.data = p.add_data(data, 8)


def _write_metadata(Program p, a):
    cdef op *o
    cdef bytes data = (a.value & a.mask).to_bytes(8, "big") + a.mask.to_bytes(8, "big")
    o = emit(p, OP_WRITE_METADATA, SET_NONE)
    o.data_len = 16
    o.data = p.add_data(data, 16)


cdef int emit_sub(Program p, op_code code, actions) except -1:
    cdef op *o
    cdef Program sub = Program()
    add_all(sub, actions)
    o = emit(p, code, SET_NONE)
    o.arg = <uint32_t> len(p.subs)
    p.subs.append(sub)
    p.learned += sub.learned
    if sub.groups is not None:
        p.groups = sub.groups if p.groups is None else p.groups | sub.groups
    return 0


cdef add_all(Program p, actions):
    for action in actions:
        name = type(action).__name__
        function = EMIT.get(name)
        if function is None:
            raise ValueError(f"{name} is not supported yet")
        p.actions.append(action)
        function(p, action)


EMIT = {
    "Output": _output,
    "OutputReg": _output_reg,
    "OutputTrunc": lambda p, a: emit_port(p, OP_TRUNC, SET_OUTPUT, a.port, a.max_len),
    "Controller": _controller,
    "Enqueue": lambda p, a: emit_port(p, OP_ENQUEUE, SET_OUTPUT, a.port, a.queue),
    "SetField": _set_field,
    "RegLoad": _reg_load,
    "RegMove": _reg_move,
    "DeleteField": _delete_field,
    "StackPush": _stack_push,
    "StackPop": _stack_pop,
    "PushVlan": lambda p, a: emit_tag(p, OP_PUSH_VLAN, SET_PUSH_VLAN, a.ethertype),
    "PopVlan": lambda p, a: emit_tag(p, OP_POP_VLAN, SET_POP_VLAN, 0),
    "StripVlan": lambda p, a: emit_tag(p, OP_POP_VLAN, SET_POP_VLAN, 0),
    "PushMpls": lambda p, a: emit_aux(p, OP_PUSH_MPLS, SET_PUSH_MPLS, a.ethertype),
    "PopMpls": lambda p, a: emit_aux(p, OP_POP_MPLS, SET_POP_MPLS, a.ethertype),
    "PushPbb": lambda p, a: emit_tag(p, OP_PUSH_PBB, SET_PUSH_PBB, 0),
    "PopPbb": lambda p, a: emit_ttl(p, OP_POP_PBB, SET_POP_PBB, PRE_PBB, 0),
    "SetMplsTtl": lambda p, a: emit_ttl(p, OP_SET_MPLS_TTL, SET_FIELD, PRE_MPLS, a.ttl),
    "DecMplsTtl": lambda p, a: emit_ttl(p, OP_DEC_MPLS_TTL, SET_DEC_MPLS_TTL, PRE_MPLS, 0),
    "SetTtl": lambda p, a: emit_ttl(p, OP_SET_NW_TTL, SET_FIELD, PRE_IP_HEADER, a.ttl),
    "DecTtl": _dec_ttl,
    "CopyTtlIn": lambda p, a: emit_ttl(p, OP_COPY_TTL_IN, SET_COPY_TTL_IN, PRE_MPLS, 0),
    "CopyTtlOut": lambda p, a: emit_ttl(p, OP_COPY_TTL_OUT, SET_COPY_TTL_OUT, PRE_MPLS, 0),
    "SetQueue": lambda p, a: emit_port(p, OP_SET_QUEUE, SET_QUEUE, 0, a.queue),
    "PopQueue": lambda p, a: emit_aux(p, OP_POP_QUEUE, SET_QUEUE, 0),
    "Encap": _encap,
    "Decap": lambda p, a: emit_ttl(p, OP_DECAP, SET_DECAP, PRE_NONE, a.packet_type),
    "DecNshTtl": lambda p, a: emit_ttl(p, OP_DEC_NSH_TTL, SET_DEC_NSH_TTL, PRE_NSH, 0),
    "Group": _group,
    "Meter": lambda p, a: emit_port(p, OP_METER, SET_NONE, 0, a.meter),
    "Resubmit": _resubmit,
    "Note": lambda p, a: emit_aux(p, OP_NOP, SET_NONE, 0),
    "CheckPktLarger": _check_pkt_larger,
    "Sample": _sample,
    "DebugRecirc": lambda p, a: emit_aux(p, OP_DEBUG_RECIRC, SET_NONE, 0),
    "DebugSlow": lambda p, a: emit_aux(p, OP_DEBUG_SLOW, SET_NONE, 0),
    "Exit": lambda p, a: emit_aux(p, OP_EXIT, SET_NONE, 0),
    "Clone": lambda p, a: emit_sub(p, OP_CLONE, a.actions),
    "Conjunction": _conjunction,
    "Multipath": _multipath,
    "Bundle": _bundle,
    "Learn": _learn,
    "FinTimeout": _fin_timeout,
    "Ct": _ct,
    "Nat": lambda p, a: emit_aux(p, OP_NOP, SET_NONE, 0),       # part of its ct
    "CtClear": lambda p, a: emit_aux(p, OP_CT_CLEAR, SET_CT_CLEAR, 0),
    "Drop": lambda p, a: None,
    "GotoTable": lambda p, a: emit_aux(p, OP_GOTO_TABLE, SET_NONE, a.table),
    "WriteMetadata": _write_metadata,
    "WriteActions": lambda p, a: emit_sub(p, OP_WRITE_ACTIONS, a.actions),
    "ClearActions": lambda p, a: emit_aux(p, OP_CLEAR_ACTIONS, SET_NONE, 0),
    "ApplyActions": lambda p, a: add_all(p, a.actions),
}


def compile_actions(actions, instructions=()):
    """A Program of actions, then instructions, in the order they run.

    Raises ValueError for what translation cannot do.
    """
    cdef Program p = Program()
    add_all(p, actions)
    add_all(p, instructions)
    options = frozenset([field.option for field in options_of([
        each for some in (actions, instructions) if not getattr(some, "plain", False) for each in some
    ])])
    p.options = options or None
    return p
