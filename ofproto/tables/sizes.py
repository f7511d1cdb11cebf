"""Whether what a controller installs can be told again: a message has 64 KB at most.

A flow or group that came in one message may need more than one in another form: a masked set is
one load for each run of ones where a version cannot say the mask, and buckets are added by many
messages.  Such a one is refused when it comes; statistics, and the journal when it is written
anew, would have no way to say it.
"""

import struct
from typing import Any

from ofproto.codec import messages
from ofproto.codec.errors import OFError
from ofproto.codec.instructions import ApplyActions
from ofproto.codec.numbers import OF10

# Bytes of a FLOW_MOD that is no larger in any form than a message may be: an action of 40 bytes
# becomes 64 of 24 bytes at most.
SURE_SIZE = 1024
SURE_ACTIONS = 32  # of a group's buckets, and the buckets themselves
# What stands around a flow's or a group's instructions or buckets: headers, the largest match.
ROOM = messages.MAX_SIZE - 2048
MOST_BUCKETS = ROOM // 16  # each has counters of 16 bytes in GROUP statistics


def check_flow(mod: Any, version: int) -> None:
    """Raises OFError when a flow of this FLOW_MOD could not be told in some form."""
    if _is_sure(mod.instructions):
        return
    item = messages.FlowStats(mod.match, mod.priority, instructions=mod.instructions)
    for form in messages.FlowStatsReply.FORMS.values():
        if _size(form.body.write_item, item, form.version) > ROOM:
            raise OFError("OFPBAC_TOO_MANY", f"flow too large for version {form.version}")
    try:
        mod.encode(version, nxm=version == OF10)
    except ValueError:
        raise OFError("OFPBAC_TOO_MANY", "flow too large") from None


def _is_sure(instructions: list[Any]) -> bool:
    """Whether the actions have room in any form, by what each may need at most: to write 2,500
    of them in every version takes long."""
    total = 0
    for instruction in instructions:
        if not isinstance(instruction, ApplyActions):
            return False
        for action in instruction.actions:
            most = action.most_bytes()
            if most is None:
                return False
            total += most
    return total <= ROOM


def check_group(group_type: int, buckets: list[Any]) -> None:
    """Raises OFError when a group of these messages.Buckets could not be told in some form."""
    if sum(len(bucket.actions) + 1 for bucket in buckets) <= SURE_ACTIONS:
        return
    forms = messages.GroupDescReply.FORMS.values()
    empty = [_size(form.body.write_item, messages.GroupDesc(1, group_type, []), form.version)
             for form in forms]  # fmt: skip
    sizes = [bucket.sizes or _bucket_sizes(group_type, bucket, empty) for bucket in buckets]
    whole = map(sum, zip(empty, *sizes, strict=True))
    if len(buckets) > MOST_BUCKETS or any(size > ROOM for size in whole):
        raise OFError("OFPGMFC_OUT_OF_BUCKETS", "group too large for a message")


def _bucket_sizes(group_type: int, bucket: Any, around: list[int]) -> tuple[int, ...]:
    """Bytes of a bucket in each form, which it remembers when it has its number; `around`: those
    of a group without buckets."""
    item = messages.GroupDesc(1, group_type, [bucket])
    sizes = tuple(
        max(0, _size(form.body.write_item, item, form.version) - empty)
        for form, empty in zip(messages.GroupDescReply.FORMS.values(), around, strict=True)
    )
    if bucket.bucket_id is not None:
        bucket.sizes = sizes
    return sizes


def _size(write: Any, item: Any, version: int) -> int:
    """Bytes of an item; 0 where a version cannot say it, and need not."""
    try:
        return len(write(item, version))
    except struct.error:  # its length does not fit into the item's own header
        return messages.MAX_SIZE
    except (ValueError, OFError):
        return 0
