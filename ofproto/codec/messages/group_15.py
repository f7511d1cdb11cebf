"""Groups whose buckets have numbers: the layout of OpenFlow 1.5 (7.3.4.3, 7.3.5.9), which
Nicira's messages for 1.0 have, too.

Buckets here are dicts of what group's Bucket takes, so that this module needs nothing of it.
"""

from itertools import count
from struct import Struct

from ofproto.codec.actions import decode_actions, encode_actions
from ofproto.codec.actions.set import field_at
from ofproto.codec.errors import OFError
from ofproto.codec.fields import selection_order
from ofproto.codec.numbers import OFPP_NONE, port_from_32, port_to_32

from .properties import EXPERIMENTER, make, split, unknown

BUCKET_FIRST, BUCKET_LAST, BUCKET_ALL = 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF
BUCKET_MAX = 0xFFFFFF00
OFPG_ANY = 0xFFFFFFFF
GROUP_SELECT = 1

_BUCKET = Struct("!HHI")
_PROPERTY = Struct("!HH")
_WEIGHT, _PORT, _GROUP = range(3)  # OFPGBPT_*
# Netronome's property, which names how a select group chooses (ovs-ofctl(8), selection_method):
# vendor, type, method, parameter
_SELECTION = Struct("!II4x16sQ")
_NTR, _NTR_SELECTION = 0x0000154D, 1
_VENDORS = (_NTR, 0x00001540)  # the other is what Open vSwitch 2.4 sends
METHODS = ("hash", "dp_hash")


def read_buckets(data: bytes, group_type: int, version: int) -> list[dict]:
    """The buckets that the bytes are.  Raises OFError."""
    found, at, seen = [], 0, set()
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        if length < _BUCKET.size or at + length > len(data):
            raise OFError("OFPGMFC_BAD_BUCKET", f"bucket of {length} bytes")
        bucket = _read_bucket(data[at : at + length], group_type, version)
        if bucket["bucket_id"] in seen:
            raise OFError("OFPGMFC_BAD_BUCKET", f"two buckets {bucket['bucket_id']}")
        seen.add(bucket["bucket_id"])
        found.append(bucket)
        at += length
    return found


def _read_bucket(data, group_type, version):
    _length, size, number = _BUCKET.unpack_from(data)
    end = _BUCKET.size + size
    if end > len(data) or number > BUCKET_MAX:
        raise OFError("OFPGMFC_BAD_BUCKET", f"bucket {number}, {size} bytes of actions")
    made = {
        "bucket_id": number,
        "weight": 1 if group_type == GROUP_SELECT else 0,
        "actions": decode_actions(data[_BUCKET.size : end], version),
    }
    for kind, body in split(data[end:]):
        _read_property(made, kind, body)
    return made


def _read_property(made, kind, body):
    if kind > _GROUP:
        raise OFError("OFPBPC_BAD_TYPE", f"bucket property {kind}")
    if len(body) != 4:
        raise OFError("OFPBPC_BAD_LEN", f"bucket property of {4 + len(body)} bytes")
    number = int.from_bytes(body, "big")
    if kind == _WEIGHT:
        made["weight"] = number >> 16
    elif kind == _PORT:
        made["watch_port"] = port_from_32(number)
        if made["watch_port"] is None:
            raise OFError("OFPGMFC_BAD_WATCH", f"port {number:#x}")
    else:
        made["watch_group"] = None if number == OFPG_ANY else number


def write_buckets(buckets, group_type: int, version: int, lossy: bool = False) -> bytes:
    """Those without a number get the first free one; `lossy` as for encode_actions()."""
    parts, taken = [], {bucket.bucket_id for bucket in buckets}
    free = (number for number in count() if number not in taken)
    for bucket in buckets:
        number = next(free) if bucket.bucket_id is None else bucket.bucket_id
        actions = encode_actions(bucket.actions, version, lossy=lossy)
        rest = actions + _bucket_properties(bucket, group_type)
        parts.append(_BUCKET.pack(_BUCKET.size + len(rest), len(actions), number) + rest)
    return b"".join(parts)


def _bucket_properties(bucket, group_type):
    numbers = []
    if group_type == GROUP_SELECT or bucket.weight:
        numbers.append((_WEIGHT, bucket.weight << 16))
    if bucket.watch_port != OFPP_NONE:
        numbers.append((_PORT, port_to_32(bucket.watch_port)))
    if bucket.watch_group is not None:
        numbers.append((_GROUP, bucket.watch_group))
    return b"".join(_PROPERTY.pack(kind, 8) + number.to_bytes(4, "big") for kind, number in numbers)


def read_group_properties(data: bytes, group_type: int) -> dict:
    """What a group's properties say of how select chooses, by the names of Selection."""
    found = {}
    for kind, body in split(data):
        if kind != EXPERIMENTER:
            raise unknown(kind, body)
        if len(body) < 8:
            raise OFError("OFPBPC_BAD_LEN", f"group property of {4 + len(body)} bytes")
        if int.from_bytes(body[:4], "big") not in _VENDORS:
            raise unknown(kind, body)
        if int.from_bytes(body[4:8], "big") != _NTR_SELECTION:
            raise unknown(kind, body, True)
        if len(body) < _SELECTION.size:
            raise OFError("OFPBPC_BAD_LEN", f"group property of {4 + len(body)} bytes")
        found = _read_selection(body, group_type)
    return found


def _read_selection(body, group_type):
    _vendor, _kind, method, parameter = _SELECTION.unpack_from(body)
    name = method.partition(b"\0")[0].decode("ascii", "replace")
    if group_type != GROUP_SELECT or name not in METHODS:
        raise OFError("OFPBPC_BAD_VALUE", f"selection_method {name!r}")
    fields = _read_fields(body[_SELECTION.size :])
    return {"method": name, "parameter": parameter, "fields": fields}


def _read_fields(data):
    """((Field, mask), ...) of OXMs without a mask whose values are masks."""
    found, at = [], 0
    while at < len(data):
        each, at = field_at(data, at)
        mask = int.from_bytes(data[at : at + each.n_bytes], "big") & each.mask
        at += each.n_bytes
        if at > len(data):
            raise OFError("OFPBMC_BAD_LEN", f"mask of {each.name}")
        if any(each is other for other, _mask in found):
            raise OFError("OFPBMC_DUP_FIELD", each.name)
        found.append((each, mask))
    return tuple(sorted(found, key=selection_order))


def write_group_properties(group, version: int) -> bytes:
    """The property of a group that says how select chooses."""
    if not group.method:
        return b""
    body = _SELECTION.pack(_NTR, _NTR_SELECTION, group.method.encode()[:15], group.parameter)
    for each, mask in group.fields:
        width = each.n_bytes
        value = mask if mask != each.mask else (1 << 8 * width) - 1
        body += each.oxm(version, False) + value.to_bytes(width, "big")
    return make(EXPERIMENTER, body)
