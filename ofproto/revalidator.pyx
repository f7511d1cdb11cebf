"""Keeps the datapath's flows and the OpenFlow statistics right.

Three kinds of work, each done in bounded pieces by run():

- A round of statistics every `interval`: the datapath's flows are dumped, what has been counted
  since the last round is credited to rules, ports and MAC entries; idle flows go.
- When the generation rose (a table, port or setting changed), every flow is translated again;
  one whose result differs is changed or deleted.
- When a MAC entry came, moved or went, only the flows that watch it are translated again.  The
  flows *from* a station that moved are deleted, so that its next packet from the old place, if
  there is one, comes up and is learned from.

Flows found in a datapath that outlived vswitchd are translated from their key, and stay as they
are when that gives what they do already; nothing of them is touched before `ready`.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.flow cimport KEY_DP_SIZE, KEY_DP_WORDS, flow_key
from ofproto.flows cimport Flows, Ukey, same_actions
from ofproto.mac_learning cimport MacLearning
from ofproto.xbridge cimport XBridge

cdef enum:
    INTERVAL = 500
    MAX_IDLE = 10000        # ms, as other_config:max-idle
    CROWDED_IDLE = 100      # ms, while there are more flows than the limit
    STEP = 1000

COUNTS = ("rounds", "checked", "kept", "modified", "deleted", "idle", "adopted", "lost",
          "dpif_errors")


cdef class Revalidator:
    def __init__(self, Flows flows):
        self.flows = flows
        self.interval = INTERVAL
        self.max_idle = MAX_IDLE
        self.step = STEP
        self.queue = []
        self.orphans = []
        self.checked = flows.generation.value
        self.counts = dict.fromkeys(COUNTS, 0)

    def stats(self):
        """Counters since the start."""
        return dict(self.counts)

    def reset(self):
        """The datapath went away or came back: the round under way is void."""
        self.dump = None
        self.next_dump = 0
        self.queue = []

    def run(self, int64_t now):
        """A bounded piece of work; True when there is more to do at once."""
        if self.flows.dpif is None:
            return False
        self.run_macs(now)
        self.run_checks(now, self.step)
        if self.dump is None and now >= self.next_dump:
            self.begin_round(now)
        if self.dump is not None:
            self.run_dump(now, self.step)
        return self.next_run(now) == 0

    def next_run(self, int64_t now):
        """Milliseconds until run() should be called again; 0: at once."""
        cdef XBridge bridge
        if self.flows.dpif is None:
            return self.interval
        if self.dump is not None or self.queue or self.checked != self.flows.generation.value:
            return 0
        for bridge in self.flows.bridges:
            if bridge.mac.changed:
                return 0
        return max(0, self.next_dump - now)

    def sync(self, int64_t now):
        """A whole round at once: all flows are checked and credited when it returns."""
        if self.flows.dpif is None:
            return
        self.run_macs(now)
        self.run_checks(now, 1 << 30)
        self.begin_round(now)
        self.run_dump(now, 1 << 30)

    # --- statistics

    def begin_round(self, int64_t now):
        """Asks the datapath for its flows."""
        self.round += 1
        self.next_dump = now + self.interval
        self.counts["rounds"] += 1
        self.dump = iter(self.flows.dpif.flow_dump())

    cdef int run_dump(self, int64_t now, int budget) except -1:
        cdef int i
        for i in range(budget):
            try:
                info = next(self.dump, None)
            except BaseException:
                self.dump = None        # a round that broke off says nothing of flows not seen
                raise
            if info is None:
                self.dump = None
                return self.end_round(now)
            self.see(info, now)
        return 0

    cdef int see(self, info, int64_t now) except -1:
        cdef Ukey ukey = self.flows.find(info.ufid)
        cdef int64_t idle = self.max_idle
        if ukey is None:
            if self.ready:
                self.orphans.append(info)
            return 0
        ukey.round = self.round
        self.credit(ukey, info, now)
        if len(self.flows.by_ufid) > self.flows.flow_limit:
            idle = CROWDED_IDLE
        if info.actions != ukey.actions:
            # An installation on its way overtook a change, or somebody else made one.
            self.put(ukey, ukey.actions, now)
        if now - max(ukey.used, ukey.created) >= idle:
            self.counts["idle"] += 1
            self.delete(ukey, now)
        return 0

    cdef int credit(self, Ukey ukey, info, int64_t now) except -1:
        """What the datapath counted since it was last asked."""
        cdef uint64_t packets = info.packets, n_bytes = info.bytes
        cdef int64_t used = info.used
        if packets < ukey.packets:          # deleted and installed again meanwhile
            ukey.packets = ukey.n_bytes = 0
        if packets > ukey.packets:
            ukey.used = used or now
            if ukey.cache is not None:
                ukey.cache.credit(packets - ukey.packets, n_bytes - ukey.n_bytes, ukey.used, now)
            ukey.packets = packets
            ukey.n_bytes = n_bytes
        return 0

    cdef int end_round(self, int64_t now) except -1:
        """Forgets what the datapath has lost, ages MACs and states."""
        cdef Ukey ukey
        cdef XBridge bridge
        for ukey in list(self.flows.by_ufid.values()):
            if ukey.round != self.round and now - ukey.created > 2 * self.interval:
                self.counts["lost"] += 1
                self.flows.remove_ukey(ukey, now)
        self.run_orphans(now)
        for bridge in self.flows.bridges:
            bridge.mac.run(now)
        self.flows.recirc.expire(now)
        return 0

    # --- revalidation

    cdef int run_macs(self, int64_t now) except -1:
        cdef XBridge bridge
        cdef Ukey ukey
        for bridge in self.flows.bridges:
            for ukey, key, moved in bridge.mac.take_changed():
                if ukey.dead:
                    continue
                if moved and learns_elsewhere(ukey, bridge, key):
                    self.delete(ukey, now)
                else:
                    self.check(ukey, now)
        return 0

    cdef int run_checks(self, int64_t now, int budget) except -1:
        """Goes through all flows once for each generation that it sees."""
        cdef Ukey ukey
        cdef uint64_t generation = self.flows.generation.value
        if not self.queue and self.checked != generation:
            self.queue = list(self.flows.by_ufid.values())
            self.checked = generation
        while self.queue and budget:
            ukey = self.queue.pop()
            if not ukey.dead and ukey.generation != self.flows.generation.value:
                self.check(ukey, now)
                budget -= 1
        return 0

    cdef bint check(self, Ukey ukey, int64_t now) except -1:
        """Translates a flow anew; it stays, is changed, or deleted (False)."""
        cdef const flow_key *key = <const flow_key *> <const char *> ukey.key
        self.counts["checked"] += 1
        if not self.flows.translate(key, now):
            self.delete(ukey, now)
            return False
        if not mask_holds(ukey.mask, &self.flows.xlate.wc):
            self.delete(ukey, now)
            return False
        if same_actions(ukey, self.flows.xlate):
            self.counts["kept"] += 1
        elif not self.put(ukey, self.flows.xlate_actions(), now):
            return False
        self.flows.take_translation(ukey, now)
        return True

    cdef bint put(self, Ukey ukey, bytes actions, int64_t now) except -1:
        """Gives a flow other actions; False when the datapath refuses, then it is forgotten."""
        self.counts["modified"] += 1
        try:
            self.flows.dpif.flow_put(ukey.key, ukey.mask, actions, ufid=ukey.ufid)
        except OSError:
            self.counts["dpif_errors"] += 1
            self.flows.remove_ukey(ukey, now)
            return False
        return True

    cdef int delete(self, Ukey ukey, int64_t now) except -1:
        """Takes a flow out of the datapath, with its last packets credited."""
        self.counts["deleted"] += 1
        try:
            info = self.flows.dpif.flow_del(ukey.ufid)
            if info is not None:
                self.credit(ukey, info, now)
        except OSError:
            self.counts["dpif_errors"] += 1
        self.flows.remove_ukey(ukey, now)
        return 0

    # --- flows of an earlier vswitchd

    cdef int run_orphans(self, int64_t now) except -1:
        """Flows that nobody here knows.  First all of them teach the MAC tables where stations
        are: else those to stations that are not known yet would change to flooding."""
        cdef list orphans = self.orphans
        self.orphans = []
        orphans.sort(key=recirc_id_of)      # before the flows that they send round
        for info in orphans:
            if self.flows.translate(<const flow_key *> <const char *> (<bytes> info.key), now):
                self.flows.xlate.cache.learn(info.used or now)
        for info in orphans:
            if self.flows.find(info.ufid) is None:
                self.adopt(info, now)
        return 0

    cdef int adopt(self, info, int64_t now) except -1:
        """The flow stays when translation says of it what it does already."""
        cdef Ukey ukey = self.flows.add_ukey(info.ufid, info.key, info.mask, now)
        ukey.mask = self.flows.masks.setdefault(info.mask, info.mask)
        ukey.actions = info.actions
        ukey.packets = info.packets
        ukey.n_bytes = info.bytes
        ukey.used = info.used
        ukey.round = self.round
        if self.check(ukey, now):
            self.counts["adopted"] += 1
        return 0


def recirc_id_of(info):
    """Sorts flows that come from the wire first."""
    return (<const flow_key *> <const char *> (<bytes> info.key)).recirc_id != 0


cdef bint learns_elsewhere(Ukey ukey, XBridge bridge, key) except -1:
    """The flow comes from the station `key`, by another bundle than it is at now."""
    entry = bridge.mac.entries.get(key)
    if ukey.cache is None or entry is None:
        return False
    for learner, source, bundle in ukey.cache.learns or ():
        if learner is bridge and source == key and bundle is not entry.bundle:
            return True
    return False


cdef bint mask_holds(bytes installed, const flow_key *wanted) noexcept:
    """Each bit that the result depends on is matched by the installed mask."""
    cdef const uint64_t *have = <const uint64_t *> <const char *> installed
    cdef const uint64_t *want = <const uint64_t *> wanted
    cdef uint32_t i
    for i in range(KEY_DP_WORDS):
        if want[i] & ~have[i]:
            return False
    return True
