"""What all OpenFlow messages share: rows that say where a message stands in which versions, the
layouts of bodies, and the envelopes around them.

A class of message is a record with one meaning for all versions.  `wire` gives it rows:

    row(versions, place, number, body, form="")

`place` is MSG (the header's type is `number`), REQUEST or REPLY (a multipart message, or "stats"
as 1.0 calls them, of type `number`), NX, NX_REQUEST, NX_REPLY (Nicira's vendor message or
multipart message, of subtype `number`), or ONF, ONF_REQUEST, ONF_REPLY (the same of the ONF's
extensions for 1.3).  A body has

    size, step            its bytes: `size`, and multiples of `step` behind them (0: nothing)
    read(cls, data, version)
    write(message, version)

and is a Layout, Items, or a Body of functions.  `form` tells apart rows of one version between
which the message chooses (`Message.form`).  Numbers are big-endian on the wire.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from struct import Struct
from typing import ClassVar

from ofproto.codec.errors import NX_VENDOR_ID, ONF_VENDOR_ID, OFError
from ofproto.codec.notes import bad_port, noted
from ofproto.codec.numbers import (
    OF10,
    OF11,
    OF12,
    OF13,
    OF14,
    OF15,
    OFPP_NONE,
    port_from_32,
    port_to_32,
)
from pyvs.record import field, record

from .homes import (  # noqa: F401 - places, for the modules of messages
    MSG,
    NX,
    NX_REPLY,
    NX_REQUEST,
    ONF,
    ONF_REPLY,
    ONF_REQUEST,
    REPLY,
    REQUEST,
    load_message,
)

# Runs of wire versions
ANY, ONLY10, ONLY13, ONLY15 = (OF10, OF15), (OF10, OF10), (OF13, OF13), (OF15, OF15)
FROM11, FROM12, FROM13, FROM14 = (OF11, OF15), (OF12, OF15), (OF13, OF15), (OF14, OF15)
UP_TO_13, UP_TO_14 = (OF11, OF13), (OF11, OF14)  # from 1.1 on

HEADER = Struct("!BBHI")  # version, type, length, xid
HEADER_SIZE = 8
MAX_SIZE = 0xFFFF
OFPT_VENDOR, OFPT_PACKET_OUT, OFPT_FLOW_MOD = 4, 13, 14  # the same in all versions
OFPMP_VENDOR = 0xFFFF
NO_BUFFER = 0xFFFFFFFF
MORE = 1  # flag of multipart messages

VENDORS = {NX: NX_VENDOR_ID, ONF: ONF_VENDOR_ID}
_VENDOR_PLACES = {number: place for place, number in VENDORS.items()}
_MULTIPART = {OF10: {REQUEST: 16, REPLY: 17}}
OFPT_MULTIPART_REQUEST = 18
_MULTIPART_11 = {REQUEST: OFPT_MULTIPART_REQUEST, REPLY: 19}
_VENDOR = Struct("!II")
_STATS = Struct("!HH")
_NX_STATS = {OF10: Struct("!HHII4x")}
_NX_STATS_11 = Struct("!HH4xII")

# (version, place, number) -> Form
FORMS: dict[tuple, "Form"] = {}


@record
class Message:
    """A message.  `version` and `xid` are those of a decoded one, and not part of its value."""

    FORMS: ClassVar[dict] = {}  # (version, form) -> Form

    version: int = field(default=0, compare=False, repr=False, kw_only=True)
    xid: int = field(default=0, compare=False, repr=False, kw_only=True)

    def form(self, version: int) -> str:
        """Which of the rows of a version this message takes."""
        return ""

    def encode(self, version: int, xid: int = 0) -> bytes:
        """The message's bytes.  Raises ValueError or OFError when `version` cannot say it."""
        return encode(self, version, xid, self.form(version))

    def settle(self, table_id_on: bool) -> None:
        """After decoding, on a connection that has FLOW_MOD_TABLE_ID on or not: what one element
        cannot say for itself.  Raises OFError."""


class Form:
    """One row in one version."""

    __slots__ = (
        "body", "cls", "head", "head_size", "multipart", "number", "place", "version", "wire_type",
    )  # fmt: skip

    def __init__(self, cls, version: int, place: str, number: int, body):
        self.cls = cls
        self.version = version
        self.body = body
        self.place, self.number = place, number
        self.multipart = place not in (MSG, NX, ONF)
        self.wire_type, self.head = _envelope(version, place, number)
        self.head_size = HEADER_SIZE + len(self.head)

    def pack(self, xid: int, body: bytes, more: bool = False) -> bytes:
        """Header and body in one."""
        size = self.head_size + len(body)
        if size > MAX_SIZE:
            raise ValueError(f"{self.cls.__name__} of {size} bytes")
        head = self.head
        if more:
            head = head[:2] + b"\0\1" + head[4:]
        return HEADER.pack(self.version, self.wire_type, size, xid) + head + body


def _envelope(version, place, number):
    """The header's type, and what stands between header and body."""
    if place == MSG:
        return number, b""
    if place in VENDORS:
        return OFPT_VENDOR, _VENDOR.pack(VENDORS[place], number)
    vendor, _, side = place.rpartition("_")
    kind = _MULTIPART.get(version, _MULTIPART_11)[side]
    if place in (REQUEST, REPLY):
        return kind, _STATS.pack(number, 0) + (b"" if version == OF10 else bytes(4))
    head = _NX_STATS.get(version, _NX_STATS_11)
    return kind, head.pack(OFPMP_VENDOR, 0, VENDORS[vendor], number)


def row(versions: tuple[int, int], place: str, number: int, body, form: str = "") -> tuple:
    """One row of a message, for `wire`."""
    return versions, place, number, body, form


def wire(*rows: tuple) -> Callable:
    """Decorator: gives a class of message its rows."""

    def register(cls):
        cls.FORMS = {}
        for (first, last), place, number, body, form in rows:
            for version in range(first, last + 1):
                made = Form(cls, version, place, number, body)
                cls.FORMS[version, form] = FORMS[version, place, number] = made
        return cls

    return register


def form_of(cls, version: int, form: str = "") -> Form:
    found = cls.FORMS.get((version, form)) or cls.FORMS.get((version, ""))
    if found is None:
        raise ValueError(f"{cls.__name__} cannot be said in OpenFlow version {version}")
    return found


def encode(message: Message, version: int, xid: int, form: str) -> bytes:
    """A message in one of its forms."""
    found = form_of(type(message), version, form)
    try:
        body = found.body.write(message, version)
        return found.pack(xid, body, found.multipart and getattr(message, "more", False))
    except (struct.error, OverflowError) as e:
        raise ValueError(f"{type(message).__name__}: {e}") from None


def multipart(reply_class, items: Iterable, version: int, xid: int, **form) -> Iterator[bytes]:
    """A list reply as messages below 64 KB, made as they are asked for; at least one.

    `form` are those attributes of the reply that choose its form (nxm=True).
    """
    write = item_writer(reply_class, version, **form)
    yield from multipart_rows(reply_class, map(write, items), version, xid, **form)


def item_writer(reply_class, version: int, **form) -> Callable[[object], bytes]:
    """What makes the bytes of an item of a list reply."""
    write = form_of(reply_class, version, reply_class(**form).form(version)).body.write_item
    return lambda item: write(item, version)


def multipart_rows(
    reply_class, rows: Iterable[bytes], version: int, xid: int, **form
) -> Iterator[bytes]:
    """multipart() of items that are bytes already."""
    found = form_of(reply_class, version, reply_class(**form).form(version))
    room = MAX_SIZE - found.head_size
    parts, size = [], 0
    for data in rows:
        if size + len(data) > room:
            yield found.pack(xid, b"".join(parts), True)
            parts, size = [], 0
        parts.append(data)
        size += len(data)
    yield found.pack(xid, b"".join(parts))


# Finding a message's row


def _row(version, place, number):
    """The form of a message, or None; its module is loaded if need be."""
    found = FORMS.get((version, place, number))
    if found is None and load_message(place, number):
        found = FORMS.get((version, place, number))
    return found


def find(raw: bytes) -> tuple[Form, int]:
    """The form of a whole message and where its body starts.  Raises OFError OFPBRC_*."""
    size = len(raw)
    if size < HEADER_SIZE:
        raise OFError("OFPBRC_BAD_LEN", f"message of {size} bytes")
    version, kind, length, _xid = HEADER.unpack_from(raw)
    if length != size:
        raise OFError("OFPBRC_BAD_LEN", f"length {length} in {size} bytes")
    if not OF10 <= version <= OF15:
        if kind:
            raise _unknown("OFPBRC_BAD_VERSION", raw)
        version = OF15 if version else OF10  # HELLO of a version yet unknown
    place = _places(version).get(kind)
    if place is None:
        found = _row(version, MSG, kind)
        if found is None:
            raise _unknown("OFPBRC_BAD_TYPE", raw)
    else:
        found = _find_inner(raw, version, place)
    if size < found.head_size:
        raise OFError("OFPBRC_BAD_LEN", f"{found.cls.__name__} of {size} bytes")
    return found, found.head_size


def _places(version):
    return _PLACES_10 if version == OF10 else _PLACES_11


_PLACES_10 = {OFPT_VENDOR: NX, 16: REQUEST, 17: REPLY}
_PLACES_11 = {OFPT_VENDOR: NX, 18: REQUEST, 19: REPLY}


def _find_inner(raw, version, place):
    """The form of a vendor or multipart message."""
    if place == NX:
        return _find_vendor(raw, version, "", HEADER_SIZE)
    at = HEADER_SIZE + (4 if version == OF10 else 8)
    if len(raw) < at:
        raise OFError("OFPBRC_BAD_LEN", "truncated multipart message")
    number, _flags = _STATS.unpack_from(raw, HEADER_SIZE)
    if number == OFPMP_VENDOR:
        found = _find_vendor(raw, version, f"_{place}", at)
    else:
        found = _row(version, place, number)
    if found is None:
        raise _unknown("OFPBRC_BAD_STAT", raw, f", stat {number}")
    return found


def in_parts(raw: bytes) -> bool:
    """Whether a message may be one of several each of which makes sense alone.  Raises OFError,
    also of one that has something behind its head, and not as much as it may have."""
    found, at = find(raw)
    if len(raw) > at:
        _measured(raw)
    return hasattr(found.cls, "more")


def multipart_flags(raw: bytes) -> tuple[str | None, int]:
    """(REQUEST or REPLY, flags) of a message that find() found; (None, 0) of one that has none."""
    place = _places(raw[0]).get(raw[1])
    if place not in (REQUEST, REPLY):
        return None, 0
    return place, int.from_bytes(raw[HEADER_SIZE + 2 : HEADER_SIZE + 4], "big")


def _find_vendor(raw, version, side, at):
    """`side` is that of a multipart message; 1.0 has Nicira's alone, with four bytes more."""
    in_10 = side and version == OF10
    end = at + 8
    if len(raw) < (at + 4 if in_10 else end):
        raise OFError("OFPBRC_BAD_LEN", "truncated vendor message")
    vendor = int.from_bytes(raw[at : at + 4], "big")
    place = _VENDOR_PLACES.get(vendor)
    if place is None or (in_10 and place != NX):
        text = f"OpenFlow message has unknown vendor {vendor:#x}"
        raise noted("OFPBRC_BAD_VENDOR", "ofp_msgs", text)
    if len(raw) < (end + 4 if in_10 else end):
        raise OFError("OFPBRC_BAD_LEN", "truncated vendor message")
    subtype = int.from_bytes(raw[at + 4 : at + 8], "big")
    found = _row(version, place + side, subtype)
    if found is None:
        stat = f", stat {OFPMP_VENDOR}" if side else ""
        raise _unknown("OFPBRC_BAD_SUBTYPE", raw, f"{stat}, vendor {vendor:#x}, subtype {subtype}")
    return found


def _unknown(name, raw, more=""):
    """The error of a message that is none, `more` than version and type telling which."""
    text = f"unknown OpenFlow message (version {raw[0]}, type {raw[1]}{more})"
    return noted(name, "ofp_msgs", text)


def _measured(raw: bytes) -> tuple[Form, int]:
    """find() of a message whose body may have that many bytes.  Raises OFError."""
    found, at = find(raw)
    body = found.body
    size = len(raw) - at - body.size
    if size < 0 or (size % body.step if body.step else size):
        raise OFError("OFPBRC_BAD_LEN", f"{found.cls.__name__} of {len(raw)} bytes")
    return found, at


def kind(raw: bytes) -> type:
    """The class of a whole message, of which nothing but its length was looked at.
    Raises OFError."""
    return _measured(raw)[0].cls


def read(raw: bytes) -> Message:
    """The message of whole bytes, either direction.  Raises OFError."""
    found, at = _measured(raw)
    message = found.body.read(found.cls, raw[at:], found.version)
    message.version, message.xid = raw[0], int.from_bytes(raw[4:8], "big")
    if found.multipart and hasattr(found.cls, "more"):
        message.more = bool(raw[HEADER_SIZE + 3] & MORE)
    return message


# Bodies


class Body:
    """A body that functions read and write."""

    __slots__ = ("read", "size", "step", "write")

    def __init__(self, size: int, step: int, read: Callable, write: Callable):
        self.size = size
        self.step = step
        self.read = read
        self.write = write


def read_string(data: bytes) -> str:
    """NUL-terminated text; bytes that are no UTF-8 become question marks."""
    data = data[:-1].partition(b"\0")[0]
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("ascii", "replace").replace("\ufffd", "?")


def write_string(text: str, size: int) -> bytes:
    """What of the text fits into `size` bytes with a NUL; Struct pads it."""
    data = text.encode("utf-8", "replace")[: size - 1]
    return data.decode("utf-8", "ignore").encode() if data[-1:] >= b"\x80" else data


def read_port32(number: int) -> int:
    """A 32-bit port number as a 16-bit one."""
    port = port_from_32(number)
    if port is None:
        raise bad_port("OFPBAC_BAD_OUT_PORT", number)
    return port


# type -> (struct code, reader, writer)
_TYPES = {
    "u8": ("B", None, None),
    "u16": ("H", None, None),
    "u32": ("I", None, None),
    "u64": ("Q", None, None),
    "mac": ("6s", None, None),
    "port16": ("H", None, None),
    "port32": ("I", read_port32, port_to_32),
    "flag8": ("B", bool, int),
}
_ONES = {"B": 0xFF, "H": 0xFFFF, "I": 0xFFFFFFFF, "Q": (1 << 64) - 1}


def _column(kind):
    """(struct code, reader or None, writer or None) of a column's type."""
    if kind.startswith("str"):
        size = int(kind[3:])
        return f"{size}s", read_string, lambda text: write_string(text, size)
    code, read_, write_ = _TYPES[kind.rstrip("?")]
    if not kind.endswith("?"):
        return code, read_, write_
    none = OFPP_NONE if kind.startswith("port") else _ONES[code]
    read_, write_ = read_ or int, write_ or int
    return (
        code,
        lambda value: None if (found := read_(value)) == none else found,
        lambda value: write_(none if value is None else value),
    )


class Layout:
    """A fixed run of columns, `name:type` each: u8, u16, u32, u64, mac, str16 (NUL-padded text),
    port16 and port32 (16-bit numbers inside), flag8; pad:4 are 4 bytes of nothing.  With a `?`
    all ones are None.  `constants` are attributes that reading sets."""

    step = 0

    def __init__(self, columns: str, **constants):
        self.constants = constants
        codes, self.names, self._readers, self._writers = ["!"], [], [], []
        for column in columns.split():
            name, _, kind = column.partition(":")
            if name == "pad":
                codes.append(f"{kind}x")
                continue
            code, read_, write_ = _column(kind)
            codes.append(code)
            self.names.append(name)
            self._readers.append(read_)
            self._writers.append(write_)
        self.struct = Struct("".join(codes))
        self.size = self.struct.size

    def unpack(self, data: bytes, at: int = 0) -> dict:
        """name -> value of the columns at `at`."""
        values = self.struct.unpack_from(data, at)
        found = {
            name: read_(value) if read_ else value
            for name, read_, value in zip(self.names, self._readers, values, strict=True)
        }
        found.update(self.constants)
        return found

    def pack(self, source) -> bytes:
        """The columns from an object's attributes of the same names."""
        return self.struct.pack(
            *(
                write_(getattr(source, name)) if write_ else getattr(source, name)
                for name, write_ in zip(self.names, self._writers, strict=True)
            )
        )

    def read(self, cls, data: bytes, version: int):
        return cls(**self.unpack(data))

    def write(self, message, version: int) -> bytes:
        return self.pack(message)


EMPTY = Layout("")


@contextmanager
def _keeping(body, cls, data, found):
    """While a body's items are read: an error keeps the message of those before it (`partial`),
    which whoever prints messages shows."""
    try:
        yield
    except OFError as error:
        error.partial = cls(**body.head.unpack(data), **{body.name: found})
        raise


class Items:
    """A list of fixed items, in the message's attribute `name`, behind an optional `head`."""

    def __init__(self, name: str, item_class, item: Layout, head: Layout = EMPTY):
        self.name = name
        self.item_class = item_class
        self.item = item
        self.head = head
        self.size = head.size
        self.step = item.size

    def read(self, cls, data: bytes, version: int):
        item, make, found = self.item, self.item_class, []
        with _keeping(self, cls, data, found):
            for at in range(self.size, len(data), item.size):
                found.append(item.read(make, data[at : at + item.size], version))
        return cls(**self.head.unpack(data), **{self.name: found})

    def write_item(self, item, version: int) -> bytes:
        return self.item.write(item, version)

    def write(self, message, version: int) -> bytes:
        parts = [self.item.write(each, version) for each in getattr(message, self.name)]
        return self.head.pack(message) + b"".join(parts)


class Runs:
    """A list of items that say their own length, a number of `length_code` at `length_at` in each.

    read_item(data, version) gets one item's bytes; `least` is the fewest that it takes.  `step`: of
    what all items together are a multiple.
    """

    step = 8
    bad_length = "OFPBRC_BAD_LEN"

    def __init__(self, name, least, read_item, write_item, head=EMPTY, length_at=0):
        self.name = name
        self.least = least
        self.read_item = read_item
        self.write_item = write_item
        self.head = head
        self.size = head.size
        self.length_at = length_at

    def read(self, cls, data: bytes, version: int):
        found: list = []
        with _keeping(self, cls, data, found):
            self.read_items(data, self.size, version, found)
        return cls(**self.head.unpack(data), **{self.name: found})

    def read_items(self, data: bytes, at: int, version: int, found: list | None = None) -> list:
        """The items from `at` to the end, also put into `found`."""
        found, size = [] if found is None else found, len(data)
        while at < size:
            start = at + self.length_at
            length = int.from_bytes(data[start : start + 2], "big")
            if length < self.least or at + length > size:
                raise OFError(self.bad_length, f"{self.name}: item of {length} bytes")
            found.append(self.read_item(data[at : at + length], version))
            at += length
        return found

    def write(self, message, version: int) -> bytes:
        return self.head.pack(message) + self.write_items(getattr(message, self.name), version)

    def write_items(self, items, version: int) -> bytes:
        return b"".join([self.write_item(item, version) for item in items])


def aligned(data: bytes) -> bytes:
    """`data` with zeros to a multiple of 8."""
    return data + bytes(-len(data) % 8)
