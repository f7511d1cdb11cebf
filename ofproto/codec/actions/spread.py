"""bundle, bundle_load and multipath: one of several by a hash of header fields (ovs-actions(7))."""

import re
from struct import Struct

from ofproto.codec.errors import OFError
from ofproto.codec.match_text import TextError, format_port, parse_int, parse_port
from ofproto.codec.numbers import OFPP_CONTROLLER

from .base import Action, format_subfield, nicira, parse_subfield
from .set import check_bits, check_destination, check_writable, check_zero, field_at, field_header

HASH_FIELDS = (
    "eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst",
    "symmetric_l3",
)  # fmt: skip
BUNDLE_ALGORITHMS = ("active_backup", "hrw")
MULTIPATH_ALGORITHMS = ("modulo_n", "hash_threshold", "hrw", "iter_hash")
MAX_MEMBERS = 2048
_BUNDLE = Struct("!HHHIHHI4x")
_MULTIPATH = Struct("!HH2xHHI2xHI")
_MEMBER_PORT = 0x00000002  # NXM_OF_IN_PORT: members are ports


def _bits(start, n_bits):
    return start << 6 | n_bits - 1


def _name(names, number, what):
    if number >= len(names):
        raise OFError("OFPBAC_BAD_ARGUMENT", f"{what} {number}")
    return names[number]


def _number(names, word, what, argument):
    if word not in names:
        raise TextError(f"{argument}: unknown {what} `{word}'")
    return word


class Bundle(Action):
    """To one of the ports `members`, that are up; `destination` (field, start, bits), if any, gets
    its number instead.  `fields` and `algorithm` by name; `basis` goes into the hash."""

    FIELDS = ("fields", "basis", "algorithm", "members", "destination")
    DEFAULTS = (None,)

    def encode(self, version):
        number, bits, header = 12, 0, 0
        if self.destination:
            field, start, n_bits = self.destination
            number, bits = 13, _bits(start, n_bits)
            header = int.from_bytes(field_header(self, field, version), "big")
        head = _BUNDLE.pack(
            BUNDLE_ALGORITHMS.index(self.algorithm), HASH_FIELDS.index(self.fields), self.basis,
            _MEMBER_PORT, len(self.members), bits, header,
        )  # fmt: skip
        return nicira(number, head + b"".join(port.to_bytes(2, "big") for port in self.members))

    def decode(body, _version):
        if len(body) < _BUNDLE.size:
            raise OFError("OFPBAC_BAD_LEN", f"bundle of {len(body)} bytes")
        made, bits, header = _decode_bundle(body)
        if bits or header:
            raise OFError("OFPBAC_BAD_ARGUMENT", "bundle: a destination")
        return made

    def decode_load(body, _version):
        if len(body) < _BUNDLE.size:
            raise OFError("OFPBAC_BAD_LEN", f"bundle of {len(body)} bytes")
        made, bits, _header = _decode_bundle(body)
        field, _at = field_at(body, _BUNDLE.size - 8)
        start, n_bits = bits >> 6, (bits & 0x3F) + 1
        check_bits(field, start, n_bits)
        check_writable(field)
        if n_bits < 16:
            raise OFError("OFPBAC_BAD_ARGUMENT", f"{n_bits} bits for a port")
        made.destination = (field, start, n_bits)
        return made

    NX = ((12, None, decode), (13, None, decode_load))

    def parse(argument, names):
        return _parse_bundle(argument or "", names, False)

    def parse_load(argument, names):
        return _parse_bundle(argument or "", names, True)

    TEXT = {"bundle": parse, "bundle_load": parse_load}

    def format(self, names=None):
        words = [self.fields, str(self.basis), self.algorithm, "ofport"]
        if self.destination:
            words.append(format_subfield(*self.destination))
        members = ",".join(format_port(port, names) for port in self.members)
        return f"bundle{'_load' if self.destination else ''}({','.join(words)},members:{members})"

    def check(self, context):
        if OFPP_CONTROLLER in self.members:
            raise OFError("OFPBAC_BAD_OUT_PORT", "bundle: a member CONTROLLER")
        if self.destination:
            check_destination(self.destination[0], context)


def _decode_bundle(body):
    algorithm, fields, basis, kind, n, bits, header = _BUNDLE.unpack_from(body)
    if kind != _MEMBER_PORT or n > MAX_MEMBERS:
        raise OFError("OFPBAC_BAD_ARGUMENT", f"{n} members of type {kind:#x}")
    check_zero(body[_BUNDLE.size - 4 : _BUNDLE.size])
    end = _BUNDLE.size + 2 * n
    if end > len(body):
        raise OFError("OFPBAC_BAD_LEN", f"{n} members in {len(body)} bytes")
    ports = [int.from_bytes(body[at : at + 2], "big") for at in range(_BUNDLE.size, end, 2)]
    fields = _name(HASH_FIELDS, fields, "fields")
    algorithm = _name(BUNDLE_ALGORITHMS, algorithm, "algorithm")
    return Bundle(fields, basis, algorithm, tuple(ports)), bits, header


def _parse_bundle(text, names, load):
    what = "bundle_load" if load else "bundle"
    head, colon, members = text.partition(":")
    words = [word.strip() for word in head.split(",")]
    if len(words) < 5 + load:
        raise TextError(f"{text}: not enough arguments to {what} action")
    mark = text.split(",")[4 + load].partition(":")[0].strip()
    if not colon or mark not in ("members", "slaves"):
        raise TextError(
            f"{text}: missing member delimiter, expected `members', got "
            f"`{text.split(',', 4 + load)[4 + load].partition(':')[0]}'"
        )
    fields = _number(HASH_FIELDS, words[0], "fields", text)
    basis = parse_int(words[1], "basis", 16)
    algorithm = _number(BUNDLE_ALGORITHMS, words[2], "algorithm", text)
    if words[3] != "ofport":
        raise TextError(f"{text}: unknown member_type `{words[3]}'")
    ports = []
    for word in re.split(r"[,\[\]\s]+", members.strip(" ,[]")) if members.strip(" ,[]") else ():
        port = parse_port(word, names)
        if port is None:
            raise TextError(f"{word}: bad port number")
        ports.append(port)
    destination = None
    if load:
        destination = parse_subfield(words[4])
        if not destination[0].writable:
            raise TextError(f"{text}: experimenter OXM field '{words[4]}' not supported")
    return Bundle(fields, basis, algorithm, tuple(ports), destination)


class Multipath(Action):
    """A number below `links` by a hash goes to bits of a field."""

    FIELDS = ("fields", "basis", "algorithm", "links", "argument", "field", "start", "n_bits")

    def encode(self, version):
        header = int.from_bytes(field_header(self, self.field, version), "big")
        body = _MULTIPATH.pack(
            HASH_FIELDS.index(self.fields), self.basis, MULTIPATH_ALGORITHMS.index(self.algorithm),
            self.links - 1, self.argument, _bits(self.start, self.n_bits), header,
        )  # fmt: skip
        return nicira(10, body)

    def decode(body, _version):
        fields, basis, algorithm, most, argument, bits, _header = _MULTIPATH.unpack(body)
        field, _at = field_at(body, _MULTIPATH.size - 4)
        start, n_bits = bits >> 6, (bits & 0x3F) + 1
        check_bits(field, start, n_bits)
        check_writable(field)
        if n_bits < 16 and most > (1 << n_bits) - 1:
            raise OFError("OFPBAC_BAD_ARGUMENT", f"{most + 1} links in {n_bits} bits")
        fields = _name(HASH_FIELDS, fields, "fields")
        algorithm = _name(MULTIPATH_ALGORITHMS, algorithm, "algorithm")
        return Multipath(fields, basis, algorithm, most + 1, argument, field, start, n_bits)

    NX = ((10, _MULTIPATH.size, decode),)

    def parse(argument, _names):
        text = argument or ""
        words = [word.strip() for word in text.split(",")]
        if len(words) != 6:
            raise TextError(f"{text}: not enough arguments to multipath action")
        fields = _number(HASH_FIELDS, words[0], "fields", text)
        algorithm = _number(MULTIPATH_ALGORITHMS, words[2], "algorithm", text)
        links = parse_int(words[3], "n_links", 17)
        if not 1 <= links <= 65536:
            raise TextError(f"{text}: n_links {links} is not in valid range 1 to 65536")
        field, start, n_bits = parse_subfield(words[5])
        if n_bits < 16 and links > 1 << n_bits:
            raise TextError(
                f"{text}: {n_bits}-bit destination field has {1 << n_bits} possible values, less "
                f"than specified n_links {links}"
            )
        numbers = parse_int(words[1], "basis", 16), parse_int(words[4], "argument", 32)
        return Multipath(fields, numbers[0], algorithm, links, numbers[1], field, start, n_bits)

    TEXT = {"multipath": parse}

    def format(self, names=None):
        destination = format_subfield(self.field, self.start, self.n_bits)
        return (
            f"multipath({self.fields},{self.basis},{self.algorithm},{self.links},{self.argument},"
            f"{destination})"
        )

    def check(self, context):
        check_destination(self.field, context)
