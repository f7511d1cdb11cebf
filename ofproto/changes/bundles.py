"""Bundles: messages that a peer collects, to have them all executed at once, or none.

OpenFlow 1.4 and later, and 1.3 with the ONF's extension 230.  A bundle belongs to its connection.
Its messages are checked for what can be known without the tables when they come, and kept as they
came; commits.py executes them.  Every bundle is executed in order and atomically, whatever its
flags say, which only have to be the same in all of its messages.

Sources: OpenFlow 1.4.1 6.9 and 7.3.9; where it leaves open which error, as Open vSwitch.
"""

from typing import Any

from ofproto.changes.commits import Commits
from ofproto.changes.prepare import check_buffer
from ofproto.codec import messages
from ofproto.codec.errors import OFError
from ofproto.codec.messages import bundle as wire
from ofproto.tables.flow_table import check_mod
from pyvs import coverage
from pyvs.record import field, record

# What one connection may have, and all of a bridge together; a message counts with its bytes and
# what keeping it takes beside these.
MAX_BUNDLES = 256
MAX_MESSAGES = 1_000_000
MAX_BYTES, MAX_TOTAL = 128 << 20, 256 << 20
OVERHEAD = 128
IDLE_SECONDS = 10  # after which a bundle is discarded (other_config:bundle-idle-timeout)

REFUSED = coverage.counter("bundle_limit")
EXPIRED = coverage.counter("bundle_idle_timeout")
NOT_KNOWN = "no such bundle"


@record
class Bundle:
    """`opened`: bytes of the message that it began with; `raws`: of its BUNDLE_ADDs, whole."""

    bundle_id: int
    flags: int
    opened: bytes
    used: int
    is_closed: bool = False
    size: int = 0
    raws: list[bytes] = field(default_factory=list)


class Bundles:
    """Of all connections of a bridge whose Ofproto is `ofproto`."""

    def __init__(self, ofproto: Any):
        self.commits = Commits(ofproto)
        self.idle_ms = IDLE_SECONDS * 1000
        self.size = 0
        self._ofproto = ofproto
        self._of: dict[Any, dict[int, Bundle]] = {}

    def _get(self, peer: Any, number: int) -> Bundle:
        bundle = self._of.get(peer, {}).get(number)
        if bundle is None:
            raise OFError("OFPBFC_BAD_ID", NOT_KNOWN)
        return bundle

    def _remove(self, peer: Any, bundle: Bundle) -> Bundle:
        bundles = self._of[peer]
        del bundles[bundle.bundle_id]
        self.size -= bundle.size
        if not bundles:
            del self._of[peer]
        return bundle

    def closed(self, peer: Any) -> None:
        """A connection has ended, and its bundles with it."""
        for bundle in list(self._of.get(peer, {}).values()):
            self._remove(peer, bundle)

    def close(self) -> None:
        """The bridge goes, and all connections have gone."""
        self._ofproto = None
        self.commits.close()

    # --- BUNDLE_CONTROL

    def control(self, peer: Any, message: Any, raw: bytes, now: int) -> None:
        """Raises OFError."""
        action = _ACTIONS.get(message.type)
        if action is None:
            raise OFError("OFPBFC_BAD_TYPE", f"type {message.type}")
        action(self, peer, message, raw, now)

    @staticmethod
    def _answer(peer: Any, request: Any) -> None:
        peer.reply(request, messages.BundleControl(request.bundle_id, request.type + 1))

    def _open(self, peer: Any, request: Any, raw: bytes, now: int) -> None:
        bundle = self._of.get(peer, {}).get(request.bundle_id)
        if bundle is not None:
            self._remove(peer, bundle)
            raise OFError("OFPBFC_BAD_ID", "open already")
        self._create(peer, request, raw, now)
        self._answer(peer, request)

    def _create(self, peer: Any, message: Any, raw: bytes, now: int) -> Bundle:
        bundles = self._of.get(peer, {})
        size = len(raw) + OVERHEAD
        if len(bundles) >= MAX_BUNDLES or self.size + size > MAX_TOTAL:
            REFUSED.count += 1
            raise OFError("OFPBFC_OUT_OF_BUNDLES", f"{len(bundles)} bundles")
        self._of[peer] = bundles
        bundle = bundles[message.bundle_id] = Bundle(message.bundle_id, message.flags, raw, now)
        bundle.size = size
        self.size += size
        return bundle

    def _same_flags(self, peer: Any, bundle: Bundle, message: Any) -> None:
        if bundle.flags != message.flags:
            self._remove(peer, bundle)
            raise OFError("OFPBFC_BAD_FLAGS", f"flags {message.flags:#x}, {bundle.flags:#x} before")

    def _still_open(self, peer: Any, bundle: Bundle) -> None:
        if bundle.is_closed:
            self._remove(peer, bundle)
            raise OFError("OFPBFC_BUNDLE_CLOSED")

    def _close(self, peer: Any, request: Any, _raw: bytes, now: int) -> None:
        bundle = self._get(peer, request.bundle_id)
        self._still_open(peer, bundle)
        self._same_flags(peer, bundle, request)
        bundle.is_closed = True
        bundle.used = now
        self._answer(peer, request)

    def _commit(self, peer: Any, request: Any, raw: bytes, _now: int) -> None:
        bundle = self._get(peer, request.bundle_id)
        self._same_flags(peer, bundle, request)
        self._remove(peer, bundle)
        self.commits.start(peer, bundle.raws, raw, lambda: self._answer(peer, request))

    def _discard(self, peer: Any, request: Any, _raw: bytes, _now: int) -> None:
        self._remove(peer, self._get(peer, request.bundle_id))
        self._answer(peer, request)

    # --- BUNDLE_ADD_MESSAGE

    def add(self, peer: Any, message: Any, raw: bytes, now: int) -> None:
        """Raises OFError."""
        wire.check_bundled(message.message, message.xid)
        if not self._ofproto.mod_plans.fits(message.message, False):
            inner = messages.decode(message.message)
            if isinstance(inner, messages.FlowMod):
                check_mod(inner)
                check_buffer(inner)
        bundle = self._of.get(peer, {}).get(message.bundle_id)
        if bundle is None:
            bundle = self._create(peer, message, raw, now)
        self._still_open(peer, bundle)
        self._same_flags(peer, bundle, message)
        size = len(raw) + OVERHEAD
        full = bundle.size + size > MAX_BYTES or self.size + size > MAX_TOTAL
        if full or len(bundle.raws) >= MAX_MESSAGES:
            REFUSED.count += 1
            self._remove(peer, bundle)
            raise OFError("OFPBFC_MSG_TOO_MANY", f"{len(bundle.raws)} messages")
        bundle.raws.append(raw)
        bundle.size += size
        self.size += size
        bundle.used = now

    # --- time

    def run(self, now: int) -> None:
        """Discard what was left alone; not while peers wait for the tables, unheard."""
        if self._ofproto.table_work.busy:
            return
        for peer, bundles in list(self._of.items()):
            for bundle in list(bundles.values()):
                if bundle.used + self.idle_ms > now or not peer.alive:
                    continue
                EXPIRED.count += 1
                self._remove(peer, bundle)
                error = messages.error(OFError("OFPBFC_TIMEOUT"), bundle.opened, peer.version)
                peer.connection.send(error)

    def next_expiry(self) -> int | None:
        """When run() has to be called next; None: not at all."""
        used = [each.used for bundles in self._of.values() for each in bundles.values()]
        return min(used) + self.idle_ms if used else None


_ACTIONS = {
    wire.OPEN_REQUEST: Bundles._open,
    wire.CLOSE_REQUEST: Bundles._close,
    wire.COMMIT_REQUEST: Bundles._commit,
    wire.DISCARD_REQUEST: Bundles._discard,
}
