"""For the log, at level debug: how a select group spreads packets over its buckets."""

from collections.abc import Iterator

import ovs.vlog

from ofproto.codec.messages import GROUP_SELECT
from ofproto.xlate.bridges.xgroup import XGroup

vlog = ovs.vlog.Vlog("ofproto_dpif")

NOBODY = "Total weight is zero. No active buckets."


def tell(group: XGroup) -> None:
    """A group that was made or changed."""
    if group.type != GROUP_SELECT or not vlog.dbg_is_enabled():
        return
    for line in _lines(group):
        vlog.dbg(line)


def _lines(group: XGroup) -> Iterator[str]:
    method, parameter, fields = group.selection
    yield f"Constructing select group {group.group_id}"
    if method:
        yield f"Selection method specified: {method}."
    else:
        yield "No selection method specified. Trying dp_hash."
    if method == "hash":
        names = ",".join(field.name for field, _mask in fields)
        hashed = f"Hash fields: {names}." if fields else None
        yield hashed or "No hash fields. Falling back to default hash method."
        return
    yield from _shares(group)
    if group.slots:
        if method and parameter >> 32 != group.algorithm:
            yield f"Invalid dp_hash algorithm {parameter >> 32}. Defaulting to OVS_HASH_ALG_L4"
        yield f"Use dp_hash with {len(group.slots)} hash values using algorithm {group.algorithm}."
    else:
        yield "Falling back to default hash method."


def _shares(group: XGroup) -> Iterator[str]:
    """What of the hash values each bucket is due, and gets."""
    weights = [bucket.weight for bucket in group.buckets]
    total, least = sum(weights), min((weight for weight in weights if weight), default=0)
    if not least:
        yield "  " + (NOBODY if weights else "Don't apply dp_hash method without buckets.")
        return
    yield f"  Minimum weight: {least}, total weight: {total}"
    slots = group.slots
    if not slots:
        needed = 1
        while needed * least < total:
            needed *= 2
        yield f"  Too many hash values required: {needed}"
    else:
        yield f"  Using {len(slots)} hash values:"
        for number, weight in enumerate(weights):
            due = weight * len(slots) / total
            got = slots.count(number)
            yield f"  Bucket {number}: weight={weight}, target={due:.2f} hits={got}"
