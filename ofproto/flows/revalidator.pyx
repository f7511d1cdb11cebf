"""Keeps the datapath's flows and the OpenFlow statistics right.

Three kinds of work, each done in bounded pieces by run():

- A round of statistics every `interval`, or when somebody asks: the datapath's flows that were used
  since the last one are dumped, what has been counted is credited to rules, ports and MAC entries;
  idle flows go.
- When the generation rose (a table, port or setting changed), every flow is translated again;
  one whose result differs is changed or deleted.
- When a MAC entry came, moved or went, only the flows that watch it are translated again.  The
  flows *from* a station that moved are deleted, so that its next packet from the old place, if
  there is one, comes up and is learned from.

Packets belong to the rules that they matched: where a change gives a flow other rules, the datapath
says how much it had counted before (earlier_packets), and that is credited to the rules it had.

Flows found in a datapath that outlived vswitchd are translated from their key, and stay as they
are when that gives what they do already; nothing of them is touched before `ready`.

Changes go down by a ring, deletions are gathered: a request to the datapath process for each
flow would take a hundred times as long as the translation.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from datapath.ipc.flow_records cimport FlowRecords, flow_record
from datapath.key.flow cimport KEY_DP_WORDS, KEY_PACKET_WORDS, flow_key
from ofproto.flows.flows cimport Flows, same_actions
from ofproto.flows.ukeys cimport Ukey, UkeyTable
from ofproto.rules.classifier cimport Rule
from ofproto.xlate.bridges.xbridge cimport XBridge

from datapath.ipc.dpif import DpifError, DpifStalled
from datapath.ipc.protocol import terse_record
from ofproto.flows import debug_log
from pyvs import containment, coverage

cdef enum:
    INTERVAL = 500
    MAX_IDLE = 10000        # ms, as other_config:max-idle
    CROWDED_IDLE = 100      # ms, while there are more flows than the limit
    STEP = 500
    WHOLE = 4000            # ms between rounds of which one compares actions, too
    SOON = 100              # ms between two rounds at least, unless somebody asks
    GRACE = 1000            # ms that a new flow may be on its way into the datapath
    DELETION = 2            # units of work,
    DROPPED = 16            # and one more for so many effects of the flow
    SWEPT = 64              # flows looked at for one unit of work
    WORK = 64               # of translation for one unit
    MAX_MOVED = 50000       # flows to look at because of MAC entries
    LEISURE = 100           # ms from one look at all flows to the next, where hurry() did what it must
    MOST_COMPARED = 50000   # flows with changed rules, in one hurry(): some milliseconds
    LEAST_LIMIT = 1000      # flows, whatever a round takes
    FOREVER = 1 << 30

COUNTS = ("rounds", "checked", "kept", "modified", "deleted", "idle", "adopted", "lost",
          "dpif_errors", "max_flows", "avg_flows", "round_ms")

MANY_MOVES = coverage.counter("revalidate_many_moves")
REFUSED = coverage.counter("revalidate_refused")
# Why flows are looked at, under Open vSwitch's names.
REASONS = {
    why: coverage.counter(f"rev_{why}")
    for why in ("reconfigure", "stp", "rstp", "bond", "port_toggled", "flow_table", "mac_learning",
                "mcast_snooping")
}


cdef class Revalidator:
    def __init__(self, Flows flows):
        self.flows = flows
        self.interval = INTERVAL
        self.max_idle = MAX_IDLE
        self.step = STEP
        self.queue = []
        self.moved = []
        self.doomed = []
        self.checked = self.passed = flows.generation.value
        self.counts = dict.fromkeys(COUNTS, 0)

    @property
    def ready(self):
        """The configuration is whole: what it does not want in the datapath may go."""
        return self._ready

    @ready.setter
    def ready(self, bint ready):
        self._ready = ready
        self.next_round = self.next_whole = 0

    @property
    def current(self):
        """Every flow says what the tables say now, as far as is known here."""
        return bool(self._ready and self.flows.settled and not self.queue and not self.doomed
                    and self.checked == self.flows.generation.value)

    @property
    def deleting(self):
        """There are flows that the datapath was told, or is to be told, to delete, and may have."""
        return bool(self.doomed)

    @property
    def reached(self):
        """No flow is other than the tables said at this generation, or a later one."""
        return max(self.passed, self.hurried)

    @property
    def n_changes(self):
        """Rises with whatever the datapath is told."""
        return self.counts["modified"] + self.counts["deleted"] + self.counts["dpif_errors"]

    def stats(self):
        """Counters since the start."""
        return dict(self.counts)

    def reset(self):
        """The datapath went away or came back: the round under way is void."""
        self.work = None
        self.next_round = self.next_whole = self.counted = 0
        self.queue = []
        self.moved = []
        self.doomed = []
        self.wanted = self.collected = self.dumped = self.round
        self.passed = self.checked

    def run(self, int64_t now):
        """A bounded piece of work; True when there is more to do at once."""
        if self.flows.dpif is None or self.paused:
            return False
        self.run_some(now, self.step)
        return self.next_run(now) == 0

    cdef int run_some(self, int64_t now, int budget) except -1:
        self.begin(now)
        try:
            self.run_macs(budget)
            self.run_checks(budget)
            self.run_round(budget)
        finally:
            self.delete_doomed()
        self.collected = self.dumped
        return 0

    def next_run(self, int64_t now):
        """Milliseconds until run() should be called again; 0: at once."""
        cdef XBridge bridge
        if self.flows.dpif is None or self.paused:
            return self.interval
        if self.blocked:
            return 1
        if self.work is not None or self.queue or self.moved or self.wanted > self.round:
            return 0
        for bridge in self.flows.bridges:
            if bridge.mac.has_changed():
                return 0
        return min(self.pass_in(now), max(0, self.next_round - now))

    cdef int64_t pass_in(self, int64_t now) noexcept:
        """Milliseconds until all flows are to be looked at."""
        if self.checked == self.flows.generation.value:
            return FOREVER
        if self.hurried < self.flows.generation.value:
            return 0
        return max(0, min(self.next_pass - now, LEISURE))

    def collect(self):
        """Has what the datapath has counted by now credited: it is once `collected` has reached the
        number that this returns.  Requests that come together share a round."""
        if self.flows.dpif is None:
            return self.collected
        self.wanted = self.round + 1
        return self.wanted

    def sync(self, int64_t now):
        """A whole round at once: all flows are checked and credited when it returns."""
        if self.flows.dpif is None:
            return
        self.next_pass = self.next_round = self.next_sweep = now
        self.work = None
        self.run_some(now, FOREVER)

    def sync_pieces(self, clock):
        """The same piece by piece, as a generator, between which others may call run(); `clock()`
        gives ms."""
        cdef uint64_t generation = self.flows.generation.value
        # A round that is under way comes to its end: somebody else may wait for it.
        self.next_pass = self.next_round = self.next_sweep = clock()
        wanted = self.wanted = self.round + 1
        while self.flows.dpif is not None and (
                self.round < wanted or self.reached < generation or self.moved
                or (self.round == wanted and self.work is not None)):
            self.run_some(clock(), self.step)
            yield

    def begin(self, int64_t now):
        """What a run() starts with."""
        self.now = now
        self.blocked = False
        self.verbose = debug_log.wanted()

    # --- statistics

    cdef int run_round(self, int budget) except -1:
        """Goes on with the round, or begins one when it is time."""
        if self.work is None:
            if self.now < self.next_round and self.wanted <= self.round:
                return 0
            if not self._ready and not self.flows.settle():
                self.next_round = self.now + self.interval
                self.collected = self.dumped = self.round = max(self.round, self.wanted)
                return 0
            self.begin_next()
        try:
            while budget > 0:
                done = next(self.work, None)
                if done is None:
                    self.work = None
                    self.round_over()
                    # A long round makes the pause longer: half of the time is for packets.
                    self.next_round = max(self.started + self.interval,
                                          2 * self.now - self.started)
                    return 0
                budget -= <int> done
        except BaseException:
            self.work = None        # a round that broke off says nothing of flows not seen
            self.next_round = self.now + self.interval
            self.counted = 0
            raise
        return 0

    cdef int begin_next(self) except -1:
        cdef bint whole = not self.flows.settled or self.now >= self.next_whole
        cdef bint sweeping = whole or self.now >= self.next_sweep
        self.keyed = whole and (not self.flows.settled or self.unknown)
        if self.keyed:
            self.unknown = False
        if whole:
            self.next_whole = self.now + WHOLE
        if sweeping:
            self.next_sweep = self.now + self.interval
        self.round += 1
        self.n_seen = 0
        self.started = self.now
        self.counts["rounds"] += 1
        self.work = self.steps(whole, sweeping)
        return 0

    cdef int round_over(self) except -1:
        """What upcall/show tells of rounds; the average forgets half with each round."""
        cdef int64_t n = len(self.flows)
        self.counts["max_flows"] = max(self.counts["max_flows"], n)
        self.counts["avg_flows"] = (self.counts["avg_flows"] + n) // 2
        self.counts["round_ms"] = self.now - self.started
        if self.verbose:
            debug_log.dumped(self.flows)
        return self.adapt_limit(max(1, self.now - self.started))

    cdef int adapt_limit(self, int64_t duration) except -1:
        """As many flows as a round of about a second can go through (as Open vSwitch does)."""
        cdef int64_t limit = self.flows.flow_limit
        if duration > 2000:
            limit = limit * 1000 // duration
        elif duration > 1300:
            limit = limit * 3 // 4
        elif duration < 1000 and limit < len(self.flows) * 1000 // duration:
            limit += 1000
        self.flows.flow_limit = <uint32_t> min(self.flows.max_flows, max(limit, LEAST_LIMIT))
        return 0

    def steps(self, bint whole, bint sweeping):
        """A round, as a generator of the units of work that each step took.

        A whole one is shown all flows, with their actions, and finds which are not there any more;
        others are shown those that were used since the last one.  Keys, which are most of a flow's
        bytes, are asked for when there is somebody to adopt.
        """
        cdef XBridge bridge
        cdef list orphans = []
        cdef dict lost = dict(self.flows.credited) if whole else {}
        cdef bint is_complete
        cdef int64_t since = 0 if whole else self.counted
        cdef int64_t began = max(0, self.now - 1)
        self.strange = False
        # Nothing else happens to the flows while a piece is looked at: it would be out of date.
        for piece in self.flows.dpif.flow_pieces(terse=not whole, since=since, keys=self.keyed):
            yield self.see_piece(piece, orphans)
        self.counted = began
        if self.strange:
            self.unknown = True
            self.next_whole = min(self.next_whole, self.started + self.interval)
        is_complete = not (self.strange and self._ready and self.wanted >= self.round)
        if not is_complete:
            # They have counted, too: who waits is answered after a round that adopts them.
            self.next_whole = self.now
            self.wanted = max(self.wanted, self.round + 1)
        elif not orphans:
            self.dumped = self.round
        if whole and self.n_seen < self.flows.table.n:
            yield from self.sweep_lost()
        if sweeping:
            yield from self.sweep_idle()
        yield from self.take_over(orphans)
        if is_complete:
            self.dumped = self.round
        yield from self.forget_credited(lost)
        for bridge in self.flows.bridges:
            bridge.mac.run(self.now)
            if bridge.snooping is not None and bridge.snooping.run(self.now):
                bridge.touch("mcast_snooping")
        self.flows.recirc.expire(self.now)

    def forget_credited(self, dict lost):
        """Of flows that were lost before the round began, and did not turn up in it; a unit of work
        at a time, as steps()."""
        cdef uint32_t done = 0
        for ufid, counted in lost.items():
            if self.flows.credited.get(ufid) is counted:
                del self.flows.credited[ufid]
            done += 1
            if done % SWEPT == 0:
                yield 1

    cdef int see_piece(self, FlowRecords piece, list orphans) except -1:
        cdef const flow_record *info
        cdef Ukey ukey
        cdef int units = 1
        while True:
            info = piece.next()
            if info is NULL:
                return units
            ukey = self.flows.table.find(info.ufid)
            if ukey is not None:
                units += self.see(ukey, piece, info)
            elif self.keyed and self._ready:
                orphans.append(piece.info())
            else:
                self.strange = True

    cdef int see(self, Ukey ukey, FlowRecords piece, const flow_record *info) except -1:
        if ukey.doomed:
            return 1
        self.n_seen += ukey.round != self.round
        ukey.round = self.round
        self.credit(ukey, info)
        if not piece.terse and (<Py_ssize_t> info.actions_size != len(ukey.actions) or memcmp(
                piece.actions(), <const char *> ukey.actions, info.actions_size)):
            # An installation on its way overtook a change, or somebody else made one.
            self.put(ukey, ukey.actions)
        return 1

    def sweep_lost(self):
        """Behind a whole dump: flows that it did not have.  A generator as steps()."""
        cdef uint32_t swept = 0
        for ukey in self.flows.table.values():
            swept += 1
            units = self.miss(ukey)
            if units or swept % SWEPT == 0:
                yield units + 1

    cdef int miss(self, Ukey ukey) except -1:
        if (ukey.dead or ukey.doomed or ukey.round == self.round
                or ukey.created >= self.started - GRACE):
            return 0
        self.counts["lost"] += 1
        self.flows.lose_ukey(ukey, self.now)
        return 1

    def sweep_idle(self):
        """Flows that may be idle.  A generator as steps()."""
        cdef UkeyTable table = self.flows.table
        cdef int64_t first = table.first_day
        cdef uint32_t swept = 0
        cdef bint over = False
        try:
            for ukey in table.unused_since(self.now - self.idle_time()):
                swept += 1
                units = self.expire(ukey)
                if units or swept % SWEPT == 0:
                    yield units + 1
            over = True
        finally:
            if not over:        # the next one is to be given them as well
                table.first_day = min(table.first_day, first)

    cdef int64_t idle_time(self) noexcept:
        return CROWDED_IDLE if self.flows.table.n > self.flows.flow_limit else self.max_idle

    cdef int expire(self, Ukey ukey) except -1:
        if ukey.dead or ukey.doomed:
            return 0
        if self.now - max(ukey.used, ukey.created) < self.idle_time():
            self.flows.table.keep(ukey)     # there may be less of a crowd than when it was given
            return 0
        self.counts["idle"] += 1
        return self.delete(ukey)

    cdef int credit(self, Ukey ukey, const flow_record *info) except -1:
        """What the datapath counted since it was last asked."""
        cdef uint64_t packets = info.n_packets, n_bytes = info.n_bytes
        cdef int64_t used = info.used
        if packets < ukey.packets:          # deleted and installed again meanwhile
            ukey.packets = ukey.n_bytes = 0
        if packets > ukey.packets:
            ukey.used = used or self.now
            self.flows.table.renew(ukey, max(ukey.used, ukey.created))
        if ukey.previous is not None:
            self.credit_previous(ukey, info)
        # An adopted one whose change waits for room in the ring is nobody's yet: they wait, too.
        if packets > ukey.packets and ukey.cache is not None:
            ukey.cache.credit(packets - ukey.packets, n_bytes - ukey.n_bytes, ukey.used)
            ukey.cache.finish_tcp(info.tcp_flags)
            ukey.packets = packets
            ukey.n_bytes = n_bytes
        return 0

    cdef int credit_previous(self, Ukey ukey, const flow_record *info) except -1:
        """The part of it that was counted before the last change."""
        cdef uint64_t earlier = info.earlier_packets, n_bytes = info.earlier_bytes
        cdef bint changed = earlier >= ukey.packets
        if not changed:                     # the change is on its way
            earlier, n_bytes = info.n_packets, info.n_bytes
        if earlier > ukey.packets:
            ukey.previous.count(earlier - ukey.packets, n_bytes - ukey.n_bytes, ukey.used)
            ukey.packets = earlier
            ukey.n_bytes = n_bytes
        if changed:
            self.flows.drop_cache(ukey.previous, None, self.now)
            ukey.previous = None
        return 0

    # --- revalidation

    cdef int run_macs(self, int budget) except -1:
        """Checks the flows that watch MAC entries which changed."""
        cdef XBridge bridge
        cdef Ukey ukey
        cdef bint overflow = False
        cdef uint64_t changes = 0
        for bridge in self.flows.bridges:
            changes += bridge.mac.n_changes()
            overflow = overflow or bridge.mac.too_many
            for ukey, key, moved in bridge.mac.take_changed():
                self.moved.append((ukey, bridge, key, moved))
        if changes != self.mac_changes:
            self.mac_changes = changes
            REASONS["mac_learning"].count += 1
        if overflow or len(self.moved) > MAX_MOVED:
            # So many that all flows may as well be looked at.
            self.moved.clear()
            self.flows.generation.touch("mac_learning")
            MANY_MOVES.count += 1
        while self.moved and budget > 0 and not self.blocked:
            ukey, bridge, key, moved = self.moved.pop()
            if ukey.dead or ukey.doomed:
                continue
            # A flow in use is to learn at once that the station is back, others with its counters.
            if moved and ukey.packets and learns_elsewhere(ukey, bridge, key):
                budget -= self.delete(ukey)
            else:
                budget -= self.check(ukey)
                if self.blocked:
                    self.moved.append((ukey, bridge, key, moved))
        return 0

    cdef int run_checks(self, int budget) except -1:
        """Goes through all flows once for each generation that it sees."""
        cdef Ukey ukey
        cdef uint64_t generation = self.flows.generation.value
        if not self.queue and not self.pass_in(self.now):
            self.next_pass = self.now + LEISURE
            self.queue = self.flows.table.values()
            self.checked = generation
            for why in self.flows.generation.take_reasons() if self.flows.bridges else ():
                REASONS[why].count += 1
        while self.queue and budget > 0 and not self.blocked:
            ukey = self.queue.pop()
            if not ukey.dead and not ukey.doomed and ukey.generation != self.flows.generation.value:
                budget -= self.check(ukey)
                if self.blocked:
                    self.queue.append(ukey)
        if not self.queue:
            self.passed = self.checked
        return 0

    def hurry(self, int64_t now):
        """Somebody waits for the flows to be what the tables say: those that may not be are
        checked at once, where it is known which they are and they are few (see `reached`)."""
        cdef uint64_t generation = self.flows.generation.value
        cdef int budget = self.step
        if self.reached >= generation or self.flows.dpif is None or self.paused:
            return
        changes = self.flows.generation.since(self.reached)
        if changes is None or len(changes) * self.flows.table.n > MOST_COMPARED:
            return
        self.begin(now)
        try:
            for ukey in self.touched(changes):
                budget -= self.check(ukey)
                if self.blocked or budget <= 0:
                    return
            self.hurried = generation
        finally:
            self.delete_doomed()

    cdef list touched(self, list changes):
        """The flows that any of the changed rules may be for."""
        cdef Ukey ukey
        cdef Rule rule
        cdef uint64_t value
        cdef list found = []
        for value, table, rule in changes:
            for ukey in self.flows.table.values():
                if ukey.generation < value and not ukey.dead and not ukey.doomed \
                        and may_meet(ukey, table, rule):
                    found.append(ukey)
        return found

    cdef int check(self, Ukey ukey) except -1:
        """Translates a flow anew; it stays, is changed, or deleted.  The units of work."""
        cdef int units
        self.counts["checked"] += 1
        self.flows.xlate.work = 0
        try:
            good = self.retranslate(ukey)
        except Exception:
            containment.caught("revalidation", ukey.ufid.hex())
            good = False
        units = 1 + <int> (self.flows.xlate.work // WORK)
        return units if good else units + self.delete(ukey)

    cdef bint retranslate(self, Ukey ukey) except -1:
        """False: the flow has to go."""
        cdef const flow_key *key = <const flow_key *> <const char *> ukey.key
        cdef bint same, credits_same
        if (not self.flows.translate(key, self.now)
                or not mask_holds(ukey.mask, &self.flows.xlate.wc)):
            return False
        self.flows.slow_down()
        same = same_actions(ukey, self.flows.xlate)
        credits_same = ukey.cache is None or ukey.cache.credits_same(self.flows.xlate.cache)
        if same:
            self.counts["kept"] += 1
        if not credits_same:
            # Counters tell of one change only: they are to be read before there is another.
            self.next_round = min(self.next_round, max(self.now, self.started + SOON))
        # The datapath notes its counters with each change: those so far are the old rules'.
        if not (same and credits_same) and not self.put(ukey, self.flows.xlate_actions()):
            return True
        self.flows.take_translation(ukey, self.now)
        return True

    cdef bint put(self, Ukey ukey, bytes actions) except -1:
        """Gives a flow other actions; False when the datapath refuses, then it is forgotten, or
        takes no more changes for the moment."""
        try:
            if not self.flows.change(ukey, actions):
                self.blocked = True
                return False
        except DpifError:
            self.counts["dpif_errors"] += 1
            REFUSED.count += 1
            self.flows.lose_ukey(ukey, self.now)
            return False
        self.counts["modified"] += 1
        if self.verbose:
            debug_log.changed("put[modify]", ukey.ufid, ukey.key, ukey.mask, actions)
        return True

    cdef int delete(self, Ukey ukey) except -1:
        """Has a flow deleted at the end of this run(); the units of work."""
        ukey.doomed = True
        self.doomed.append(ukey)
        return DELETION + (<int> ukey.cache.n // DROPPED if ukey.cache is not None else 0)

    cdef int delete_doomed(self) except -1:
        """Takes flows out of the datapath, with their last packets credited."""
        cdef Ukey ukey
        cdef list doomed = self.doomed
        if not doomed:
            return 0
        self.doomed = []
        self.counts["deleted"] += len(doomed)
        try:
            gone = self.flows.dpif.flow_del_many([ukey.ufid for ukey in doomed])
        except DpifError:
            self.counts["dpif_errors"] += 1
            REFUSED.count += 1
            for ukey in doomed:
                self.flows.lose_ukey(ukey, self.now)
            return 0
        except DpifStalled:             # asked again when it answers, with what they have counted
            self.counts["deleted"] -= len(doomed)
            self.doomed = doomed + self.doomed
            raise
        self.credit_gone(gone)
        for ukey in doomed:
            if self.verbose:
                debug_log.changed("delete", ukey.ufid, ukey.key, ukey.mask)
            self.flows.remove_ukey(ukey, self.now)
        return 0

    cdef int credit_gone(self, FlowRecords gone) except -1:
        cdef const flow_record *info
        cdef Ukey ukey
        while True:
            info = gone.next()
            if info is NULL:
                return 0
            ukey = self.flows.table.find(info.ufid)
            if ukey is not None and not ukey.dead:
                self.credit(ukey, info)

    # --- flows of an earlier vswitchd

    def take_over(self, orphans):
        """Flows that nobody here knows; a generator as steps().

        First all of them teach the MAC tables where stations are: else those to stations that are
        not known yet would change to flooding.  Packets sent round are known only after the flow
        that sends them.
        """
        known = []
        while orphans:
            rest = []
            for info in orphans:
                (known if self.teach(info) else rest).append(info)
                yield 1
            orphans, stuck = rest, len(rest) == len(orphans)
            if stuck:
                break
        for info in known + orphans:
            if self.flows.find(info.ufid) is None:
                yield self.adopt(info)
        if self._ready:
            self.flows.settled = True

    cdef bint teach(self, info) except -1:
        """Learns from a flow's packets; False when they come from nowhere that is known."""
        if not self.flows.translate(<const flow_key *> <const char *> (<bytes> info.key), self.now):
            return False
        self.flows.xlate.cache.learn(info.used or self.now)
        return True

    cdef int adopt(self, info) except -1:
        """The flow stays when translation says of it what it does already; what it has counted
        under these actions, and nobody was credited with yet, is its rules'."""
        cdef bytes ufid = info.ufid
        cdef Ukey ukey = self.flows.add_ukey(<const uint8_t *> <const char *> ufid, info.key, info.mask,
                                             self.now)
        cdef FlowRecords record = FlowRecords(terse_record(info), True)
        cdef int work
        ukey.mask = self.flows.masks.setdefault(info.mask, info.mask)
        ukey.actions = info.actions
        ukey.packets, ukey.n_bytes = max(
            self.flows.credited.pop(info.ufid, (0, 0)), (info.earlier_packets, info.earlier_bytes))
        ukey.used = info.used
        ukey.round = self.round
        work = self.check(ukey)
        if self.blocked:
            self.queue.append(ukey)
        if not ukey.doomed and not ukey.dead:
            self.credit(ukey, record.next())
            self.counts["adopted"] += 1
        return work


cdef bint learns_elsewhere(Ukey ukey, XBridge bridge, key) except -1:
    """The flow comes from the station `key`, by another bundle than it is at now."""
    entry = bridge.mac.entries.get(key)
    if ukey.cache is None or entry is None:
        return False
    bundle = ukey.cache.learned_at(bridge, key)
    return bundle is not None and bundle is not entry.bundle


cdef bint may_meet(Ukey ukey, table, Rule rule) noexcept:
    """Whether a lookup of a packet of this flow may find the rule, or could before it went.

    It cannot where the flow's packets have a bit, which its mask has and no lookup saw rewritten,
    that is another one in the rule's match.  (The first word has in_port, which stands for another
    number there.)
    """
    cdef const uint64_t *key = <const uint64_t *> <const char *> ukey.key
    cdef const uint64_t *mask = <const uint64_t *> <const char *> ukey.mask
    cdef uint64_t rewritten
    cdef uint32_t i, word
    if ukey.cache is None:
        return True
    if not ukey.cache.asked(table):
        return False
    rewritten = ukey.cache.rewritten | 1
    for i in range(rule.shape.n):
        word = rule.shape.index[i]
        if (word < KEY_PACKET_WORDS and not rewritten >> word & 1
                and (key[word] ^ rule.node.values[i]) & mask[word] & rule.shape.mask[i]):
            return False
    return True


cdef bint mask_holds(bytes installed, const flow_key *wanted) noexcept:
    """Each bit that the result depends on is matched by the installed mask."""
    cdef const uint64_t *have = <const uint64_t *> <const char *> installed
    cdef const uint64_t *want = <const uint64_t *> wanted
    cdef uint32_t i
    for i in range(KEY_DP_WORDS):
        if want[i] & ~have[i]:
            return False
    return True
