"""The MAC table of a bridge: (VLAN, MAC) -> bundle, with ageing, a size limit and moves.

Flows that depend on an entry watch its key, whether the entry is there or not; when it comes,
moves or goes, only these are checked again.

Where the table is full, the bundle with the most entries makes room: whoever makes up addresses on
one port pushes out nobody else's.

Static entries, which a user adds, do not age, move or make room for others.
"""

from pyvs import coverage

# Packets from a station that a static entry has elsewhere.
STATIC_MOVES = coverage.counter("mac_learning_static_none_move")
EVICTED = coverage.counter("mac_learning_evicted")
LEARNED = coverage.counter("mac_learning_learned")
EXPIRED = coverage.counter("mac_learning_expired")
MOVED = coverage.counter("mac_learning_moved")

cdef enum:
    DEFAULT_AGING = 300000      # ms
    DEFAULT_ENTRIES = 8192      # as ovs-vswitchd.conf.db(5) says
    MIN_ENTRIES = 10
    MAX_ENTRIES = 1000000
    ARP_LOCK = 5000             # ms, as ovs' bonding.rst says
    MAX_CHANGED = 50000         # (watcher, key) that are noted


cdef class MacEntry:
    """Where a station was heard last."""

    @property
    def vlan(self):
        """VLAN the station is in; 0 untagged."""
        return self.key >> 48

    @property
    def mac(self):
        """The address, 6 bytes."""
        return (self.key & 0xffffffffffff).to_bytes(6, "big")


cdef class Share:
    """Entries that were learned on one bundle, by last use."""


cdef class MacLearning:
    def __cinit__(self):
        self.shares = {}
        self.heap = []
        self.entries = {}
        self.statics = {}
        self.watchers = {}
        self.changed = []
        self.flood_vlans = set()
        self.aging = DEFAULT_AGING
        self.max_entries = DEFAULT_ENTRIES

    def __len__(self):
        return len(self.entries)

    # --- for translation

    cdef MacEntry lookup(self, uint64_t key):
        # Who was heard last sends, or is sent to, most often.
        if self.newest is not None and self.newest.key == key:
            return self.newest
        return <MacEntry> self.entries.get(key)

    cdef bint learn(self, uint64_t key, object bundle, int64_t now):
        """Heard `key` on `bundle`; True when that is new."""
        cdef MacEntry e = self.lookup(key)
        if e is None:
            if len(self.entries) >= self.max_entries:
                if self.oldest is None:
                    return False        # all of them are static
                self.evict()
            e = MacEntry()
            e.key = key
            self.entries[key] = e
            self.total_learned += 1
            LEARNED.count += 1
        elif e.static:
            if e.bundle is not bundle:
                STATIC_MOVES.count += 1
            return False
        elif e is not self.newest:
            self.unlink(e)
        e.expires = now + self.aging
        if e is not self.newest:
            self.touch_newest(e)
        if e.bundle is bundle:
            self.use_again(self.shares[bundle], e)
            return False
        moved = e.bundle is not None
        if moved:
            self.leave_share(e)
        self.total_moved += moved
        MOVED.count += moved
        e.bundle = bundle
        e.moved = now
        self.join_share(e)
        self.notify(key, moved)
        return True

    cdef int lock(self, uint64_t key, int64_t now) except -1:
        """The station told at `now` where it is: what comes back by a bond says nothing else."""
        cdef MacEntry e = self.entries.get(key)
        if e is not None:
            e.locked = now + ARP_LOCK
        return 0

    cdef watch(self, uint64_t key, watcher):
        """Tell `watcher` of each change of this key's entry."""
        found = self.watchers.get(key)
        if found is None:
            self.watchers[key] = watcher
        elif type(found) is set:
            (<set> found).add(watcher)
        elif found is not watcher:
            self.watchers[key] = {found, watcher}

    cdef unwatch(self, uint64_t key, watcher):
        found = self.watchers.get(key)
        if type(found) is set:
            (<set> found).discard(watcher)
            if not found:
                del self.watchers[key]
        elif found is watcher:
            del self.watchers[key]

    def take_changed(self):
        """The (watcher, key, moved) of all changes since the last call.

        Where there were `too_many` of them some are missing, and all watchers are to be checked.
        """
        self.too_many = False
        if not self.changed:
            return ()
        taken, self.changed = self.changed, []
        return taken

    cdef uint64_t n_changes(self) noexcept:
        return self.total_learned + self.total_expired + self.total_evicted + self.total_moved

    cdef bint has_changed(self) noexcept:
        return self.too_many or len(self.changed) != 0

    # --- the list by last use

    cdef void touch_newest(self, MacEntry e):
        e.older = self.newest
        e.newer = None
        if self.newest is not None:
            self.newest.newer = e
        else:
            self.oldest = e
        self.newest = e

    cdef void unlink(self, MacEntry e):
        if e.older is not None:
            e.older.newer = e.newer
        else:
            self.oldest = e.newer
        if e.newer is not None:
            e.newer.older = e.older
        else:
            self.newest = e.older
        e.older = e.newer = None

    cdef drop(self, MacEntry e):
        self.take_out(e)
        self.notify(e.key, False)

    cdef take_out(self, MacEntry e):
        if e.static:
            del self.statics[e.key]
        else:
            self.unlink(e)
            self.leave_share(e)
        del self.entries[e.key]

    cdef evict(self):
        """Takes out the least recently used one of the bundle that has most, a static one only
        where there is no other."""
        self.total_evicted += 1
        EVICTED.count += 1
        if self.heap:
            self.drop((<Share> self.heap[0]).oldest)
        else:
            self.drop(next(iter(self.statics.values())))

    cdef notify(self, object key, bint moved):
        found = self.watchers.get(key)
        if found is None or self.too_many:
            return
        if len(self.changed) + (len(<set> found) if type(found) is set else 1) > MAX_CHANGED:
            self.too_many = True
            self.changed.clear()
        elif type(found) is set:
            self.changed.extend([(watcher, key, moved) for watcher in <set> found])
        else:
            self.changed.append((found, key, moved))

    # --- shares: a heap, so that of equal ones the same makes room as in Open vSwitch

    cdef resize(self, Share share, int by):
        if not share.n:
            self.put(share, len(self.heap))
        share.n += by
        if by > 0:
            self.rise(share)
        else:
            self.sink(share)
        if not share.n:
            del self.shares[share.bundle]
            self.pull(share)

    cdef pull(self, Share share):
        """Takes the share out of the heap; the last one fills its place."""
        cdef Share last = self.heap.pop()
        if last is share:
            return
        self.put(last, share.at)
        self.rise(last)
        self.sink(last)

    cdef put(self, Share share, Py_ssize_t at):
        share.at = at
        if at == len(self.heap):
            self.heap.append(share)
        else:
            self.heap[at] = share

    cdef swap(self, Share one, Share other):
        cdef Py_ssize_t at = one.at
        self.put(one, other.at)
        self.put(other, at)

    cdef rise(self, Share share):
        cdef Share above
        while share.at:
            above = self.heap[(share.at - 1) // 2]
            if above.n >= share.n:
                return
            self.swap(share, above)

    cdef sink(self, Share share):
        cdef Share most
        cdef Py_ssize_t below = 2 * share.at + 1
        while below < len(self.heap):
            most = self.heap[below]
            if below + 1 < len(self.heap) and (<Share> self.heap[below + 1]).n > most.n:
                most = self.heap[below + 1]
            if most.n <= share.n:
                return
            self.swap(share, most)
            below = 2 * share.at + 1

    cdef join_share(self, MacEntry e):
        cdef Share share = self.shares.get(e.bundle)
        if share is None:
            share = self.shares[e.bundle] = Share()
            share.bundle = e.bundle
        self.append_to(share, e)
        self.resize(share, 1)

    cdef leave_share(self, MacEntry e):
        cdef Share share = self.shares[e.bundle]
        self.take_from(share, e)
        self.resize(share, -1)

    cdef void use_again(self, Share share, MacEntry e):
        if share.newest is not e:
            self.take_from(share, e)
            self.append_to(share, e)

    cdef void append_to(self, Share share, MacEntry e):
        e.share_older = share.newest
        e.share_newer = None
        if share.newest is not None:
            share.newest.share_newer = e
        else:
            share.oldest = e
        share.newest = e

    cdef void take_from(self, Share share, MacEntry e):
        if e.share_older is not None:
            e.share_older.share_newer = e.share_newer
        else:
            share.oldest = e.share_newer
        if e.share_newer is not None:
            e.share_newer.share_older = e.share_older
        else:
            share.newest = e.share_older
        e.share_older = e.share_newer = None

    # --- for the switch

    def set_aging(self, int seconds):
        """Idle time in seconds after which an entry goes (15 at least, as Open vSwitch)."""
        cdef MacEntry e = self.oldest
        cdef int64_t aging = max(15, min(seconds, 3600)) * 1000
        while e is not None:
            e.expires += aging - self.aging
            e = e.newer
        self.aging = aging

    def set_max_entries(self, int n):
        """Limit of the table's size; the least recently used go first."""
        self.max_entries = max(MIN_ENTRIES, min(n, MAX_ENTRIES))
        while len(self.entries) > self.max_entries:
            self.evict()

    def set_flood_vlans(self, vlans):
        """VLANs in which nothing is learned, so that everything floods."""
        cdef MacEntry e
        self.flood_vlans = set(vlans)
        for e in list(self.entries.values()):
            if e.vlan in self.flood_vlans and not e.static:
                self.drop(e)

    def run(self, int64_t now):
        """Takes out what has aged."""
        while self.oldest is not None and self.oldest.expires <= now:
            self.total_expired += 1
            EXPIRED.count += 1
            self.drop(self.oldest)

    def next_expiry(self):
        """When run() has something to do, ms; None: never."""
        return None if self.oldest is None else self.oldest.expires

    def flush(self):
        """Forgets everything that was learned."""
        while self.oldest is not None:
            self.drop(self.oldest)

    def flush_bundle(self, bundle):
        """Forgets all of a bundle, which goes: static entries, too."""
        cdef MacEntry e
        for e in list(self.entries.values()):
            if e.bundle is bundle:
                self.drop(e)

    def keys_of(self, *bundles):
        """What of these bundles has been learned, or given; for forget()."""
        cdef MacEntry e
        cdef frozenset wanted = frozenset(bundles)
        return [e.key for e in self.entries.values() if e.bundle in wanted]

    def forget(self, keys):
        """Forgets these stations, where they were learned: static entries stay."""
        cdef MacEntry e
        for key in keys:
            e = self.entries.get(key)
            if e is not None and not e.static:
                self.drop(e)

    def add(self, uint64_t vlan, bytes mac, bundle, int64_t now):
        """Learns an address as if it had been heard just now."""
        return self.learn(vlan << 48 | int.from_bytes(mac, "big"), bundle, now)

    def add_static(self, uint64_t vlan, bytes mac, bundle, int64_t now):
        """Puts an address on a bundle for good.  Returns the entry that it takes the place of, if
        that said something else, or None."""
        cdef uint64_t key = vlan << 48 | <uint64_t> int.from_bytes(mac, "big")
        cdef MacEntry old = self.entries.get(key)
        cdef MacEntry e
        if old is not None:
            if old.static and old.bundle is bundle:
                return None
            self.take_out(old)
        elif len(self.entries) >= self.max_entries:
            self.evict()
        e = MacEntry()
        e.key = key
        e.bundle = bundle
        e.moved = now
        e.static = True
        self.entries[key] = self.statics[key] = e
        self.notify(key, old is not None and old.bundle is not bundle)
        return old

    def remove_static(self, uint64_t vlan, bytes mac):
        """Takes out a static entry; False where there is none."""
        e = self.statics.get(vlan << 48 | int.from_bytes(mac, "big"))
        if e is None:
            return False
        self.drop(e)
        return True

    def clear_statistics(self):
        """All totals from 0 on."""
        self.total_learned = self.total_expired = self.total_evicted = self.total_moved = 0

    def find(self, uint64_t vlan, bytes mac):
        """The entry, or None."""
        return self.entries.get(vlan << 48 | int.from_bytes(mac, "big"))

    def rows(self, int64_t now):
        """Iterator of what there is now: (bundle name, VLAN, MAC text, age in s), the age of static
        entries being None; first the least recently used one, or static one added."""
        cdef MacEntry e = self.oldest
        cdef list statics = list(self.statics.values())
        cdef list found = []
        cdef Py_ssize_t n = 0
        while e is not None:
            while n < len(statics) and (<MacEntry> statics[n]).moved < e.expires - self.aging:
                found.append(statics[n])
                n += 1
            found.append(e)
            e = e.newer
        for e in found + statics[n:]:
            # One that was used since is as young as can be.
            age = None if e.static else max(0, self.aging - (e.expires - now)) // 1000
            yield e.bundle.name, e.vlan, e.mac.hex(":"), age
