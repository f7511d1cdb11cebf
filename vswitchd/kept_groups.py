"""The multicast groups of a bridge over the death of the daemon: a part of its keeper."""

from itertools import islice
from operator import itemgetter
from typing import Any

from ofproto.protocols.kept import U16, number
from ofproto.protocols.membership import Message
from pyvs.kept import Recalled

MOST = 20_000  # memberships that are kept
AGE = number(1 << 32)


class KeptGroups:
    """Ages go on with the next report: a group that nobody asks for any more ends by age."""

    name = "multicast groups"
    kept_for = 120_000

    def __init__(self, ofproto: Any):
        self._ofproto = ofproto
        self._recalled = Recalled()

    def kept(self, now: int) -> dict[str, Any]:
        snooping = self._ofproto.xbridge.snooping
        if snooping is None:
            return {}
        rows = [
            [port.name, vlan, group and group.hex(), age]
            for port, vlan, group, age in islice(snooping.rows(now), MOST)
        ]
        return {"rows": rows} if rows else {}

    def recall(self, recalled: Recalled) -> None:
        self._recalled = recalled

    def apply(self, now: int) -> None:
        """Learn them, once there are ports; those of ports that are gone are nobody's."""
        rows = self._recalled.take("rows", now)
        xbridge = self._ofproto.xbridge
        if not rows or xbridge.snooping is None:
            return
        bundles = {bundle.name: bundle for bundle in xbridge.bundles}
        found = [
            (1000 * AGE.value(age, now), bundles[name], U16.value(vlan, now), _message(group))
            for name, vlan, group, age in rows[:MOST]
            if name in bundles
        ]
        # In the order in which they were heard, which is that in which they age.
        for ms, bundle, vlan, message in sorted(found, key=itemgetter(0), reverse=True):
            xbridge.snooping.hear(message, vlan, bundle, now - ms)
        xbridge.touch()


def _message(group: str | None) -> Message:
    """What says the same."""
    if group is None:
        return Message(from_router=True)
    found = bytes.fromhex(group)
    if len(found) not in (4, 16):
        raise ValueError(f"no group: {group}")
    return Message(False, ((found, True),))
