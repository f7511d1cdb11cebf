"""Standard actions of OpenFlow 1.0 to 1.3 (output has its own file), and Nicira's forms of them."""

import re
from struct import Struct

from datapath.base.protocols import ETH_PBB, MPLS_TYPES, VLAN_TPIDS
from ofproto.codec.errors import OFError
from ofproto.codec.fields import BY_NAME
from ofproto.codec.match_text import TextError, parse_int
from ofproto.codec.numbers import (
    OF10,
    OF11,
    OF13,
    OF15,
    OFPP_IN_PORT,
    OFPP_LOCAL,
    OFPP_MAX,
)

from .base import (
    ANY_VERSION,
    Action,
    Plain,
    format_port,
    long_number,
    nicira,
    nothing,
    number,
    port_from_wire,
    port_number,
    port_to_wire,
    standard,
    unsupported,
)
from .set import RegLoad

_U16X2 = Struct("!HH")
_U32 = Struct("!I")
_REG_LOAD = Struct("!HIQ")


_QUEUE_MARK = re.compile("[:,q@]")  # between port and queue


class Enqueue(Action):
    """To a port, by one of its queues."""

    FIELDS = ("port", "queue")

    def encode(self, version):
        if version == OF10:
            return standard(11, self.port.to_bytes(2, "big") + bytes(6) + _U32.pack(self.queue))
        # Later versions say it with three actions.
        output = standard(0, port_to_wire(self.port, version) + b"\xff\xff" + bytes(6))
        return SetQueue(self.queue).encode(version) + output + PopQueue().encode(version)

    def decode(body, _version):
        return Enqueue(port_from_wire(body[:2]), int.from_bytes(body[8:12], "big"))

    WIRE = ((OF10, OF10, 11, 12, decode),)

    def parse(argument, names):
        port, _, queue = _QUEUE_MARK.sub(":", argument or "", 1).partition(":")
        if not queue:
            raise TextError('"enqueue" syntax is "enqueue:PORT:QUEUE" or "enqueue(PORT,QUEUE)"')
        return Enqueue(port_number(port, names, "enqueue"), long_number(queue, 32))

    def format(self, names=None):
        return f"enqueue:{format_port(self.port, names)}:{self.queue}"

    TEXT = {"enqueue": parse}

    def check(self, context):
        if self.port >= OFPP_MAX and self.port not in (OFPP_IN_PORT, OFPP_LOCAL):
            raise OFError("OFPBAC_BAD_OUT_PORT", format_port(self.port))


class CopyTtlOut(Plain):
    """The second label's TTL, or that of IP behind the last one, to the outermost label."""

    text, number, field = "copy_ttl_out", 11, "mpls_label"


class CopyTtlIn(Plain):
    """The outermost label's TTL to the next one, or to IP."""

    text, number, field = "copy_ttl_in", 12, "mpls_label"


class DecMplsTtl(Plain):
    """Decrements the outermost label's TTL; at 0 or 1 the packet goes to the controller."""

    text, number, subtype, field = "dec_mpls_ttl", 16, 26, "mpls_label"


class PopQueue(Plain):
    """Back to the queue before set_queue."""

    text, subtype = "pop_queue", 5


class Exit(Plain):
    """Ends the processing of the packet, also of the tables that resubmitted it here."""

    text, subtype = "exit", 17


class PopVlan(Action):
    """Takes off the outer tag.  `legacy`: said by OpenFlow 1.0, which calls it strip_vlan."""

    FIELDS = ("legacy",)
    DEFAULTS = (False,)
    in_context = True

    def values(self):
        return ()  # the two are equal

    def encode(self, version):
        return standard(3 if version == OF10 else 18, bytes(4))

    def encode_in(self, version, context):
        context.has_vlan = False
        return self.encode(version)

    def decode(_body, version):
        return PopVlan(version == OF10)

    WIRE = ((OF10, OF10, 3, 4, decode), (OF11, OF15, 18, 4, decode))
    TEXT = {"pop_vlan": lambda a, n: PopVlan(), "strip_vlan": lambda a, n: PopVlan(True)}

    def format(self, names=None):
        return "strip_vlan" if self.legacy else "pop_vlan"

    def check(self, context):
        context.require_after_10(BY_NAME["vlan_pcp"])
        context.tags = max(0, context.tags - 1)


class PushVlan(Action):
    """A new outer tag of Ethertype 0x8100 or 0x88a8, VLAN and priority of the one before, or 0."""

    FIELDS = ("ethertype",)
    in_context = True

    def encode(self, version):
        if version == OF10:
            return b""  # a side effect of the setting of the VLAN that comes next
        return standard(17, self.ethertype.to_bytes(2, "big") + bytes(2))

    def encode_in(self, version, context):
        context.has_vlan = True
        return self.encode(version)

    def decode(body, _version):
        return PushVlan(_ethertype(body, VLAN_TPIDS))

    WIRE = ((OF11, OF15, 17, 4, decode),)

    def parse(argument, _names):
        ethertype = number(argument, "ethertype", 16)
        if ethertype not in VLAN_TPIDS:
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
        return PushMpls(_ethertype(body, MPLS_TYPES))

    WIRE = ((OF11, OF15, 19, 4, decode),)
    NX = ((23, 6, decode),)
    TEXT = {"push_mpls": lambda a, n: PushMpls(number(a, "push_mpls", 16))}

    def format(self, names=None):
        return f"push_mpls:{self.ethertype:#06x}"

    def check(self, context):
        if self.ethertype not in MPLS_TYPES:
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


class PushPbb(Action):
    """An I-TAG in front of all tags.  I-SID of the I-TAG before, or 0; priority of the VLAN tag
    before, or 0; the frame's addresses become the customer's and stay the frame's, too."""

    FIELDS = ("ethertype",)
    in_context = True

    def encode(self, version):
        if version < OF13:
            raise unsupported(self, version)
        return standard(26, self.ethertype.to_bytes(2, "big") + bytes(2))

    def encode_in(self, version, context):
        context.has_vlan = False
        return self.encode(version)

    def decode(body, _version):
        return PushPbb(_ethertype(body, (ETH_PBB,)))

    WIRE = ((OF13, OF15, 26, 4, decode),)

    def parse(argument, _names):
        ethertype = number(argument, "ethertype", 16)
        if ethertype != ETH_PBB:
            raise TextError(f"{argument}: not a valid PBB ethertype")
        return PushPbb(ethertype)

    TEXT = {"push_pbb": parse}

    def format(self, names=None):
        return f"push_pbb:{self.ethertype:#06x}"

    def check(self, context):
        if self.ethertype != ETH_PBB:
            raise OFError("OFPBAC_BAD_ARGUMENT", f"Ethertype {self.ethertype:#06x}")
        context.ethertype = ETH_PBB
        context.tags = 0


class PopPbb(Action):
    """Takes off the I-TAG; its customer addresses become the frame's.  What was inside is not
    known to the actions behind it in the same list."""

    in_context = True

    def encode(self, version):
        if version < OF13:
            raise unsupported(self, version)
        return standard(27, bytes(4))

    def encode_in(self, version, context):
        context.has_vlan = False
        return self.encode(version)

    def decode(_body, _version):
        return PopPbb()

    WIRE = ((OF13, OF15, 27, 4, decode),)
    TEXT = {"pop_pbb": lambda a, n: _pop_pbb(a, n)}

    def format(self, names=None):
        return "pop_pbb"

    def check(self, context):
        context.require(BY_NAME["pbb_isid"])
        context.ethertype = 0
        context.tags = 1 if context.match is None else 0


_pop_pbb = nothing(PopPbb)


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
    TEXT = {"set_mpls_ttl": lambda a, n: SetMplsTtl(number((a or "").strip("()"), "MPLS TTL", 8))}

    def format(self, names=None):
        return f"set_mpls_ttl({self.ttl})"

    def check(self, context):
        context.require_after_10(BY_NAME["mpls_label"])


class SetTtl(Action):
    """TTL or hop limit of IP."""

    FIELDS = ("ttl",)

    def encode(self, version):
        if version == OF10:
            return RegLoad(BY_NAME["nw_ttl"], 0, 8, self.ttl).encode(version)
        return standard(23, bytes((self.ttl, 0, 0, 0)))

    def decode(body, _version):
        return SetTtl(body[0])

    WIRE = ((OF11, OF15, 23, 4, decode),)
    TEXT = {"mod_nw_ttl": lambda a, n: SetTtl(number(a, "TTL", 8))}

    def format(self, names=None):
        return f"mod_nw_ttl:{self.ttl}"

    def check(self, context):
        context.require_after_10(BY_NAME["nw_ttl"])


class DecTtl(Action):
    """Decrements TTL or hop limit; at 0 or 1 the packet goes to controllers `ids` instead: None is
    the standard action's controller 0, of an empty tuple (OVN's) nobody is told."""

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
        if len(body) < 6 + 2 * n:
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
    TEXT = {"set_queue": lambda a, n: SetQueue(long_number(a, 32))}

    def format(self, names=None):
        return f"set_queue:{self.queue}"


class Group(Action):
    """To a group."""

    FIELDS = ("group",)

    def encode(self, version):
        body = _U32.pack(self.group)
        return nicira(40, bytes(2) + body) if version == OF10 else standard(22, body)

    def decode(body, _version):
        return Group(int.from_bytes(body[-4:], "big"))

    WIRE = ((OF11, OF15, 22, 4, decode),)
    NX = ((40, 6, decode),)
    TEXT = {"group": lambda a, n: Group(long_number(a, 32))}

    def format(self, names=None):
        return f"group:{self.group}"

    def check(self, context):
        if self.group not in context.groups:
            raise OFError("OFPBAC_BAD_OUT_GROUP", f"group {self.group}")


__all__ = [name for name, value in globals().items() if isinstance(value, type)] + ["ANY_VERSION"]
