"""The standard actions of OpenFlow 1.0 to 1.3, and Nicira's forms of them for versions without."""

from struct import Struct

from .action_base import (
    ANY_VERSION,
    OF10,
    OF11,
    OF12,
    OF15,
    Action,
    format_port,
    need,
    nicira,
    nothing,
    number,
    parse_subfield,
    port_from_wire,
    port_number,
    port_to_wire,
    standard,
    unsupported,
)
from .errors import OFError
from .fields import (
    BY_CODE,
    BY_NAME,
    EXPERIMENTER_CLASS,
    OFPP_CONTROLLER,
    OFPP_MAX,
    OFPP_NONE,
    OFPP_UNSET,
    PORT_NAMES,
)
from .match import oxm_value, value_fits
from .match_text import TextError, format_value, parse_int, parse_value

_U16X2 = Struct("!HH")
_U32 = Struct("!I")
_REG_LOAD = Struct("!HIQ")
MAX_LEN_WHOLE = 0xFFFF

ETH_VLAN = (0x8100, 0x88A8)
ETH_MPLS = (0x8847, 0x8848)


# The reserved ports that a packet may go to
_OUTPUT_PORTS = set(PORT_NAMES) - {OFPP_NONE, OFPP_UNSET}


class Output(Action):
    """To a port; max_len: bytes of a packet that go to the controller."""

    FIELDS = ("port", "max_len")
    DEFAULTS = (MAX_LEN_WHOLE,)

    def encode(self, version):
        max_len = self.max_len if self.port == OFPP_CONTROLLER else 0
        body = port_to_wire(self.port, version) + max_len.to_bytes(2, "big")
        return standard(0, body if version == OF10 else body + bytes(6))

    def decode(body, _version):
        size = 2 if len(body) == 4 else 4
        port = port_from_wire(body[:size])
        max_len = int.from_bytes(body[size : size + 2], "big")
        return Output(port, max_len if port == OFPP_CONTROLLER else MAX_LEN_WHOLE)

    WIRE = ((OF10, OF10, 0, 4, decode), (OF11, OF15, 0, 12, decode))

    def parse(argument, names):
        text, colon, max_len = need(argument, "output").partition(":")
        if "[" in text:
            from .actions_nx import OutputReg

            return OutputReg(*parse_subfield(text), MAX_LEN_WHOLE)
        port = port_number(text, names, "output")
        return Output(port, parse_int(max_len, "max_len", 16) if colon else MAX_LEN_WHOLE)

    def format(self, names=None):
        if self.port == OFPP_CONTROLLER:
            return f"CONTROLLER:{self.max_len}"
        text = format_port(self.port, names)
        return text if self.port >= 0xFF00 else f"output:{text}"

    TEXT = {"output": parse}

    def check(self, context):
        if self.port >= OFPP_MAX and self.port not in _OUTPUT_PORTS:
            raise OFError("OFPBAC_BAD_OUT_PORT", f"port {self.port}")


class Enqueue(Action):
    """To a port, by one of its queues."""

    FIELDS = ("port", "queue")

    def encode(self, version):
        if version == OF10:
            return standard(11, self.port.to_bytes(2, "big") + bytes(6) + _U32.pack(self.queue))
        # Later versions say it with three actions.
        return (
            SetQueue(self.queue).encode(version)
            + Output(self.port).encode(version)
            + nicira(5, b"")
        )

    def decode(body, _version):
        return Enqueue(port_from_wire(body[:2]), int.from_bytes(body[8:12], "big"))

    WIRE = ((OF10, OF10, 11, 12, decode),)

    def parse(argument, names):
        port, _, queue = need(argument, "enqueue").replace(",", ":").partition(":")
        if not queue:
            raise TextError('"enqueue" syntax is "enqueue:PORT:QUEUE" or "enqueue(PORT,QUEUE)"')
        return Enqueue(port_number(port, names, "enqueue"), parse_int(queue, "queue", 32))

    def format(self, names=None):
        return f"enqueue:{format_port(self.port, names)}:{self.queue}"

    TEXT = {"enqueue": parse}


# OpenFlow 1.0 (and 1.1) actions that set one field: type, field, bytes of the value, padding, text
_LEGACY = (
    (1, "dl_vlan", 2, 2, "mod_vlan_vid"),
    (2, "dl_vlan_pcp", 1, 3, "mod_vlan_pcp"),
    (4, "eth_src", 6, 6, "mod_dl_src"),
    (5, "eth_dst", 6, 6, "mod_dl_dst"),
    (6, "ip_src", 4, 0, "mod_nw_src"),
    (7, "ip_dst", 4, 0, "mod_nw_dst"),
    (8, "nw_tos", 1, 3, "mod_nw_tos"),
    (9, "tcp_src", 2, 2, "mod_tp_src"),
    (10, "tcp_dst", 2, 2, "mod_tp_dst"),
)
_TUN_ID = BY_NAME["tun_id"]  # a legacy one is Nicira's set_tunnel or, above 32 bits, set_tunnel64
# The types of 1.1, which puts them elsewhere.  1.2 and later have SET_FIELD instead, but Open
# vSwitch takes these, too.
_TYPES_11 = {1: 1, 2: 2, 4: 3, 5: 4, 6: 5, 7: 6, 8: 7, 9: 9, 10: 10}
_LEGACY_OF = {BY_NAME[name]: row for row in _LEGACY for name in (row[1],)}
_LEGACY_OF[BY_NAME["udp_src"]] = _LEGACY_OF[BY_NAME["tcp_src"]]
_LEGACY_OF[BY_NAME["udp_dst"]] = _LEGACY_OF[BY_NAME["tcp_dst"]]
_LEGACY_OF[BY_NAME["sctp_src"]] = _LEGACY_OF[BY_NAME["tcp_src"]]
_LEGACY_OF[BY_NAME["sctp_dst"]] = _LEGACY_OF[BY_NAME["tcp_dst"]]
_L4 = {"tcp_src": "src", "tcp_dst": "dst"}
_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
# Fields of later versions -> what 1.0's actions call them, and where they lie in it.
_IN_10 = {"vlan_vid": ("dl_vlan", 0), "vlan_pcp": ("dl_vlan_pcp", 0), "ip_dscp": ("nw_tos", 2)}
_VLAN_VID, _VLAN_PCP, _DSCP = BY_NAME["vlan_vid"], BY_NAME["vlan_pcp"], BY_NAME["ip_dscp"]


def _decoder(name, size):
    def decode(body, _version):
        field = BY_NAME[name]
        value = int.from_bytes(body[:size], "big")
        if not value_fits(field, value):
            raise OFError("OFPBAC_BAD_ARGUMENT", f"{name} {value:#x}")
        return SetField(field, value, None, True)

    return decode


def _parser(name, text):
    def parse(argument, names):
        field = BY_NAME[name]
        value, _mask = parse_value(field, need(argument, text), names)
        return SetField(field, value, None, True)

    return parse


class SetField(Action):
    """Sets a field, or its bits in `mask` (None: all).  `legacy`: one of OpenFlow 1.0's actions,
    which set dl_vlan by adding a tag where there is none, and ports of any L4 protocol; or Nicira's
    set_tunnel."""

    FIELDS = ("field", "value", "mask", "legacy")
    DEFAULTS = (None, False)

    def encode(self, version):
        if version == OF10:
            return self._encode_10()
        field, value = self.field, self.value
        if self.legacy:
            field, value = self._modern()
        header = field.oxm(version, self.mask is not None)
        if header is None:
            raise unsupported(self, version)
        width = field.n_bytes
        data = header + value.to_bytes(width, "big")
        if self.mask is not None:
            data += self.mask.to_bytes(width, "big")
            if version < OF15 and len(header) == 4:
                return b"".join(self._loads(version))
            if version < OF15:
                return nicira(33, bytes(6) + data)
        if version < OF12:
            return nicira(33, bytes(6) + data)
        return standard(25, data + bytes(-(4 + len(data)) % 8))

    def _modern(self):
        """Field and value by which later versions say what a legacy action does."""
        name = self.field.name
        if name == "dl_vlan":
            return _VLAN_VID, self.value | 0x1000
        if name == "dl_vlan_pcp":
            return _VLAN_PCP, self.value
        if name == "nw_tos":
            return _DSCP, self.value >> 2
        return self.field, self.value

    def _encode_10(self):
        if self.legacy and self.field is _TUN_ID:
            wide = self.value >> 32
            return nicira(*((9, bytes(6) + self.value.to_bytes(8, "big")) if wide
                            else (2, bytes(2) + _U32.pack(self.value))))  # fmt: skip
        name, shift = _IN_10.get(self.field.name, (self.field.name, 0))
        row = _LEGACY_OF.get(BY_NAME[name])
        if row is not None and self.mask is None:
            kind, _name, size, padding, _text = row
            value = self.value << shift & BY_NAME[name].mask
            return standard(kind, value.to_bytes(size, "big") + bytes(padding))
        return b"".join(self._loads(OF10))

    def _loads(self, version):
        """reg_load actions for each run of bits, of 64 at most."""
        header = self.field.oxm(version, False)
        if header is None or len(header) != 4:
            raise unsupported(self, version)
        mask = self.field.mask if self.mask is None else self.mask
        start = 0
        while mask >> start:
            if not mask >> start & 1:
                start += 1
                continue
            n = 1
            while n < 64 and mask >> (start + n) & 1 and (start + n) % 64:
                n += 1
            value = self.value >> start & ((1 << n) - 1)
            yield nicira(7, _REG_LOAD.pack(start << 6 | n - 1, _U32.unpack(header)[0], value))
            start += n

    def decode_oxm(body, version):
        """SET_FIELD, and the end of REG_LOAD2."""
        field, has_mask, at, end = oxm_header(body, 0)
        value, mask = oxm_value(field, has_mask, body[:end], at)
        if any(body[end:]):
            raise OFError("OFPBAC_BAD_SET_ARGUMENT", "padding is not zero")
        if not field.writable:
            raise OFError("OFPBAC_BAD_SET_ARGUMENT", f"{field.name} is read-only")
        if field is _VLAN_VID and version >= OF12 and not value & 0x1000:
            raise OFError("OFPBAC_BAD_SET_ARGUMENT", "vlan_vid without the present bit")
        return SetField(field, value, mask if has_mask and mask != field.mask else None)

    def decode_load2(body, version):
        if any(body[:6]):
            raise OFError("NXBRC_MUST_BE_ZERO")
        return SetField.decode_oxm(body[6:], version)

    WIRE = (
        *((OF10, OF10, row[0], row[2] + row[3], _decoder(row[1], row[2])) for row in _LEGACY),
        *(
            (OF11, OF15, _TYPES_11[row[0]], row[2] + row[3], _decoder(row[1], row[2]))
            for row in _LEGACY
        ),
        (OF12, OF15, 25, None, decode_oxm),
    )
    NX = ((33, None, decode_load2),)

    def parse(argument, names):
        text, arrow, destination = need(argument, "set_field").rpartition("->")
        if not arrow:
            raise TextError(f"{argument}: missing `->'")
        field, _start, _bits = parse_subfield(destination)
        if not field.writable:
            raise TextError(f"{destination} is read-only")
        value, mask = parse_value(field, text, names)
        if mask in (None, field.mask):
            return SetField(field, value)
        return SetField(field, value & mask, mask)

    TEXT = {"set_field": parse, **{row[4]: _parser(row[1], row[4]) for row in _LEGACY}}

    def format(self, names=None):
        if self.legacy:
            return f"{self._word()}:{format_value(self.field, self.value, None, names)}"
        value = format_value(self.field, self.value, self.mask, names)
        return f"set_field:{value}->{self.field.name}"

    def _word(self):
        if self.field is _TUN_ID:
            return "set_tunnel64" if self.value >> 32 else "set_tunnel"
        return _LEGACY_OF[self.field][4]

    def check(self, context):
        if self.legacy and self.field.name in _L4 and context.match is not None:
            # The action of 1.0 is for whatever L4 protocol the flow has.
            protocol = _PROTOCOLS.get(context.match.nw_proto)
            if protocol:
                self.field = BY_NAME[f"{protocol}_{_L4[self.field.name]}"]
        if self.legacy and self.field.name in ("dl_vlan", "dl_vlan_pcp"):
            context.tags = context.tags or 1
        elif self.field is _VLAN_VID:
            context.require(_VLAN_PCP)
        elif not (self.legacy and context.version == OF10):
            context.require(self.field)


def oxm_header(data: bytes, at: int):
    """(field, has_mask, where the value starts, where the TLV ends) of a whole TLV in an action.

    Raises OFError BAD_SET_TYPE, BAD_SET_LEN.
    """
    if len(data) < at + 4:
        raise OFError("OFPBAC_BAD_SET_LEN", "truncated field")
    head = int.from_bytes(data[at : at + 4], "big")
    end = at + 4 + (head & 0xFF)
    oxm_class, code, has_mask = head >> 16, head >> 9 & 0x7F, bool(head >> 8 & 1)
    experimenter, start = 0, at + 4
    if oxm_class == EXPERIMENTER_CLASS:
        experimenter, start = int.from_bytes(data[at + 4 : at + 8], "big"), at + 8
    if end > len(data):
        raise OFError("OFPBAC_BAD_SET_LEN", "truncated field")
    field = BY_CODE.get((oxm_class, experimenter, code))
    if field is None:
        raise OFError("OFPBAC_BAD_SET_TYPE", f"OXM header {head:#x}")
    if end - start != field.n_bytes * (1 + has_mask):
        raise OFError("OFPBAC_BAD_SET_LEN", field.name)
    return field, has_mask, start, end


def _simple(name, number_, text, size=4, nx=None, first=OF11):
    """A class for an action without arguments."""

    def decode(_body, _version):
        return made()

    def encode(self, version):
        if version >= first and number_ is not None:
            return standard(number_, bytes(size))
        if nx is None:
            raise unsupported(self, version)
        return nicira(nx, b"")

    made = type(
        name,
        (Action,),
        {
            "__doc__": f"{text}: no argument.",
            "WIRE": ((first, OF15, number_, size, decode),) if number_ is not None else (),
            "NX": ((nx, 6, decode),) if nx is not None else (),
            "encode": encode,
            "format": lambda self, names=None: text,
        },
    )
    return made


CopyTtlOut = _simple("CopyTtlOut", 11, "copy_ttl_out")
CopyTtlIn = _simple("CopyTtlIn", 12, "copy_ttl_in")
DecMplsTtl = _simple("DecMplsTtl", 16, "dec_mpls_ttl", nx=26)
PopQueue = _simple("PopQueue", None, "pop_queue", nx=5)
Exit = _simple("Exit", None, "exit", nx=17)


def _register_text():
    from .action_base import TEXT

    for cls in (CopyTtlOut, CopyTtlIn, DecMplsTtl, PopQueue, Exit):
        TEXT[cls().format()] = (cls, nothing(cls))


_register_text()


class PopVlan(Action):
    """Takes off the outer tag."""

    text = "pop_vlan"

    def encode(self, version):
        return standard(3 if version == OF10 else 18, bytes(4))

    def decode(_body, version):
        return PopVlan().named("strip_vlan" if version == OF10 else "pop_vlan")

    WIRE = ((OF10, OF10, 3, 4, decode), (OF11, OF15, 18, 4, decode))
    TEXT = {
        "pop_vlan": lambda a, n: PopVlan(),
        "strip_vlan": lambda a, n: PopVlan().named("strip_vlan"),
    }

    def named(self, text):
        """Itself, printed as OpenFlow 1.0 (strip_vlan) or the later ones call it."""
        self.text = text
        return self

    def format(self, names=None):
        return self.text

    def check(self, context):
        context.require_after_10(_VLAN_PCP)
        context.tags = max(0, context.tags - 1)


class PushVlan(Action):
    """A new outer tag of Ethertype 0x8100 or 0x88a8, VLAN and priority of the one before, or 0."""

    FIELDS = ("ethertype",)

    def encode(self, version):
        if version == OF10:
            return b""  # a side effect of the setting of the VLAN that comes next
        return standard(17, self.ethertype.to_bytes(2, "big") + bytes(2))

    def decode(body, _version):
        return PushVlan(_ethertype(body, ETH_VLAN))

    WIRE = ((OF11, OF15, 17, 4, decode),)

    def parse(argument, _names):
        ethertype = number(argument, "push_vlan", 16)
        if ethertype not in ETH_VLAN:
            raise TextError(f"{argument}: not a valid VLAN ethertype")
        return PushVlan(ethertype)

    TEXT = {"push_vlan": parse}

    def format(self, names=None):
        return f"push_vlan:{self.ethertype:#06x}"

    def check(self, context):
        context.tags += 1


def _ethertype(body, allowed):
    ethertype = int.from_bytes(body[:2], "big")
    if ethertype not in allowed:
        raise OFError("OFPBAC_BAD_ARGUMENT", f"Ethertype {ethertype:#06x}")
    return ethertype


class PushMpls(Action):
    """A new outermost label, of Ethertype 0x8847 or 0x8848."""

    FIELDS = ("ethertype",)

    def encode(self, version):
        body = self.ethertype.to_bytes(2, "big")
        return nicira(23, body + bytes(4)) if version == OF10 else standard(19, body + bytes(2))

    def decode(body, _version):
        return PushMpls(_ethertype(body, ETH_MPLS))

    WIRE = ((OF11, OF15, 19, 4, decode),)
    NX = ((23, 6, decode),)
    TEXT = {"push_mpls": lambda a, n: PushMpls(number(a, "push_mpls", 16))}

    def format(self, names=None):
        return f"push_mpls:{self.ethertype:#06x}"

    def check(self, context):
        if self.ethertype not in ETH_MPLS:
            raise OFError("OFPBAC_BAD_ARGUMENT", f"Ethertype {self.ethertype:#06x}")
        context.ethertype = self.ethertype


class PopMpls(Action):
    """Takes off the outermost label; what follows is of the given Ethertype."""

    FIELDS = ("ethertype",)

    def encode(self, version):
        body = self.ethertype.to_bytes(2, "big")
        return nicira(24, body + bytes(4)) if version == OF10 else standard(20, body + bytes(2))

    def decode(body, _version):
        return PopMpls(int.from_bytes(body[:2], "big"))

    WIRE = ((OF11, OF15, 20, 4, decode),)
    NX = ((24, 6, decode),)
    TEXT = {"pop_mpls": lambda a, n: PopMpls(number(a, "pop_mpls", 16))}

    def format(self, names=None):
        return f"pop_mpls:{self.ethertype:#06x}"

    def check(self, context):
        context.require_after_10(BY_NAME["mpls_label"])
        context.ethertype = self.ethertype


class SetMplsTtl(Action):
    """TTL of the outermost label."""

    FIELDS = ("ttl",)

    def encode(self, version):
        if version == OF10:
            return nicira(25, bytes((self.ttl,)) + bytes(5))
        return standard(15, bytes((self.ttl, 0, 0, 0)))

    def decode(body, _version):
        return SetMplsTtl(body[0])

    WIRE = ((OF11, OF15, 15, 4, decode),)
    NX = ((25, 6, decode),)
    TEXT = {"set_mpls_ttl": lambda a, n: SetMplsTtl(number((a or "").strip("()"), "ttl", 8))}

    def format(self, names=None):
        return f"set_mpls_ttl({self.ttl})"

    def check(self, context):
        context.require_after_10(BY_NAME["mpls_label"])


class SetTtl(Action):
    """TTL or hop limit of IP."""

    FIELDS = ("ttl",)

    def encode(self, version):
        if version == OF10:
            return SetField(BY_NAME["nw_ttl"], self.ttl).encode(version)
        return standard(23, bytes((self.ttl, 0, 0, 0)))

    def decode(body, _version):
        return SetTtl(body[0])

    WIRE = ((OF11, OF15, 23, 4, decode),)
    TEXT = {"mod_nw_ttl": lambda a, n: SetTtl(number(a, "mod_nw_ttl", 8))}

    def format(self, names=None):
        return f"mod_nw_ttl:{self.ttl}"

    def check(self, context):
        context.require_after_10(BY_NAME["nw_ttl"])


class DecTtl(Action):
    """Decrements TTL or hop limit; at 0 or 1 the packet goes to controllers `ids` instead."""

    FIELDS = ("ids",)
    DEFAULTS = (None,)

    def encode(self, version):
        if self.ids is not None:
            body = len(self.ids).to_bytes(2, "big") + bytes(4)
            return nicira(21, body + b"".join(i.to_bytes(2, "big") for i in self.ids))
        return nicira(18, b"") if version == OF10 else standard(24, bytes(4))

    def decode(_body, _version):
        return DecTtl()

    def decode_ids(body, _version):
        n = int.from_bytes(body[:2], "big")
        if not n or len(body) < 6 + 2 * n:
            raise OFError("OFPBAC_BAD_LEN", "dec_ttl with controller ids")
        return DecTtl(tuple(int.from_bytes(body[6 + 2 * i : 8 + 2 * i], "big") for i in range(n)))

    WIRE = ((OF11, OF15, 24, 4, decode),)
    NX = ((18, 6, decode), (21, None, decode_ids))

    def parse(argument, _names):
        if not argument:
            return DecTtl()
        return DecTtl(tuple(parse_int(word, "dec_ttl", 16) for word in argument.split(",")))

    TEXT = {"dec_ttl": parse}

    def format(self, names=None):
        return "dec_ttl" if self.ids is None else f"dec_ttl({','.join(map(str, self.ids))})"

    def check(self, context):
        context.require_after_10(BY_NAME["nw_ttl"])


class SetQueue(Action):
    """The queue of later outputs."""

    FIELDS = ("queue",)

    def encode(self, version):
        body = _U32.pack(self.queue)
        return nicira(4, bytes(2) + body) if version == OF10 else standard(21, body)

    def decode(body, _version):
        return SetQueue(int.from_bytes(body[-4:], "big"))

    WIRE = ((OF11, OF15, 21, 4, decode),)
    NX = ((4, 6, decode),)
    TEXT = {"set_queue": lambda a, n: SetQueue(number(a, "set_queue", 32))}

    def format(self, names=None):
        return f"set_queue:{self.queue}"


class Group(Action):
    """To a group."""

    FIELDS = ("group",)

    def encode(self, version):
        if version == OF10:
            raise unsupported(self, version)
        return standard(22, _U32.pack(self.group))

    def decode(body, _version):
        return Group(int.from_bytes(body, "big"))

    WIRE = ((OF11, OF15, 22, 4, decode),)
    TEXT = {"group": lambda a, n: Group(number(a, "group", 32))}

    def format(self, names=None):
        return f"group:{self.group}"

    def check(self, context):
        if self.group not in context.groups:
            raise OFError("OFPBAC_BAD_OUT_GROUP", f"group {self.group}")


__all__ = [name for name, value in globals().items() if isinstance(value, type)] + ["ANY_VERSION"]
