"""FLOW_MODs that mean very many flows: done in slices of the loop.

Selection and check come first, so that what is refused has changed nothing; then the flows are
changed piece by piece, and packets may meet some that are and some that are not yet, as in Open
vSwitch while it works through a table.  Messages of all connections that change tables wait
meanwhile, so that nobody's message falls into the middle of another's; the own connection waits
for the end.  A connection that goes does not end what it began.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ofproto.codec.errors import OFError
from ofproto.codec.numbers import OFPRR_DELETE
from ofproto.tables.flow_table import DELETE, MODIFY, flow_filter
from pyvs import containment, coverage

MANY = 1000  # flows in the tables, with fewer of which a FLOW_MOD is done at once
STEP = 100  # flows in one step
SLICE_SECONDS = 0.008  # of the loop, in each round

SLICED = coverage.counter("ofproto_long_flow_mod")


class LongMods:
    """Those of a bridge: one at a time."""

    def __init__(self, tables: Any, log: Any):
        self._tables = tables
        self._log = log
        self._work: tuple[Any, Iterator[None], Callable[[OFError], None]] | None = None
        self._requester: Any = None
        self._waiting: deque[tuple[Any, Callable[[], None]]] = deque()

    @property
    def busy(self) -> bool:
        """Whether the tables may not be changed by a message now."""
        return self._work is not None

    def takes(self, mod: Any) -> bool:
        """Whether a FLOW_MOD may be so much work that it is done here."""
        return mod.command in (MODIFY, DELETE) and len(self._tables) > MANY

    def start(
        self, peer: Any, mod: Any, version: int, now: int, refuse: Callable[[OFError], None]
    ) -> None:
        """Execute a FLOW_MOD of a peer, which gets to its next message afterwards."""
        peer.connection.hold()
        self._log.hold()  # a shorter journal has all of it, or what was before
        SLICED.count += 1
        self._work = peer, self._steps(mod, version, now), refuse
        self._requester = self._tables.requester

    def defer(self, peer: Any, handle: Callable[[], None]) -> None:
        """Handle this message of a peer, and its next ones, once the tables are free."""
        peer.connection.hold()
        self._waiting.append((peer, handle))

    def run(self, _now: int) -> None:
        """Go on for one slice of time."""
        end = time.monotonic() + SLICE_SECONDS
        while self._work is not None and time.monotonic() < end:
            peer, steps, refuse = self._work
            self._tables.requester = self._requester  # whom flow monitors tell of
            try:
                next(steps)
            except StopIteration:
                self._over(peer)
            except OFError as error:
                refuse(error)
                self._over(peer)
            except Exception:
                containment.caught("FLOW_MOD", peer.name)
                self._over(peer)
                peer.connection.fail("internal error")
            finally:
                self._tables.requester = None

    def _over(self, peer: Any) -> None:
        """Those that waited have their turn, until one of them is much work again."""
        self._work = None
        self._log.release()
        peer.connection.release()
        while self._waiting and self._work is None:
            waiting, handle = self._waiting.popleft()
            waiting.connection.release()
            if waiting.alive:
                containment.call("OpenFlow connection", waiting.name, handle)

    def wait(self, poller: Any) -> None:
        if self._work is not None:
            poller.immediate_wake()

    # --- one of them

    def _steps(self, mod: Any, version: int, now: int) -> Iterator[None]:
        found = self._tables.select(mod.match, mod.table_id)
        yield
        passes = flow_filter(mod, with_outputs=mod.command == DELETE)
        if passes is not None:
            candidates, found = found, []
            for some in _pieces(candidates):
                found += filter(passes, some)
                yield
        if mod.command == DELETE:
            yield from self._delete(found)
        else:
            yield from self._modify(found, mod, version, now)
        if mod.buffer_id is not None:
            raise OFError("OFPBRC_BUFFER_UNKNOWN")

    def _delete(self, found: list[Any]) -> Iterator[None]:
        for some in _pieces(found):
            for rule in some:
                self._tables.remove(rule, OFPRR_DELETE)
            yield

    def _modify(self, found: list[Any], mod: Any, version: int, now: int) -> Iterator[None]:
        if not found:  # 1.0 and 1.1 add what is not there
            self._tables.modify([], mod, version, now)
        for some in _pieces(found):
            self._tables.check(some, mod, version)
            yield
        table = self._tables.xbridge.table
        for some in _pieces(found):
            there = [rule for rule in some if rule in table(rule.table_id)]
            if there:
                self._tables.modify(there, mod, version, now)
            yield
        self._tables.learned.bury()


def _pieces(rules: list[Any]) -> Iterator[list[Any]]:
    for at in range(0, len(rules), STEP):
        yield rules[at : at + STEP]
