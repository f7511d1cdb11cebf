"""The datapath as all bridges share it: upcalls, flows, and what to do when it restarts.

There is one Backer per datapath process; what that has besides flows (ports, meters, bonds,
policies) stands in odp/.  A crash of either side is survived:

- vswitchd dies: the datapath process keeps ports and flows, and the new Backer goes on with them.
- the datapath process dies: the Backer connects again as soon as there is a new one, brings it to
  what is wanted, and registers for upcalls; the flows come back by upcalls.

A datapath process that is there and does not answer is gone on without, as if there were none, but
that its flows stay known and its upcalls are answered: `dpif` is None until the answer that is
outstanding came.

Where flows are about to be restored (other_config:flow-restore-wait) a Backer begins `held`: the
datapath forwards as its flows say, which stay as they are, and nobody takes what comes up.  Packets
wait for us as they do for a vswitchd that was killed, and then are lost.
"""

import errno
import select
import time
from collections.abc import Callable, Iterator
from typing import Any

import ovs.vlog

from datapath.ipc.connection import LONGEST, SLOWER
from datapath.ipc.dpif import DpifError, DpifStalled
from pyvs import clock, containment, coverage

from .barriers import Barriers, Counters
from .courtesy import Courtesy
from .disposal import Disposal
from .flows import Flows
from .odp.bonds import DatapathBonds
from .odp.connections import KeptConnections
from .odp.meters import DatapathMeters
from .odp.ports import OdpPorts
from .odp.timeouts import TimeoutPolicies
from .revalidator import Revalidator
from .serving import UpcallServer
from .upcall import UpcallHandler

vlog = ovs.vlog.Vlog("ofproto_dpif")

RECONNECT_MS = 1000

RECONNECTS = coverage.counter("dpif_reconnect")
STALLS = coverage.counter("dpif_stalled")
WARN_MS = 1000  # without an answer
# Who asked for counters has those of before then.
COUNTERS_MS = 3000
# Requests that, answered too late, leave nothing to be looked after (deletions are asked again).
HARMLESS = {
    *("flow_dump", "flow_del_many", "flow_get", "stats", "sync", "version"),
    *("port_dump", "port_dead", "meter_dump", "meter_get", "execute"),
    *("ct_dump", "ct_flush", "ct_stats", "ct_buckets", "ct_get", "ct_limits", "ct_policy_dump"),
}

# Whose answer brings rings, or ends some: a late one does not say which are of use.
WITH_RINGS = {"upcall_register", "workers_add", "workers_del"}

EMPTYING = 20.0  # seconds that a datapath may take to give up all it has, when we end

FIRST_UPCALLS = 0.02  # seconds in which known flows come up again, all at once,
FIRST_ROUNDS = 10  # and looks at least, where others have the processor for as long


class Backer:
    """One per datapath process.

    `dpif` is a connected datapath.dpif.Dpif.  `reopen()`, when given, is called to get a new one
    after the connection broke (at most once per second); it may start a datapath process; it
    raises ConnectionError or DpifError when there is none yet.

    Public attributes: `dpif` (the present one; None while disconnected, or without answer),
    `bridges` (name -> Ofproto), `ports`, `meters`, `bonds`, `timeouts`, `flows`, `handler`,
    `revalidator`, `server` (of upcalls, between rounds), `held` (until release()).
    """

    def __init__(self, dpif: Any, reopen: Callable[[], Any] | None = None, held: bool = False):
        self.dpif: Any = None
        self.held = held
        self._stalled: Any = None  # the connection that is to become `dpif` again
        self._stalled_at = 0
        self._inherits = True  # the kernel may follow flows of a datapath process before this one,
        self._hands_over = False  # and is not to any more
        self._told = False  # the log that it does not answer
        self.bridges: dict[str, Any] = {}
        self.bonds = DatapathBonds(self._lost)
        self.meters = DatapathMeters(self._lost)
        self.connections = KeptConnections()
        self.timeouts = TimeoutPolicies(self._lost)
        self.disposal = Disposal()
        self.flows = Flows()
        self.ports = OdpPorts(self._lost, self.flows.port_del)
        self._told_of = self.bonds, self.meters, self.timeouts
        self.handler = UpcallHandler(self.flows)
        self.handler.expecting = True
        self.courtesy = Courtesy()
        self.revalidator = Revalidator(self.flows)
        self.server = UpcallServer(self)
        self._counters = Counters(self.revalidator)
        self._barriers = Barriers()
        self._synced = 0  # the revalidator's changes that the workers were seen to have taken
        self._kernel_cache: bool | None = None  # None: nobody has said, it stays as it is
        self._lookup: tuple[int, bool] | None = None  # the same
        self._measuring: bool | None = None  # what iterations of the datapath cost; None: the same
        self._log_measured: dict[str, int] | None = None  # the same
        self._tunnel_ports: tuple[int, int] | None = None  # None: those that it has
        self._reopen = reopen
        self._next_open = 0
        self._take(dpif)
        clock.followers.append(self._follow_clock)

    @property
    def generation(self) -> int:
        """Raised by need_revalidate."""
        return self.flows.generation.value

    # --- the connection

    def _take(self, dpif: Any) -> None:
        """Make this connection ours.  Raises OSError when it breaks meanwhile."""
        self.connections.attach(dpif)  # all before there are flows
        for each in self._told_of:
            each.attach(dpif)
        self.ports.attach(dpif)
        self._register(dpif)
        self._tell_caches(dpif)
        if clock.position() != (None, 0):
            dpif.set_clock(*clock.position())
        if self._tunnel_ports is not None:
            dpif.set_tunnel_ports(*self._tunnel_ports)
        self.dpif = dpif
        self._hands_over = False
        self._inherits = True
        self.flows.set_dpif(dpif)
        self.revalidator.reset()

    def _register(self, dpif: Any, patience: float | None = None) -> None:
        """Take upcalls, where it is time.  Raises OSError."""
        if not self.held:
            dpif.upcall_register(patience)

    def release(self) -> None:
        """Packets are ours from now on, and flows with the next first_reconcile_done()."""
        self.held = False
        if self.dpif is not None:
            # The loop waits no longer than for others: an answer that is late is not needed.
            self._guarded(lambda _now: self._register(self.dpif, self.dpif.patience), clock.msec())

    def _lost(self, error: OSError | None = None) -> None:
        if isinstance(error, DpifStalled) and self._pause():
            return
        if self._stalled is not None:
            self.dpif, self._stalled = self._stalled, None
        if self.dpif is None:
            return
        vlog.warn(f"lost the datapath process{f' ({error})' if error else ''}")
        dpif, self.dpif = self.dpif, None
        self._let_go(dpif)

    def _let_go(self, dpif: Any) -> None:
        """Close a connection that is, or was about to become, ours.  Idempotent."""
        for each in (*self._told_of, self.ports):
            each.detach()
        self.flows.set_dpif(None)
        self.handler.forget()
        self.revalidator.reset()
        dpif.close()

    def _pause(self) -> bool:
        """Go on without a datapath process that does not answer.  False: there is none."""
        if self._stalled is None and self.dpif is not None:
            STALLS.count += 1
            self._stalled, self.dpif = self.dpif, None
            self._stalled_at = clock.msec()
            self._told = False
            self.ports.pause(self._stalled.unanswered not in HARMLESS)
            for each in self._told_of:
                each.detach()
        return self._stalled is not None

    def is_stalled(self, dpif: Any = None) -> bool:
        """Whether there is a datapath process that does not answer; by that connection."""
        return self._stalled is not None and dpif in (None, self._stalled)

    def _run_stalled(self, now: int) -> None:
        """What goes on meanwhile; look for the answer."""
        dpif = self._stalled
        asked = dpif.unanswered
        dpif.upcall_awake()
        self._guarded(self.handler.run, now)
        try:
            answered = dpif.settled()
            if not dpif.alive():
                self._lost()
            elif answered:
                self._resume(asked, now)
        except OSError as error:
            self._lost(error)
        if self._stalled is not None and not self._told and now >= self._stalled_at + WARN_MS:
            self._told = True
            vlog.warn("the datapath process does not answer: going on without it")

    def _resume(self, asked: str | None, now: int) -> None:
        """`asked`: what was answered late.  Raises OSError."""
        dpif, self._stalled = self._stalled, None
        self.dpif = dpif
        if self._told:
            vlog.info(f"the datapath process answers again, after {now - self._stalled_at} ms")
        if asked in WITH_RINGS:
            self._lost()
            return
        self.ports.pause(asked not in HARMLESS)
        for each in self._told_of:
            each.attach(dpif)
        self._tell_caches(dpif)
        if dpif.upcall_fd < 0:
            self._register(dpif, dpif.patience)  # it was let go meanwhile
        if self.revalidator.ready:
            self.meters.forget_found(now)
        if self.ports.resume(dpif):
            self.need_revalidate()

    def _reconnect(self, now: int) -> None:
        if self._reopen is None or now < self._next_open:
            return
        self._next_open = now + RECONNECT_MS
        try:
            dpif = self._reopen()
        except OSError as error:
            vlog.dbg(f"waiting for the datapath process ({error})")
            self._next_open = now + RECONNECT_MS // 20
            return
        try:
            self._take(dpif)
            self.ports.put_back()
        except OSError as error:
            self._lost(error)
            if self.dpif is None and self._stalled is None:
                self._let_go(dpif)
            return
        RECONNECTS.count += 1
        vlog.info("connected to a new datapath process")
        if self.revalidator.ready:  # else there are bridges to come, and it may be the old one
            self._claim()

    def _follow_clock(self, stopped: int | None, ahead: int) -> None:
        """time/stop and time/warp reach the packets, too."""
        if self.dpif is not None:
            self._guarded(lambda _now: self.dpif.set_clock(stopped, ahead), clock.msec())

    def set_tunnel_ports(self, first: int, last: int) -> None:
        """The range of UDP source ports of outer headers."""
        self._tunnel_ports = first, last
        if self.dpif is not None:
            self._guarded(lambda _now: self.dpif.set_tunnel_ports(first, last), clock.msec())

    def tune(self, flow_limit: int, max_idle: int, max_revalidator: int) -> None:
        """How many flows there may be, the ms that an idle one stays, and between two rounds of
        statistics."""
        self.flows.max_flows = self.flows.flow_limit = flow_limit
        self.revalidator.max_idle = max_idle
        self.revalidator.interval = max_revalidator

    def attempt(self, request: Callable[[], Any]) -> Any:
        """Something that others want of the datapath; what goes wrong is dealt with here."""
        return self._guarded(lambda _now: request(), clock.msec())

    def set_lookup(self, inverse: int, signatures: bool) -> None:
        """Of the datapath's caches: see Dpif.lookup_set()."""
        if (inverse, signatures) != self._lookup:
            self._lookup = (inverse, signatures)
            if self.dpif is not None:
                self._guarded(lambda _now: self.dpif.lookup_set(*self._lookup), clock.msec())

    def set_measuring(self, wanted: bool) -> None:
        """Of what single iterations of the datapath's workers cost: see Dpif.perf_set()."""
        if wanted != self._measuring:
            self._measuring = wanted
            if self.dpif is not None:
                self._guarded(lambda _now: self.dpif.perf_set(wanted), clock.msec())

    def log_measured(self, given: dict[str, int]) -> Any:
        """Which of them are logged: see Dpif.perf_log_set()."""
        settings = self.dpif.perf_log_set(**given)
        self._log_measured = settings._asdict()
        return settings

    def set_vlan_limit(self, limit: int) -> None:
        """How many VLAN headers are matched and changed: what is behind is payload."""
        if limit != self.flows.features.vlan_limit:
            self.flows.features.vlan_limit = limit
            self.need_revalidate()

    def set_kernel_cache(self, wanted: bool) -> None:
        """Whether the kernel is to forward by itself what it can."""
        if wanted == self._kernel_cache:
            return
        self._kernel_cache = wanted
        if self.dpif is not None:
            self._guarded(lambda _now: self._tell_kernel_cache(self.dpif), clock.msec())

    def _tell_kernel_cache(self, dpif: Any) -> None:
        if self._kernel_cache is not None:
            dpif.kernel_cache_set(self._kernel_cache)

    def _tell_caches(self, dpif: Any) -> None:
        """What a datapath process is told when it becomes ours."""
        if self._lookup is not None:
            dpif.lookup_set(*self._lookup)
        if self._measuring is not None:
            dpif.perf_set(self._measuring)
        if self._log_measured is not None:
            dpif.perf_log_set(**self._log_measured)
        self._tell_kernel_cache(dpif)

    def stats(self) -> dict[str, Any] | None:
        """What the datapath has counted; None: there is none to ask."""
        if self.dpif is None:
            return None
        try:
            return self.dpif.stats()
        except OSError as error:
            self._lost(error)
            return None

    # --- what another vswitchd, or another datapath process, has left

    def some_bridges_done(self) -> None:
        """They have asked for their ports, and others are to come."""
        self.handler.welcome()

    def first_reconcile_done(self) -> None:
        """All bridges have asked for their ports: what the datapath has and none wants may go, and
        flows are ours, as soon as we have time for them."""
        if self.held:
            self.ports.claim()
            return
        self._claim()
        self._hands_over = True

    def _claim(self) -> None:
        self.ports.claim()
        self.meters.forget_found(clock.msec())
        self.revalidator.ready = True
        self.handler.expecting = False
        self.handler.welcome()

    def _hand_over(self, _now: int) -> None:
        """Known flows, which the kernel forwarded as the datapath process before had said, come
        by upcalls from here on; the first ones are answered before anything else is done."""
        self._inherits = self._hands_over = False
        if not self.dpif.kernel_cache_hand_over():
            return
        poll = select.poll()
        poll.register(self.dpif.upcall_fd, select.POLLIN)
        end, rounds = time.monotonic() + FIRST_UPCALLS, 0
        busy_until = time.thread_time() + FIRST_UPCALLS  # a flood of others is not to stall us
        while self.dpif is not None and (
            time.monotonic() < end or (rounds < FIRST_ROUNDS and time.thread_time() < busy_until)
        ):
            rounds += 1
            if self.dpif.upcall_wait() and not self.handler.busy:
                poll.poll(FIRST_UPCALLS / FIRST_ROUNDS * 1000)
            self.dpif.upcall_awake()
            self.answer_upcalls(clock.msec())

    # --- packets

    def packet_out(self, bridge: Any, message: Any, program: Any, now: int) -> None:
        """Run actions on the packet of a PACKET_OUT; lost while there is no datapath."""
        sent = message.match.key_bytes
        self.send_packet(bridge, message.packet, message.in_port, sent, program, now)

    def send_packet(
        self, bridge: Any, packet: bytes, in_port: int, sent: bytes, program: Any, now: int
    ) -> None:
        """The same with what a PACKET_OUT says; see Flows.packet_out()."""
        self._send(self.flows.packet_out, bridge, packet, in_port, sent, program, now)

    def resume(self, state: Any, packet: bytes, sent: bytes, now: int) -> None:
        """A packet that waited for a controller goes on; see Flows.resume()."""
        self._send(self.flows.resume, state, packet, sent, now)

    def _send(self, send: Callable[..., None], *args: Any) -> None:
        try:
            send(*args)
        except DpifError as error:
            vlog.warn(f"packet-out failed ({error})")
        except OSError as error:
            self._lost(error)

    # --- connections

    def ct_flush(self, **which: Any) -> Iterator[None]:
        """Have connections forgotten, some at each step: see Dpif.ct_flush_pieces()."""
        dpif = self.dpif
        if dpif is None:
            return
        pieces = dpif.ct_flush_pieces(**which)
        while self.dpif is dpif:
            try:
                next(pieces)
            except StopIteration:
                return
            except DpifError as error:
                vlog.warn(f"flushing connections failed ({error})")
                return
            except OSError as error:
                self._lost(error)
                return
            yield

    # --- revalidation

    def need_revalidate(self) -> None:
        """Some table, port, bundle or MAC entry changed: have every megaflow looked at again."""
        self.flows.generation.touch()

    def collect(self, then: Callable[[], Any], failed: Callable[[], Any] = lambda: None) -> None:
        """Call `then` once all that the datapath has counted by now is credited to the OpenFlow
        flows (without a datapath process at once); `failed` when it raises an exception, which is
        contained."""
        self._counters.collect(then, failed)
        if self._is_idle:
            self._call_waiting()

    def ask(self, then: Callable[[], Any], failed: Callable[[], Any]) -> None:
        """Call `then`, which asks the datapath, once that answers; `failed` as above."""
        if self.dpif is not None:
            self._guarded(lambda _now: self.dpif.version(), clock.msec())
        self._counters.ask(then, failed)
        if self._stalled is None:
            self._call_waiting()

    def settle(self, then: Callable[[], Any]) -> None:
        """As collect(), once also each datapath flow does what the tables say now."""
        self._counters.settle(self.generation, then)
        if self._is_idle:
            self._call_waiting()

    def barrier(self, then: Callable[[], Any]) -> None:
        """Call `then` once the datapath does what the tables say by now; at once, where it does."""
        # (While bridges are to come, the kernel's flows are theirs, too.)
        if self._inherits and self.revalidator.ready and self.dpif is not None:
            self._guarded(self._hand_over, clock.msec())
        nobody = self.dpif is None and self._stalled is None
        if nobody or self.held or self.revalidator.paused or not len(self.flows):
            then()
            return
        now = clock.msec()
        self._barriers.add(self.generation, now, then)
        if self.dpif is not None:
            self._guarded(self.revalidator.hurry, now)
        self._answer_barriers(False)

    def _answer_barriers(self, lost: bool) -> None:
        unsure = self.dpif is None or self.revalidator.deleting
        passed = -1 if unsure else self.revalidator.reached
        now = clock.msec()
        if not self._barriers.is_due(passed, now, lost):
            return
        told = self.revalidator.n_changes
        if self.dpif is not None and told != self._synced:
            # What is in the workers' rings is to be done, too.
            self._guarded(lambda _now: self.dpif.sync(), now)
            if self._stalled is not None:
                return  # asked again when it answers
            self._synced = told
        due = self._barriers.take(passed, now, lost)
        for then in due:
            try:
                then()
            except Exception:
                containment.caught("barrier")

    @property
    def _is_idle(self) -> bool:
        """Whether nothing is known of what the datapath counts."""
        return self.dpif is None or self.held

    def _call_waiting(self) -> None:
        """Those whose time has come; without a datapath process there is nothing to wait for."""
        lost = self._is_idle and (
            self._stalled is None or clock.msec() >= self._stalled_at + COUNTERS_MS
        )
        if self._barriers:
            self._answer_barriers(lost or bool(self.revalidator.paused))
        self._counters.call(lost, self.dpif is not None)

    def _guarded(self, function: Callable[[int], Any], now: int) -> Any:
        try:
            return function(now)
        except OSError as error:
            self.take_error(error)
        return None

    def take_error(self, error: OSError) -> None:
        """What a request came to."""
        if isinstance(error, DpifError):
            vlog.warn(f"the datapath refuses: {error}")
        else:
            self._lost(error)

    # --- the daemon's rhythm

    def run(self, now: int | None = None) -> None:
        """Upcalls, revalidation, reconnection."""
        now = clock.msec() if now is None else now
        self.handler.heed_log()
        self.ports.forget_stats()
        self.disposal.run()
        if self.dpif is not None and getattr(self.dpif, "unanswered", None):
            self._pause()  # somebody else asked
        if self._stalled is not None:
            self._run_stalled(now)
            self._call_waiting()
            return
        if self.dpif is None:
            self._call_waiting()
            if not self.flows.forget_lost():
                self._reconnect(now)
            return
        self.dpif.upcall_awake()
        self._guarded(self.answer_upcalls, now)
        if self._hands_over and self.dpif is not None:
            self._guarded(self._hand_over, now)
        self.flows.inbox.run(now)
        if self.dpif is not None and not self.dpif.alive():
            self._lost()
        if not self.held:
            self._guarded(self.revalidator.run, now)
        if self._guarded(self.ports.run, now):
            self.need_revalidate()
        self._call_waiting()
        self.bonds.run(self.generation, self.revalidator.current)
        self.meters.run(self.revalidator.current, now)

    def answer_upcalls(self, now: int) -> int:
        """How many; neighbours that the packets' tunnels need are asked for.  Raises OSError."""
        handled = self.handler.run(now, self.courtesy.turn)
        self.flows.solicit(now)
        return handled

    def send_queued(self, now: int) -> bool:
        """Between rounds: what packets have made for peers, and for the journals.  Returns whether
        that was all."""
        sent = [bridge.send_queued(now) for bridge in self.bridges.values()]
        return all(sent)

    @property
    def is_settled(self) -> bool:
        """Whether no flow of the datapath is other than the tables say now."""
        return not len(self.flows) or self.revalidator.reached >= self.flows.generation.value

    def serve_waiting(self) -> None:
        """While peers' messages are handled: upcalls, if there are some, and what they have for the
        controllers."""
        if self.dpif is not None and not self.dpif.upcall_wait():
            self.server()

    def wait(self, poller: Any) -> None:
        """Wake up for upcalls, for the next revalidation, for the next try to reconnect."""
        self.disposal.wait(poller)
        if self._stalled is not None:
            self._wait_stalled(poller)
            return
        if self.dpif is None:
            if self.flows.forgetting:
                poller.immediate_wake()
            elif self._reopen is not None:
                poller.timer_wait_until(self._next_open)
            return
        pressing = self._is_pressing()
        rest = self.courtesy.rest() if self.handler.busy and not self.flows.inbox else 0
        if pressing or self.dpif is None:
            poller.timer_wait(rest)
        if self.dpif is None:
            return
        poller.fd_wait(self.dpif.fileno(), select.POLLIN)
        if rest:
            return  # that more upcalls come is no news
        self.courtesy.over()
        if not self.held:
            poller.fd_wait(self.dpif.upcall_fd, select.POLLIN)
            poller.timer_wait(self.revalidator.next_run(clock.msec()))
        asking = self.flows.underlay.asked.next_run()
        if asking is not None:
            poller.timer_wait_until(asking)
        after = self.bonds.wait() if self.revalidator.current else None
        if after is not None:
            poller.timer_wait(after)
        when = self.meters.next_run() if self.revalidator.current else None
        if when is not None:
            poller.timer_wait_until(when)
        if (busy := self.ports.next_run()) is not None:
            poller.timer_wait_until(busy)
        if pressing or self.held:
            return
        if hasattr(poller, "quick"):  # that of the daemon's main loop
            poller.quick(self.dpif.upcall_fd, self.server)

    def _is_pressing(self) -> bool:
        """Whether a round is to follow at once; upcalls that came meanwhile need none."""
        if self.handler.busy or self.flows.inbox:
            return True
        return not self.dpif.upcall_wait() and not self.server()

    def _wait_stalled(self, poller: Any) -> None:
        poller.fd_wait(self._stalled.fileno(), select.POLLIN)
        if self._stalled.upcall_fd >= 0:
            poller.fd_wait(self._stalled.upcall_fd, select.POLLIN)
        if not self._told:
            poller.timer_wait_until(self._stalled_at + WARN_MS)
        if self._counters or self._barriers:
            poller.timer_wait_until(self._stalled_at + COUNTERS_MS)
        if self.handler.busy or not self._stalled.upcall_wait():
            poller.immediate_wake()

    def close(self, keep: bool = True) -> None:
        """Disconnect.  `keep`: leave ports, flows and meters to the datapath process."""
        if self._follow_clock in clock.followers:
            clock.followers.remove(self._follow_clock)
        self.ports.close()
        if self._stalled is not None:
            self._stalled.close()
            self.flows.set_dpif(None)
        if self.dpif is None:
            return
        dpif, self.dpif = self.dpif, None
        if not keep:
            _empty(dpif)
        self.flows.set_dpif(None)
        dpif.close()


def _empty(dpif: Any) -> None:
    """Take away all that is in the datapath, when there is no loop any more that others wait for:
    not for long nevertheless, since whoever has us end waits."""
    end = time.monotonic() + EMPTYING

    def within(share: float, request: Callable[..., Any], *args: Any) -> Any:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, f"it takes more than {EMPTYING:.0f} s")
        dpif.patience = min(LONGEST, left / share)
        return request(*args)

    try:
        within(1, dpif.flow_flush)
        for port in within(1, dpif.port_dump):
            within(SLOWER, dpif.port_del, port.port_no)
        for meter in within(1, dpif.meter_dump):
            within(1, dpif.meter_del, meter.meter)
    except OSError as error:
        vlog.warn(f"emptying the datapath failed ({error})")
