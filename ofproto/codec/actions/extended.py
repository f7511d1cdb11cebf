"""More of Nicira's extension actions: what samples, times out, measures and forgets."""

from struct import Struct

from datapath.base.protocols import PROTO_TCP
from ofproto.codec.errors import OFError
from ofproto.codec.fields import BY_NAME
from ofproto.codec.fields import field as field_by_name
from ofproto.codec.match_text import TextError, format_port, parse_int, parse_port, split_terms
from ofproto.codec.numbers import OF10, OFPP_NONE
from pyvs import digits

from .base import Action, Plain, format_subfield, nicira, parse_subfield
from .set import check_bits, check_destination, check_writable, check_zero, field_at, field_header

_SAMPLE, _SAMPLE_3 = Struct("!HIII"), Struct("!HIIIHB5x")
_FIN_TIMEOUT = Struct("!HHxx")
_CONJUNCTION = Struct("!BBI")
_CHECK = Struct("!HH")


class Sample(Action):
    """Of so many packets in 65535 (`probability`) one is told to an IPFIX collector set.
    `direction`: "", ingress or egress."""

    FIELDS = ("probability", "collector_set", "domain", "point", "port", "direction")
    DEFAULTS = (0, 0, 0, OFPP_NONE, "")

    def encode(self, version):
        values = (self.probability, self.collector_set, self.domain, self.point)
        if self.port == OFPP_NONE and not self.direction:
            return nicira(29, _SAMPLE.pack(*values))
        direction = _DIRECTIONS.index(self.direction)
        body = _SAMPLE_3.pack(*values, self.port, direction)
        return nicira(41 if self.direction else 38, body)

    def decode(body, _version):
        return _check_sample(Sample(*_SAMPLE.unpack(body)))

    def decode_2(body, _version):
        check_zero(body[16:])
        return _check_sample(Sample(*_SAMPLE_3.unpack(body)[:5]))

    def decode_3(body, _version):
        check_zero(body[17:])
        *values, direction = _SAMPLE_3.unpack(body)
        if direction >= len(_DIRECTIONS):
            raise OFError("OFPBAC_BAD_ARGUMENT", f"direction {direction}")
        return _check_sample(Sample(*values, _DIRECTIONS[direction]))

    NX = ((29, 14, decode), (38, 22, decode_2), (41, 22, decode_3))

    def parse(argument, names):
        values = dict.fromkeys(_SAMPLE_KEYS, 0) | {"sampling_port": OFPP_NONE}
        direction = ""
        for key, value in split_terms(argument or ""):
            if key in _SAMPLE_KEYS:
                values[key] = parse_int(value or "", key, _SAMPLE_KEYS[key])
                if not values["probability"] and key == "probability":
                    raise TextError(f'invalid probability value "{value}"')
            elif key == "sampling_port":
                port = parse_port(value or "", names)
                if port is None:
                    raise TextError(f"{value}: unknown port")
                values[key] = port
            elif key in _DIRECTIONS[1:]:
                direction = key
            else:
                raise TextError(f'invalid key "{key}" in "sample" argument')
        if not values["probability"]:
            raise TextError('non-zero "probability" must be specified on sample')
        return Sample(*values.values(), direction)

    TEXT = {"sample": parse}

    def format(self, names=None):
        text = (
            f"sample(probability={self.probability},collector_set_id={self.collector_set},"
            f"obs_domain_id={self.domain},obs_point_id={self.point}"
        )
        if self.port != OFPP_NONE:
            text += f",sampling_port={format_port(self.port, names)}"
        return f"{text}{',' if self.direction else ''}{self.direction})"


_DIRECTIONS = ("", "ingress", "egress")
_SAMPLE_KEYS = {"probability": 16, "collector_set_id": 32, "obs_domain_id": 32, "obs_point_id": 32}


def _check_sample(made):
    if not made.probability:
        raise OFError("OFPBAC_BAD_ARGUMENT", "probability 0")
    return made


class FinTimeout(Action):
    """Shorter timeouts for this flow once a TCP connection of it ends; 0: no change."""

    FIELDS = ("idle_timeout", "hard_timeout")
    DEFAULTS = (0, 0)

    def encode(self, version):
        return nicira(19, _FIN_TIMEOUT.pack(self.idle_timeout, self.hard_timeout))

    def decode(body, _version):
        return FinTimeout(*_FIN_TIMEOUT.unpack(body))

    NX = ((19, 6, decode),)

    def parse(argument, _names):
        made = FinTimeout()
        for key, value in split_terms(argument or ""):
            if key not in FinTimeout.FIELDS:
                raise TextError(f"invalid key '{key}' in 'fin_timeout' argument")
            setattr(made, key, parse_int(value or "", key, 16))
        return made

    TEXT = {"fin_timeout": parse}

    def format(self, names=None):
        words = [f"{name}={getattr(self, name)}" for name in self.FIELDS if getattr(self, name)]
        return f"fin_timeout({','.join(words)})"

    def check(self, context):
        match = context.match
        if context.version > OF10 and match is not None and match.nw_proto != PROTO_TCP:
            raise OFError("OFPBAC_MATCH_INCONSISTENT", "fin_timeout of what may not be TCP")


class Conjunction(Action):
    """This flow is one of the alternatives of dimension `clause` (from 0) of `clauses` of the
    conjunctive match `id`."""

    FIELDS = ("id", "clause", "clauses")

    def encode(self, version):
        return nicira(34, _CONJUNCTION.pack(self.clause, self.clauses, self.id))

    def decode(body, _version):
        clause, clauses, number = _CONJUNCTION.unpack(body)
        if not 2 <= clauses <= 64 or clause >= clauses:
            raise OFError("NXBAC_BAD_CONJUNCTION", f"{clause + 1}/{clauses}")
        return Conjunction(number, clause, clauses)

    NX = ((34, 6, decode),)

    def parse(argument, _names):
        number, _comma, rest = (argument or "").partition(",")
        clause, slash, clauses = rest.partition("/")
        if not slash:
            raise TextError('"conjunction" syntax is "conjunction(id,i/n)"')
        if not digits.are_all(number.strip()):
            raise TextError('"conjunction" syntax is "conjunction(id,i/n)"')
        clause, clauses = (parse_int(word.strip(), "conjunction", 8) for word in (clause, clauses))
        if clauses < 2:
            raise TextError("conjunction must have at least 2 clauses")
        if clauses > 64:
            raise TextError("conjunction must have at most 64 clauses")
        if clause < 1:
            raise TextError("clause index must be positive")
        if clause > clauses:
            raise TextError("clause index must be less than or equal to number of clauses")
        return Conjunction(parse_int(number.strip(), "conjunction", 32), clause - 1, clauses)

    TEXT = {"conjunction": parse}

    def format(self, names=None):
        return f"conjunction({self.id},{self.clause + 1}/{self.clauses})"


class CheckPktLarger(Action):
    """A bit of a field tells whether the packet is longer than `size` bytes."""

    FIELDS = ("size", "field", "start")

    def encode(self, version):
        header = field_header(self, self.field, version)
        return nicira(49, _CHECK.pack(self.size, self.start) + header + bytes(10 - len(header)))

    def decode(body, _version):
        size, start = _CHECK.unpack_from(body)
        field, at = field_at(body, _CHECK.size)
        check_zero(body[at:])
        check_bits(field, start, 1)
        check_writable(field)
        return CheckPktLarger(size, field, start)

    NX = ((49, 14, decode),)

    def parse(argument, _names):
        size, found, destination = (argument or "").partition(")->")
        if not found:
            raise TextError(f"{argument or ''}: missing `->'")
        field, start, n_bits = parse_subfield(destination)
        if n_bits != 1:
            raise TextError("Only 1-bit destination field is allowed")
        if not field.writable:
            raise TextError(f"{destination} is read-only")
        return CheckPktLarger(parse_int(size.strip("("), "check_pkt_larger", 16), field, start)

    TEXT = {"check_pkt_larger": parse}

    def format(self, names=None):
        return f"check_pkt_larger({self.size})->{format_subfield(self.field, self.start, 1)}"

    def check(self, context):
        check_destination(self.field, context)


class DeleteField(Action):
    """The packet has the field no more."""

    FIELDS = ("field",)

    def encode(self, version):
        header = field_header(self, self.field, version)
        return nicira(50, header + bytes(14 - len(header)))

    def decode(body, _version):
        field, at = field_at(body, 0)
        check_zero(body[at:])
        check_writable(field)
        return DeleteField(field)

    NX = ((50, 14, decode),)

    def parse(argument, _names):
        field = field_by_name(argument or "")
        if field is None:
            raise TextError(f"unknown field `{argument or ''}'")
        return DeleteField(field)

    TEXT = {"delete_field": parse}

    def format(self, names=None):
        return f"delete_field:{self.field.name}"

    def check(self, context):
        if not self.field.name.startswith("tun_metadata"):
            raise OFError("OFPBAC_BAD_ARGUMENT", f"{self.field.name} is always there")


class DecNshTtl(Plain):
    """Decrements the TTL of the NSH header; at 0 or 1 the packet goes to the controller."""

    text, subtype = "dec_nsh_ttl", 48

    def check(self, context):
        context.require(BY_NAME["nsh_ttl"])


class DebugRecirc(Plain):
    """Sends the packet round through the datapath, to test that."""

    text, subtype = "debug_recirc", 255


class DebugSlow(Plain):
    """Handles the packet's flow in the slow path, to test that."""

    text, subtype = "debug_slow", 254
