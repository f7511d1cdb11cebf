"""Rules of an OpenFlow table, and tuple space search over them.

All rules with one mask stand in one subtable (subtable.pyx), a hash table over the masked words of
the key.  A lookup asks the subtables in order of their highest priority and stops where none that
follows can beat what was found.

Rules that are alternatives of a conjunctive match are gathered on the way, and looked at where no
rule of its own is above them (conjunctive.pyx).

A transaction (view.pyx) makes its changes in a version of the table that nobody else sees: its rules
are in the subtables, what it removes stays there, and a lookup passes over what is not of its
version.  So all of its changes are there, or gone, at once.  Masks may meanwhile have bits for the
sake of rules that are not seen: they are more exact than they need be, not less.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

from datapath.key.flow cimport KEY_SIZE, KEY_WORDS, flow_key
from ofproto.rules.conjunctive cimport (
    soft_complete, soft_descend, soft_free, soft_init, soft_set, soft_top,
)
from ofproto.rules.node cimport NEVER, is_seen, rule_node
from ofproto.rules.prefix cimport prefix_add, prefix_free, prefix_remove, prefix_trie
from ofproto.rules.raw_instructions cimport RawInstructions
from ofproto.rules.shape cimport Shape, key_and_mask, masked_values, shape_of
from ofproto.rules.subtable cimport (
    L3_TRIES_END, N_TRIES, TRIE_AT, TUNNEL_TRIES_END, SubtableObject, search, subtable,
    subtable_grow, subtable_place, subtable_stages,
)
from ofproto.rules.typed cimport said_mask

cdef extern from "arpa/inet.h" nogil:
    uint32_t htonl(uint32_t)

# Of those that a table may ask for, and of those that it asks for where nothing is said.
TRIE_NAMES = ("tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst",
              "ip_src", "ip_dst", "ipv6_src", "ipv6_dst")
USUAL_TRIES = TRIE_NAMES[TUNNEL_TRIES_END:]
cdef uint32_t PORT_TRIES = (1 << N_TRIES) - (1 << L3_TRIES_END)
cdef enum:
    CHUNK_BITS = 14         # of a rule's age: so many rules are kept in one dict


cdef object _TO_BE_PLACED = object()


cdef Rule placed_rule(Shape shape, const uint64_t *key, int32_t priority):
    cdef Rule rule = Rule.__new__(Rule, _TO_BE_PLACED)
    rule.place(shape, key, priority)
    return rule


@cython.trashcan(True)      # heirs are a chain as long as a controller likes
cdef class Rule:
    def __cinit__(self, match, int priority=0x8000, *, int table_id=0, uint64_t cookie=0,
                  actions=None, Program program=None, int idle_timeout=0, int hard_timeout=0,
                  int importance=0, uint32_t flags=0, int64_t now=0, tuple options=()):
        self.options = options
        if match is not _TO_BE_PLACED:
            if not isinstance(match, tuple):
                self.options = match.options
            key, mask = key_and_mask(match)
            self.place(shape_of(mask), <const uint64_t *> <const char *> (<bytes> key), priority)
        self.table_id = table_id
        self.cookie = cookie
        self.said = actions
        self.set_program(program)
        self.idle_timeout = idle_timeout
        self.hard_timeout = hard_timeout
        self.importance = importance
        self.flags = flags
        self.created = self.modified = self.used = now

    def __dealloc__(self):
        free(self.node.values)

    cdef int place(self, Shape shape, const uint64_t *key, int32_t priority) except -1:
        """What it matches; once, before anything else is done with it."""
        self.shape = shape
        self.node.values = <uint64_t *> malloc((shape.n + 1) * sizeof(uint64_t))
        if self.node.values is NULL:
            raise MemoryError
        self.node.hash = masked_values(shape, key, self.node.values)
        self.node.priority = self.priority = priority
        self.node.rule = <void *> self
        self.node.removed = NEVER
        return 0

    @property
    def actions(self):
        """The OpenFlow side's own list."""
        if type(self.said) is RawInstructions:
            return (<RawInstructions> self.said).decode()
        return self.said

    @actions.setter
    def actions(self, actions):
        self.said = actions

    @property
    def raw(self):
        """Its RawInstructions, where what it does is still as it came; else None."""
        return self.said if type(self.said) is RawInstructions else None

    cpdef set_program(self, Program program):
        self.program = program
        self.node.n_conjs = 0 if program is None else program.n_conjs
        self.node.conjs = NULL if program is None else program.conjs

    @property
    def mask(self):
        """The match's mask, KEY_SIZE bytes."""
        return said_mask(self.key, self.shape.mask_bytes)

    @property
    def key(self):
        """The match's key with wildcarded bits 0, KEY_SIZE bytes."""
        cdef uint64_t words[KEY_WORDS]
        cdef uint32_t i
        memset(words, 0, sizeof(words))
        for i in range(self.shape.n):
            words[self.shape.index[i]] = self.node.values[i]
        return (<char *> words)[:KEY_SIZE]

    @property
    def match(self):
        """A new Match each time: rules keep theirs in a compact form."""
        from ofproto.codec.match import Match

        match = Match()
        match.key[:] = self.key
        match.mask[:] = self.mask
        match.options = self.options
        return match

    def inherit(self, Rule old):
        """Go on counting for a rule that this one replaces, what the datapath is yet to tell of
        it included."""
        self.n_packets += old.n_packets
        self.n_bytes += old.n_bytes
        self.used = old.used
        old.heir = self

    @property
    def hidden(self):
        """Not shown to OpenFlow (fail-open and in-band rules)."""
        return self.priority > 0xffff

    def __repr__(self):
        return f"<Rule table={self.table_id} priority={self.priority} {self.actions!r}>"


cdef class Classifier:
    def __cinit__(self, int table_id=0, View view=None):
        self.table_id = table_id
        self.view = View() if view is None else view
        self.chunks = {}
        self._subtables = {}
        self.track_prefixes(USUAL_TRIES)

    def __dealloc__(self):
        cdef int i
        for i in range(N_TRIES):
            prefix_free(&self.tries[i])
        free(self.order)

    @property
    def n_subtables(self):
        """How many different masks there are."""
        return len(self._subtables)

    def __len__(self):
        return self.n_rules - (self.going if self.view.now != self.view.committed
                                   else self.coming + self.gone)

    def rules(self):
        """A list of them, by age."""
        cdef list found = []
        for chunk in self.chunks.values():
            found += self.seen(chunk)
        return found

    def pieces(self):
        """Iterator of lists of rules, each a snapshot of its own."""
        for number in list(self.chunks):
            yield self.seen(self.chunks.get(number, {}))

    cdef list seen(self, dict chunk):
        cdef Rule rule
        if not self.coming and not self.going and not self.gone:
            return list(chunk)
        return [rule for rule in chunk if is_seen(&rule.node, self.view.now)]

    cdef bint has(self, Rule rule) except -1:
        """Whether it is here, for whatever version."""
        cdef object chunk = self.chunks.get(rule.age >> CHUNK_BITS)
        return chunk is not None and rule in <dict> chunk

    def __iter__(self):
        return iter(self.rules())

    def __contains__(self, Rule rule):
        return self.has(rule) and is_seen(&rule.node, self.view.now)

    cpdef Rule insert(self, Rule rule):
        cdef SubtableObject sub = self._subtables.get(rule.shape)
        cdef rule_node *node = &rule.node
        cdef rule_node **link
        cdef Rule old = None
        if rule._owner is not None:
            raise ValueError("the rule is in a classifier already")
        if sub is None:
            sub = self._subtables[rule.shape] = SubtableObject(rule.shape)
            self.dirty = True
        node.added = self.view.now
        node.removed = NEVER
        link = subtable_place(&sub.t, node)
        if link[0] is NULL:
            if sub.t.n_keys >= sub.t.n_buckets:
                subtable_grow(&sub.t)
                link = subtable_place(&sub.t, node)
            subtable_stages(&sub.t, node, True)
            node.next = node.lower = NULL
            link[0] = node
            sub.t.n_keys += 1
        else:
            old = self.insert_by_priority(link, node)
        rule._owner = sub
        self.inserted += 1
        rule.age = self.inserted
        self.keep(rule)
        self.coming += node.added > self.view.committed
        self.count_priority(sub, rule.priority, 1)
        self.count_prefixes(sub, rule, True)
        if old is not None:
            self.remove(old)
        return old

    cdef int keep(self, Rule rule) except -1:
        cdef object number = rule.age >> CHUNK_BITS
        cdef object chunk = self.chunks.get(number)
        if chunk is None:
            chunk = self.chunks[number] = {}
        (<dict> chunk)[rule] = None
        self.n_rules += 1
        return 0

    cdef int let_go(self, Rule rule) except -1:
        cdef object number = rule.age >> CHUNK_BITS
        cdef dict chunk = self.chunks[number]
        del chunk[rule]
        if not chunk:
            del self.chunks[number]
        self.n_rules -= 1
        return 0

    def track_prefixes(self, fields):
        """Have lookups ask the tries of these fields (of TRIE_NAMES) only, besides those of ports."""
        self.used_tries = PORT_TRIES
        for i, name in enumerate(TRIE_NAMES):
            if name in fields:
                self.used_tries |= 1 << i

    cdef int count_prefixes(self, SubtableObject sub, Rule rule, bint add) except -1:
        """Enters a rule's address prefixes in the tries, or takes them out."""
        cdef uint64_t words[KEY_WORDS]
        cdef const uint8_t *address
        cdef uint32_t i, j
        cdef bint spread = False
        for i in range(N_TRIES):
            if not sub.t.prefix[i]:
                continue
            if not spread:
                spread = True
                for j in range(sub.t.n):
                    words[sub.t.index[j]] = rule.node.values[j]
            address = <const uint8_t *> words + TRIE_AT[i]
            if add:
                prefix_add(&self.tries[i], address, sub.t.prefix[i])
            else:
                prefix_remove(&self.tries[i], address, sub.t.prefix[i])
        return 0

    cdef Rule insert_by_priority(self, rule_node **link, rule_node *node):
        """Puts `node` in the list at `link`, highest priority first; returns whom it replaces."""
        cdef rule_node *head = link[0]
        cdef rule_node **at
        cdef rule_node *same
        if node.priority >= head.priority:
            node.next = head.next
            node.lower = head
            link[0] = node
        else:
            at = &head.lower
            while at[0] is not NULL and at[0].priority > node.priority:
                at = &at[0].lower
            node.lower = at[0]
            at[0] = node
        same = node.lower
        while same is not NULL and same.priority == node.priority:
            if is_seen(same, self.view.now):
                return <Rule> same.rule
            same = same.lower
        return None

    cdef int count_priority(self, SubtableObject sub, int32_t priority, int by) except -1:
        cdef dict counts = sub.priorities
        cdef object n = counts.get(priority, 0) + by
        sub.n_rules += by
        if n:
            counts[priority] = n
        else:
            del counts[priority]
        if by > 0:
            if priority > sub.t.max_priority:
                sub.t.max_priority = priority
                self.dirty = True
        elif not n and priority == sub.t.max_priority:
            self.dirty = True
        return 0

    cpdef bint remove(self, Rule rule):
        cdef rule_node *node = &rule.node
        if not self.has(rule) or not is_seen(node, self.view.now):
            return False
        if node.added < self.view.now and self.view.now != self.view.committed:
            node.removed = self.view.now    # others see it yet
            self.going += 1
            return True
        return self.unlink(rule)

    def unlink(self, Rule rule):
        """Takes this very object out for all versions; False when it is out."""
        cdef SubtableObject sub = rule._owner
        cdef rule_node *node = &rule.node
        cdef rule_node **link
        cdef rule_node **at
        if not self.has(rule):
            return False
        if node.removed <= self.view.committed:
            self.gone -= 1
        elif node.removed != NEVER:
            self.going -= 1
        if node.added > self.view.committed:
            self.coming -= 1
        link = subtable_place(&sub.t, node)
        if link[0] is node:
            if node.lower is not NULL:
                node.lower.next = node.next
                link[0] = node.lower
            else:
                link[0] = node.next
                sub.t.n_keys -= 1
                subtable_stages(&sub.t, node, False)
        else:
            at = &link[0].lower
            while at[0] is not node:
                at = &at[0].lower
            at[0] = node.lower
        rule._owner = None
        node.next = node.lower = NULL
        self.let_go(rule)
        self.count_priority(sub, rule.priority, -1)
        self.count_prefixes(sub, rule, False)
        if not sub.priorities:
            del self._subtables[rule.shape]
            self.dirty = True
            self.rebuild()          # `order` must not point to freed memory
        return True

    def take_all(self):
        """Empty the table, for all versions; returns what holds its rules, to be let go of."""
        cdef dict rules = self.chunks
        cdef int i
        self.chunks = {}
        self.n_rules = 0
        self._subtables = {}
        for i in range(N_TRIES):
            prefix_free(&self.tries[i])
        self.coming = self.going = self.gone = 0
        self.rebuild()          # `order` must not point to freed memory
        return rules

    def revive(self, Rule rule):
        """A transaction that removed it is undone."""
        cdef rule_node *node = &rule.node
        if self.has(rule) and node.removed > self.view.committed and node.removed != NEVER:
            node.removed = NEVER
            self.going -= 1

    def switched(self):
        """After View.switch(): what was coming has come."""
        self.gone += self.going
        self.coming = self.going = 0

    cdef int rebuild(self) except -1:
        cdef SubtableObject sub
        cdef list found = list(self._subtables.values())
        cdef subtable **fresh
        cdef uint32_t i
        for sub in found:
            sub.t.max_priority = max(sub.priorities) if sub.priorities else -1
        found.sort(key=_by_priority)
        fresh = <subtable **> realloc(self.order, (len(found) + 1) * sizeof(subtable *))
        if fresh is NULL:
            raise MemoryError
        self.order = fresh
        self.n_order = <uint32_t> len(found)
        for i in range(self.n_order):
            sub = found[i]
            fresh[i] = &sub.t
        self.dirty = False
        return 0

    cdef Rule find(self, const flow_key *key, flow_key *wc):
        cdef rule_node *node
        cdef soft_set soft
        if self.dirty:
            self.rebuild()
        soft_init(&soft)
        soft.version = self.view.now
        node = search(self.order, self.n_order, self.tries, self.used_tries, <const uint64_t *> key,
                      <uint64_t *> wc, &soft, self.view.now)
        if soft.n:
            node = self.find_conjunctive(key, wc, node, &soft)
        self.soft_steps = soft.steps
        soft_free(&soft)
        return <Rule> node.rule if node is not NULL else None

    cdef rule_node *find_conjunctive(self, const flow_key *key, flow_key *wc, rule_node *hard,
                                     soft_set *soft) noexcept:
        """What a packet matches that `hard` matches on its own (NULL: nothing does), and the
        alternatives of `soft`."""
        cdef flow_key copy
        cdef rule_node *node
        cdef uint32_t conj_id
        cdef int32_t top = soft_top(soft, -1 if hard is NULL else hard.priority)
        while top >= 0:
            if soft_complete(soft, top, &conj_id):
                copy = key[0]
                copy.conj_id = htonl(conj_id)
                node = search(self.order, self.n_order, self.tries, self.used_tries, <const uint64_t *> &copy,
                              <uint64_t *> wc, NULL, soft.version)
                if node is not NULL:
                    return node
            soft_descend(soft, top, &hard)
            top = soft_top(soft, -1 if hard is NULL else hard.priority)
        return hard

    def lookup(self, const uint8_t[::1] key, wc=None):
        cdef uint8_t[::1] mask
        if key.shape[0] != KEY_SIZE:
            raise ValueError(f"a key has {KEY_SIZE} bytes")
        if wc is None:
            return self.find(<const flow_key *> &key[0], NULL)
        mask = wc
        if mask.shape[0] != KEY_SIZE:
            raise ValueError(f"a mask has {KEY_SIZE} bytes")
        return self.find(<const flow_key *> &key[0], <flow_key *> &mask[0])

    def find_exactly(self, match, int priority):
        """The rule of just this match and priority, or None."""
        key, mask = key_and_mask(match)
        return self.find_placed(
            shape_of(mask), <const uint64_t *> <const char *> (<bytes> key), priority)

    cdef Rule find_placed(self, Shape shape, const uint64_t *key, int32_t priority):
        cdef SubtableObject sub = self._subtables.get(shape)
        cdef uint64_t values[KEY_WORDS]
        cdef rule_node probe
        cdef rule_node *node
        if sub is None:
            return None
        probe.values = values
        probe.hash = masked_values(shape, key, values)
        node = subtable_place(&sub.t, &probe)[0]
        while node is not NULL and node.priority >= priority:
            if node.priority == priority and is_seen(node, self.view.now):
                return <Rule> node.rule
            node = node.lower
        return None


def _by_priority(SubtableObject sub):
    return -sub.t.max_priority
