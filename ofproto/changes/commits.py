"""The execution of a bundle: slice by slice in a transaction, then visible at once, or undone.

The slices are table_work.py's: messages that would change the tables wait meanwhile.  In the
journal a bundle is one: a log that ends before its end has none of it.
"""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import ovs.vlog

from ofproto.changes import prepare
from ofproto.codec import messages
from ofproto.codec.errors import OFError
from ofproto.codec.messages.bundle import inner
from ofproto.tables.transaction import Transaction
from pyvs import clock, collector, containment, coverage

vlog = ovs.vlog.Vlog("bundles")

JOURNAL_BYTES = 64 << 10  # of messages in a record
AT_ONCE = 32  # messages with plans in one step
ADD_HEADER = 16  # bytes before the message in a BUNDLE_ADD; 24 in the ONF's extension

COMMITTED = coverage.counter("bundle_committed")
FAILED = coverage.counter("bundle_failed")


class Commits:
    """Those of a bridge."""

    def __init__(self, ofproto: Any):
        self._ofproto = ofproto
        self.longest_switch = 0.0  # seconds

    def close(self) -> None:
        """As Bundles.close()."""
        self._ofproto = None

    def start(
        self, peer: Any, raws: list[bytes], request: bytes, answer: Callable[[], None]
    ) -> None:
        """Execute whole BUNDLE_ADDs of a peer; `answer()` when that is done.  A refusal is told
        about the one that failed, and with `request`'s xid about all."""
        steps = _Commit(self, self._ofproto, peer, raws, request, answer).steps()
        self._ofproto.table_work.start("bundle commit", steps, peer)


class _Commit:
    """One bundle's."""

    def __init__(
        self, commits: Commits, ofproto: Any, peer: Any, raws: list[bytes], request: bytes,
        answer: Callable[[], None],
    ):  # fmt: skip
        self.commits = commits
        self.ofproto = ofproto
        self.peer = peer
        self.raws = raws
        self.request = request
        self.answer = answer
        self.now = clock.msec()
        self.ports: list[tuple[Any, Any]] = []
        self.packets: list[tuple[Any, Any]] = []
        self._part: list[bytes] = []
        self._part_size = 0
        self._id = os.urandom(8)

    def steps(self) -> Iterator[None]:
        with collector.paused():
            yield from self._steps()

    def _steps(self) -> Iterator[None]:
        transaction = Transaction(self.ofproto.tables)
        try:
            refused = yield from self._prepare(transaction)
            if not refused:
                self._switch(transaction)
            yield from transaction.rest()
            if not refused:
                yield from self._send_packets()
        finally:
            try:
                for _ in transaction.rest():
                    pass
            finally:
                self._tell(refused=not transaction.is_switched)

    # --- before

    def _prepare(self, transaction: Transaction) -> Iterator[None]:
        """Each message in turn; returns whether the bundle has failed."""
        at = 0
        while at < len(self.raws):
            if self.ofproto.tables.pending is not transaction:
                return True  # all flows were deleted meanwhile
            raw = self.raws[at]
            try:
                with transaction.ahead():
                    done = self._execute_planned(at)
                    more = None if done else self._execute(raw)
                at += max(done, 1)
                yield
                if more is not None:
                    yield from self._ahead(transaction, more)
            except OFError as error:
                self._send_error(error, raw)
                return True
            except Exception:
                containment.caught("bundle", self.peer.name)
                return True
        return self.ofproto.tables.pending is not transaction

    def _ahead(self, transaction: Transaction, steps: Iterator[None]) -> Iterator[None]:
        """The steps of a message that is much work, each in the transaction's version."""
        while self.ofproto.tables.pending is transaction:
            with transaction.ahead():
                try:
                    next(steps)
                except StopIteration:
                    return
            yield

    def _execute_planned(self, at: int) -> int:
        """Those from number `at` on that are little work; returns how many there were."""
        plans, tables = self.ofproto.mod_plans, self.ofproto.tables
        done = 0
        try:
            for raw in self.raws[at : at + AT_ONCE]:
                own = _inner(raw)
                tables.requester = self._requester(own)
                command = plans.run(own, False, self.now)
                if command is None:
                    break
                self.peer.flow_mods.note(command, self.now)
                self._journal(own)
                done += 1
        finally:
            tables.requester = None
        return done

    def _execute(self, raw: bytes) -> Iterator[None] | None:
        """What is left to be done, where that is much."""
        own = _inner(raw)
        self.ofproto.tables.requester = self._requester(own)
        try:
            message = messages.decode(own)
            self.ofproto.tlv_table.layout.of_message(message)
            return _EXECUTE[type(message)](self, message, own)
        finally:
            self.ofproto.tables.requester = None

    def _requester(self, own: bytes) -> tuple[Any, int]:
        return self.peer, int.from_bytes(own[4:8], "big")

    def _flow_mod(self, mod: Any, raw: bytes) -> Iterator[None] | None:
        prepare.flow_mod(mod, len(raw), self.peer.version)
        self.peer.flow_mods.note(mod.command, self.now)
        if self.ofproto.long_mods.takes(mod):
            return self._long_flow_mod(mod, raw)
        self.ofproto.tables.flow_mod(mod, self.peer.version, self.now)
        self._journal(raw)
        self.ofproto.mod_plans.learn(raw, mod, False)
        return None

    def _long_flow_mod(self, mod: Any, raw: bytes) -> Iterator[None]:
        requester = self._requester(raw)
        yield from self.ofproto.long_mods.bundled(mod, self.peer.version, self.now, requester)
        self._journal(raw)

    def _group_mod(self, mod: Any, raw: bytes) -> None:
        self.ofproto.groups.group_mod(mod, self.peer.version, self.now)
        self._journal(raw)

    def _port_mod(self, mod: Any, _raw: bytes) -> None:
        self.ports.append((prepare.find_port(self.ofproto, mod), mod))

    def _packet_out(self, message: Any, _raw: bytes) -> None:
        made = prepare.packet_out(self.ofproto, message, self.peer.version)
        self.packets.append((message, made))

    def _journal(self, raw: bytes) -> None:
        self._part.append(raw)
        self._part_size += len(raw)
        if self._part_size >= JOURNAL_BYTES:
            self._write_part()

    def _write_part(self) -> None:
        if self._part:
            self.ofproto.log.bundled(self._id, self._part, self.now)
            self._part, self._part_size = [], 0

    # --- the moment, and after

    def _switch(self, transaction: Transaction) -> None:
        """From here on everybody sees all of it."""
        if transaction.changes or transaction.has_groups:
            self._write_part()
            self.ofproto.log.bundle_done(self._id, self.now)
        start = time.monotonic()
        transaction.switch()
        self.commits.longest_switch = max(self.commits.longest_switch, time.monotonic() - start)
        for port, mod in self.ports:
            if self.ofproto.ports.get(port.number) is port:
                prepare.configure_port(self.ofproto, port, mod)

    def _send_packets(self) -> Iterator[None]:
        for message, program in self.packets:
            self.ofproto.backer.packet_out(self.ofproto.xbridge, message, program, self.now)
            yield

    def _send_error(self, error: OFError, raw: bytes) -> None:
        vlog.dbg(f"{self.ofproto.name}<->{self.peer.name}: bundle fails with {error}")
        if self.peer.running:
            self.peer.connection.send(messages.error(error, raw, self.peer.version))

    def _tell(self, refused: bool) -> None:
        if refused:
            FAILED.count += 1
            self._send_error(OFError("OFPBFC_MSG_FAILED"), self.request)
            return
        COMMITTED.count += 1
        if self.peer.running:
            self.answer()


def _inner(raw: bytes) -> bytes:
    """The message in a BUNDLE_ADD."""
    at = ADD_HEADER if raw[1] != messages.OFPT_VENDOR else ADD_HEADER + 8
    return inner(raw, raw[0], at, "OFPBFC_MSG_BAD_LEN")


_EXECUTE = {
    messages.FlowMod: _Commit._flow_mod,
    messages.GroupMod: _Commit._group_mod,
    messages.PortMod: _Commit._port_mod,
    messages.PacketOut: _Commit._packet_out,
}
