"""Groups whose buckets have numbers: the layout of OpenFlow 1.5 (7.3.4.3, 7.3.5.9), which
Nicira's messages for 1.0 have, too.

Buckets here are dicts of what group's Bucket takes, so that this module needs nothing of it.
"""

from itertools import count
from struct import Struct

from ofproto.codec.actions import decode_actions, encode_actions
from ofproto.codec.errors import OFError
from ofproto.codec.numbers import OFPP_NONE, port_from_32, port_to_32

BUCKET_FIRST, BUCKET_LAST, BUCKET_ALL = 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF
BUCKET_MAX = 0xFFFFFF00
OFPG_ANY = 0xFFFFFFFF
GROUP_SELECT = 1

_BUCKET = Struct("!HHI")
_PROPERTY = Struct("!HH")
_WEIGHT, _PORT, _GROUP = range(3)  # OFPGBPT_*
_EXPERIMENTER = 0xFFFF
# Netronome's property, which names how a select group chooses (ovs-ofctl(8), selection_method):
# vendor, type, method, parameter
_SELECTION = Struct("!II4x16sQ")
_NTR, _NTR_SELECTION = 0x0000154D, 1


def _properties(data, error):
    """(type, body) of each."""
    at = 0
    while at < len(data):
        if len(data) - at < _PROPERTY.size:
            raise OFError(error, f"property of {len(data) - at} bytes")
        kind, length = _PROPERTY.unpack_from(data, at)
        if length < _PROPERTY.size or at + length > len(data):
            raise OFError(error, f"property of {length} bytes")
        yield kind, data[at + _PROPERTY.size : at + length]
        at += length + -length % 8


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
    for kind, body in _properties(data[end:], "OFPBPC_BAD_LEN"):
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


def check_group_properties(data: bytes) -> None:
    """A group may say how select chooses, as long as it is the way of those that do not."""
    for kind, body in _properties(data, "OFPBPC_BAD_LEN"):
        if kind != _EXPERIMENTER:
            raise OFError("OFPBPC_BAD_TYPE", f"group property {kind}")
        if len(body) < _SELECTION.size:
            raise OFError("OFPBPC_BAD_LEN", f"group property of {4 + len(body)} bytes")
        vendor, what, method, parameter = _SELECTION.unpack_from(body)
        if vendor != _NTR:
            raise OFError("OFPBPC_BAD_EXPERIMENTER", f"vendor {vendor:#x}")
        if what != _NTR_SELECTION:
            raise OFError("OFPBPC_BAD_EXP_TYPE", f"type {what}")
        name = method.partition(b"\0")[0].decode("ascii", "replace")
        if name != "dp_hash" or parameter:
            raise OFError("OFPBPC_BAD_VALUE", f"selection_method {name!r}, {parameter}")
