"""What is told of a run of actions that cannot be decoded."""

from struct import Struct

from ofproto.codec.dump import hex_dump
from ofproto.codec.errors import NX_VENDOR_ID, OFError
from ofproto.codec.notes import heard, note, noted
from ofproto.codec.numbers import OF10

_HEAD = Struct("!HHIH")  # type, length, and a vendor's action's vendor and subtype
_VENDOR = 0xFFFF
# In the order of their numbers
_NAMES_10 = (
    "OUTPUT SET_VLAN_VID SET_VLAN_PCP STRIP_VLAN SET_DL_SRC SET_DL_DST SET_NW_SRC SET_NW_DST "
    "SET_NW_TOS SET_TP_SRC SET_TP_DST ENQUEUE"
)
_NAMES_11 = (
    "OUTPUT SET_VLAN_VID SET_VLAN_PCP SET_DL_SRC SET_DL_DST SET_NW_SRC SET_NW_DST SET_NW_TOS "
    "SET_NW_ECN SET_TP_SRC SET_TP_DST COPY_TTL_OUT COPY_TTL_IN SET_MPLS_LABEL SET_MPLS_TC "
    "SET_MPLS_TTL DEC_MPLS_TTL PUSH_VLAN POP_VLAN PUSH_MPLS POP_MPLS SET_QUEUE GROUP SET_NW_TTL "
    "DEC_NW_TTL SET_FIELD PUSH_PBB POP_PBB COPY_FIELD METER"
)
_NAMES_NX = (
    ". RESUBMIT SET_TUNNEL . SET_QUEUE POP_QUEUE REG_MOVE REG_LOAD NOTE SET_TUNNEL64 MULTIPATH . "
    "BUNDLE BUNDLE_LOAD RESUBMIT_TABLE OUTPUT_REG LEARN EXIT DEC_TTL FIN_TIMEOUT CONTROLLER "
    "DEC_TTL_CNT_IDS WRITE_METADATA PUSH_MPLS POP_MPLS SET_MPLS_TTL DEC_MPLS_TTL STACK_PUSH "
    "STACK_POP SAMPLE SET_MPLS_LABEL SET_MPLS_TC OUTPUT_REG2 REG_LOAD2 CONJUNCTION CT NAT "
    "CONTROLLER2 SAMPLE2 OUTPUT_TRUNC GROUP SAMPLE3 CLONE CT_CLEAR RESUBMIT_TABLE_CT LEARN2 "
    "ENCAP DECAP . CHECK_PKT_LARGER DELETE_FIELD"
)


def _parts(data, at):
    """(type, length, vendor, subtype or type) of the action at `at`."""
    kind, length, vendor, subtype = _HEAD.unpack(
        data[at : at + _HEAD.size].ljust(_HEAD.size, b"\0")
    )
    return (kind, length, vendor, subtype) if kind == _VENDOR else (kind, length, 0, kind)


def _name(data, at, version):
    """How the specification calls the action at `at`."""
    _kind, _length, vendor, number = _parts(data, at)
    if vendor:
        prefix, names = "NXAST", _NAMES_NX if vendor == NX_VENDOR_ID else ""
    else:
        prefix, names = "OFPAT", _NAMES_10 if version == OF10 else _NAMES_11
    names = names.split()
    return f"{prefix}_{names[number]}" if number < len(names) else f"{prefix}_{number}"


def bad_length(data: bytes, at: int, version: int) -> OFError:
    """The error of an action at `at` that ends nowhere."""
    length, left = _parts(data, at)[1], len(data) - at
    what = f"OpenFlow action {_name(data, at, version)} length {length}"
    if length % 8:
        return noted("OFPBAC_BAD_LEN", "ofp_actions", f"{what} is not a multiple of 8")
    error = noted("OFPBAC_BAD_LEN", "ofp_actions", f"{what} exceeds action buffer length {left}")
    dump(error, data, at)
    return error


def bad_action(error: OFError, data: bytes, at: int, version: int, size: int | None) -> None:
    """Tell why the action at `at` has this error.  `size`: the length that it should have."""
    if not heard() or error.name == "OFPBIC_UNSUP_INST":
        return
    _kind, length, vendor, number = _parts(data, at)
    if error.name in ("OFPBAC_BAD_TYPE", "OFPBAC_BAD_VENDOR_TYPE"):
        shown = f"{vendor:#x}" if vendor else "0"
        note(
            "ofp_actions",
            f"unknown OpenFlow1{version - 1} action for vendor {shown} and type {number}",
        )
    elif error.name == "OFPBAC_BAD_VENDOR":
        note("ofp_actions", f"OpenFlow action has unknown vendor {vendor:#x}")
    elif size is not None and length != size:
        note(
            "ofp_actions",
            f"OpenFlow action {_name(data, at, version)} length {length} not in valid range "
            f"[{size},{size}]",
        )
    dump(error, data, at)


def dump(error: OFError, data: bytes, at: int) -> None:
    """Tell the bytes of a run in which the action at `at` is wrong."""
    if heard():
        lines = hex_dump(data, text=False).rstrip("\n")
        note("ofp_actions", f"bad action at offset {at} ({error.name}):\n{lines}")
