"""Whom a bridge's tunnels send to next, over the death of the daemon: a part of its keeper.

The datapath's flows go on to where they went; what may have changed unheard is asked for once.
"""

from itertools import islice
from typing import Any

from ofproto.protocols.kept import MAC, TIME
from ofproto.underlay import addresses
from ofproto.underlay.neighbours import DEFAULT_AGING, Neighbours
from pyvs import clock
from pyvs.kept import Recalled

MOST = 2000  # that are kept, of those used last


class KeptNeighbours:
    name = "neighbours"
    kept_for = DEFAULT_AGING

    def __init__(self, ofproto: Any):
        self._xbridge = ofproto.xbridge
        self._kept = 0  # Neighbours.changed then

    @property
    def _known(self) -> Neighbours | None:
        """None while the bridge has no datapath."""
        underlay = self._xbridge.underlay
        return underlay and underlay.neighbours

    @property
    def has_news(self) -> bool:
        known = self._known
        return known is not None and known.changed != self._kept

    def kept(self, now: int) -> dict[str, Any]:
        known = self._known
        if known is None:
            return {}
        self._kept = known.changed
        rows = [
            [addresses.text(address), MAC.plain(mac, now), TIME.plain(expires, now)]
            for address, mac, expires in islice(known.of(self._xbridge.name), MOST)
        ]
        return {"rows": rows} if rows else {}

    def recall(self, recalled: Recalled) -> None:
        now = clock.msec()
        found = [
            (addresses.from_text(address), MAC.value(mac, now), TIME.value(left, now))
            for address, mac, left in recalled.take("rows", now) or ()
        ]
        if self._known is not None:
            self._known.recall(self._xbridge.name, found, now)
