"""Rules of an OpenFlow table, and tuple space search over them.

All rules with one mask stand in one subtable, a hash table over the masked words of the key.  A
lookup asks the subtables in order of their highest priority and stops where none that follows can
beat what was found.  In each subtable it goes through the words in four stages (metadata, L2, L3,
L4); where no rule has the words up to a stage, it stops there, and only the bits up to that stage
enter the megaflow's mask: a packet that differs in the other bits misses this subtable, too.
Before L3, tries of the rules' address prefixes may say, with a few bits of the address, that no
rule of the subtable can match; before L4, tries of ports do, and before all of it, where the table's
owner asks for them, tries of the tunnel's header.

Rules that are alternatives of a conjunctive match are gathered on the way, and looked at where no
rule of its own is above them (conjunctive.pyx).

A transaction (view.pyx) makes its changes in a version of the table that nobody else sees: its rules
are in the subtables, what it removes stays there, and a lookup passes over what is not of its
version.  So all of its changes are there, or gone, at once.  Masks may meanwhile have bits for the
sake of rules that are not seen: they are more exact than they need be, not less.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from weakref import WeakValueDictionary

from datapath.key.flow cimport KEY_SIZE, KEY_WORDS, NO_KEY, flow_key, key_at
from datapath.base.hashing cimport hash_finish, hash_word
from ofproto.rules.conjunctive cimport (
    MAX_SOFT_STEPS, soft_add, soft_complete, soft_descend, soft_free, soft_init, soft_set, soft_top,
)
from ofproto.rules.node cimport NEVER, first_seen, is_seen, rule_node
from ofproto.rules.raw_instructions cimport RawInstructions
from ofproto.rules.typed cimport said_mask, typed_mask
from ofproto.rules.prefix cimport (
    prefix_add, prefix_answer, prefix_free, prefix_length, prefix_lookup, prefix_mask,
    prefix_remove, prefix_trie,
)

cdef extern from "arpa/inet.h" nogil:
    uint32_t htonl(uint32_t)

cdef object _shapes = WeakValueDictionary()     # mask bytes -> Shape

cdef uint8_t _stage_of[KEY_WORDS]


cdef void _init_stages():
    """Stage of each word of the key: what pipeline and tunnel say comes first."""
    cdef size_t l2 = key_at(&NO_KEY.eth_dst[0])
    cdef size_t l3 = key_at(&NO_KEY.nw_src)
    cdef size_t l4 = key_at(&NO_KEY.tp_src)
    cdef size_t tunnel = key_at(&NO_KEY.tun_id)
    cdef size_t at
    cdef int word
    for word in range(KEY_WORDS):
        at = <size_t> word * 8
        if at < l2 or at >= tunnel:
            _stage_of[word] = 0
        elif at < l3:
            _stage_of[word] = 1
        elif at < l4:
            _stage_of[word] = 2
        else:
            _stage_of[word] = 3

_init_stages()

# The members that have tries: byte offset and bits.
cdef size_t TRIE_AT[N_TRIES]
TRIE_AT[:] = [key_at(&NO_KEY.tun_id), key_at(&NO_KEY.tun_src), key_at(&NO_KEY.tun_dst),
              key_at(&NO_KEY.tun_ipv6_src[0]), key_at(&NO_KEY.tun_ipv6_dst[0]),
              key_at(&NO_KEY.nw_src), key_at(&NO_KEY.nw_dst),
              key_at(&NO_KEY.ipv6_src[0]), key_at(&NO_KEY.ipv6_dst[0]),
              key_at(&NO_KEY.tp_src), key_at(&NO_KEY.tp_dst)]
cdef uint32_t TRIE_BITS[N_TRIES]
TRIE_BITS[:] = [64, 32, 32, 128, 128, 32, 32, 128, 128, 16, 16]
# Of those that a table may ask for, and of those that it asks for where nothing is said.
TRIE_NAMES = ("tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst",
              "ip_src", "ip_dst", "ipv6_src", "ipv6_dst")
USUAL_TRIES = TRIE_NAMES[TUNNEL_TRIES_END:]
cdef uint32_t TUNNEL_TRIES = (1 << TUNNEL_TRIES_END) - 1
cdef uint32_t PORT_TRIES = (1 << N_TRIES) - (1 << L3_TRIES_END)
cdef enum:
    TUNNEL_STAGE = 0
    L3_STAGE = 2
    L4_STAGE = 3


cdef class Shape:
    """A mask: the words it touches, by stage."""

    def __cinit__(self, bytes mask):
        cdef const uint64_t *words = <const uint64_t *> <const char *> mask
        cdef int stage, word
        self.mask_bytes = mask
        self.n = 0
        for stage in range(N_STAGES):
            for word in range(KEY_WORDS):
                if words[word] and _stage_of[word] == stage:
                    self.index[self.n] = word
                    self.mask[self.n] = words[word]
                    self.n += 1
            self.stage_end[stage] = self.n


cdef Shape shape_of(bytes mask):
    shape = _shapes.get(mask)
    if shape is None:
        shape = _shapes[mask] = Shape(mask)
    return <Shape> shape


cdef tuple key_and_mask(match):
    """(key, mask) of a Match or of a pair of bytes, checked for length; the packet type implied."""
    if isinstance(match, tuple):
        key, mask = match
    else:
        key, mask = match.key_bytes, match.mask_bytes
    key, mask = bytes(key), bytes(mask)
    if len(key) != KEY_SIZE or len(mask) != KEY_SIZE:
        raise ValueError(f"key and mask must have {KEY_SIZE} bytes")
    return key, typed_mask(mask)


cdef inline uint32_t fold(uint64_t sum) noexcept nogil:
    cdef uint64_t h = hash_finish(sum)
    return <uint32_t> (h ^ (h >> 32))


cdef uint32_t masked_values(Shape shape, const uint64_t *key, uint64_t *values) noexcept nogil:
    """Puts the words of `key` that the shape has into `values`; returns their hash."""
    cdef uint32_t i
    cdef uint64_t sum = 0
    for i in range(shape.n):
        values[i] = key[shape.index[i]] & shape.mask[i]
        sum += hash_word(values[i], i)
    return fold(sum)


cdef object _TO_BE_PLACED = object()


cdef Rule placed_rule(Shape shape, const uint64_t *key, int32_t priority):
    cdef Rule rule = Rule.__new__(Rule, _TO_BE_PLACED)
    rule.place(shape, key, priority)
    return rule


cdef Shape shape_of_match(match):
    return shape_of(key_and_mask(match)[1])


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


# --- stage sets: how many keys of a subtable share a hash of their first words

cdef stage_count *stage_slot(stage_set *s, uint32_t hash) noexcept nogil:
    """Where `hash` is or would go."""
    cdef uint32_t at = hash & s.mask
    while s.slots[at].used and s.slots[at].hash != hash:
        at = (at + 1) & s.mask
    return &s.slots[at]


cdef bint stage_has(const stage_set *s, uint32_t hash) noexcept nogil:
    cdef stage_count *slot
    if s.slots is NULL:
        return False
    slot = stage_slot(<stage_set *> s, hash)
    return slot.used and slot.count > 0


cdef int stage_grow(stage_set *s) except -1:
    """Twice the live entries' room, without the deleted ones."""
    cdef stage_set fresh
    cdef uint32_t i, live = 0, size = 8
    if s.slots is not NULL:
        for i in range(s.mask + 1):
            live += s.slots[i].count > 0
    while size < 4 * live:
        size *= 2
    fresh.slots = <stage_count *> calloc(size, sizeof(stage_count))
    if fresh.slots is NULL:
        raise MemoryError
    fresh.mask = size - 1
    fresh.fill = live
    if s.slots is not NULL:
        for i in range(s.mask + 1):
            if s.slots[i].count:
                stage_slot(&fresh, s.slots[i].hash)[0] = s.slots[i]
        free(s.slots)
    s[0] = fresh
    return 0


cdef int stage_add(stage_set *s, uint32_t hash) except -1:
    cdef stage_count *slot
    if s.slots is NULL or 4 * s.fill >= 3 * (s.mask + 1):
        stage_grow(s)
    slot = stage_slot(s, hash)
    if not slot.used:
        slot.used = 1
        slot.hash = hash
        s.fill += 1
    slot.count += 1
    return 0


cdef void stage_drop(stage_set *s, uint32_t hash) noexcept nogil:
    cdef stage_count *slot = stage_slot(s, hash)
    if slot.count:
        slot.count -= 1


# --- subtables

cdef inline bint stage_is_partial(const subtable *t, int stage) noexcept nogil:
    """There are words up to this stage, more after it, and some in it."""
    return (t.stage_end[stage] < t.n
            and t.stage_end[stage] > (t.stage_end[stage - 1] if stage else 0))


cdef bint same_values(const subtable *t, const uint64_t *a, const uint64_t *b) noexcept nogil:
    cdef uint32_t i
    for i in range(t.n):
        if a[i] != b[i]:
            return False
    return True


cdef rule_node **subtable_place(subtable *t, const rule_node *node) noexcept nogil:
    """The link that holds the list of rules with node's key, or the end of its bucket."""
    cdef rule_node **link = &t.buckets[node.hash & t.bucket_mask]
    while link[0] is not NULL:
        if link[0].hash == node.hash and same_values(t, link[0].values, node.values):
            break
        link = &link[0].next
    return link


cdef bint prefixes_exclude(const subtable *t, uint32_t first, uint32_t end, const uint64_t *key,
                           uint64_t *wc, prefix_state *state) noexcept nogil:
    """No rule of the subtable has a prefix of the packet's addresses (or ports), as the tries from
    `first` to `end` say, as far as the table asks them; the bits that show it are set in `wc`."""
    cdef uint32_t i, n
    cdef prefix_answer *answer
    for i in range(first, end):
        n = t.prefix[i]
        if not n or not state.used >> i & 1:
            continue
        answer = &state.answers[i]
        if not state.asked[i]:
            state.asked[i] = True
            prefix_lookup(&state.tries[i], <const uint8_t *> key + TRIE_AT[i], TRIE_BITS[i],
                          answer)
        if not answer.lengths[n >> 6] >> (n & 63) & 1:
            if wc is not NULL:
                prefix_mask(<uint8_t *> wc + TRIE_AT[i], min(n, answer.n_bits))
            return True
    return False


cdef rule_node *subtable_find(const subtable *t, const uint64_t *key, uint64_t *wc,
                              prefix_state *state, uint64_t version) noexcept nogil:
    cdef uint64_t sum = 0
    cdef uint64_t values[KEY_WORDS]
    cdef uint32_t i = 0, j, hash
    cdef int stage
    cdef rule_node *node = NULL
    for stage in range(N_STAGES):
        if (stage == TUNNEL_STAGE and state.used & TUNNEL_TRIES
                and prefixes_exclude(t, 0, TUNNEL_TRIES_END, key, wc, state)):
            break
        if stage == L3_STAGE and prefixes_exclude(t, TUNNEL_TRIES_END, L3_TRIES_END, key, wc,
                                                  state):
            break
        if stage == L4_STAGE and prefixes_exclude(t, L3_TRIES_END, N_TRIES, key, wc, state):
            break
        while i < t.stage_end[stage]:
            values[i] = key[t.index[i]] & t.mask[i]
            sum += hash_word(values[i], i)
            i += 1
        if (stage < N_STAGES - 1 and stage_is_partial(t, stage)
                and not stage_has(&t.stages[stage], fold(sum))):
            break
    else:
        hash = fold(sum)
        node = t.buckets[hash & t.bucket_mask]
        while node is not NULL:
            if node.hash == hash and same_values(t, node.values, values):
                break
            node = node.next
        node = first_seen(node, version)
    if wc is not NULL:
        for j in range(i):
            wc[t.index[j]] |= t.mask[j]
    return node


cdef int subtable_stages(subtable *t, const rule_node *node, bint add) except -1:
    """Counts a new key in, or one that is gone out of, the stage sets."""
    cdef uint64_t sum = 0
    cdef uint32_t i = 0
    cdef int stage
    for stage in range(N_STAGES - 1):
        while i < t.stage_end[stage]:
            sum += hash_word(node.values[i], i)
            i += 1
        if stage_is_partial(t, stage):
            if add:
                stage_add(&t.stages[stage], fold(sum))
            else:
                stage_drop(&t.stages[stage], fold(sum))
    return 0


cdef int subtable_grow(subtable *t) except -1:
    cdef uint32_t size = 2 * (t.bucket_mask + 1), i
    cdef rule_node **fresh = <rule_node **> calloc(size, sizeof(rule_node *))
    cdef rule_node *node
    cdef rule_node *following
    if fresh is NULL:
        raise MemoryError
    for i in range(t.bucket_mask + 1):
        node = t.buckets[i]
        while node is not NULL:
            following = node.next
            node.next = fresh[node.hash & (size - 1)]
            fresh[node.hash & (size - 1)] = node
            node = following
    free(t.buckets)
    t.buckets = fresh
    t.bucket_mask = size - 1
    return 0


cdef class SubtableObject:
    """Owner of a subtable's memory, and what its highest priority is."""

    def __cinit__(self, Shape shape):
        cdef uint32_t i
        self.shape = shape
        self.priorities = {}
        self.t.n = shape.n
        self.t.index = shape.index
        self.t.mask = shape.mask
        memcpy(self.t.stage_end, shape.stage_end, sizeof(shape.stage_end))
        for i in range(N_TRIES):
            self.t.prefix[i] = <uint8_t> prefix_length(
                <const uint8_t *> <const char *> shape.mask_bytes + TRIE_AT[i], TRIE_BITS[i])
        self.t.bucket_mask = 3
        self.t.buckets = <rule_node **> calloc(4, sizeof(rule_node *))
        self.t.max_priority = -1
        if self.t.buckets is NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef int stage
        for stage in range(N_STAGES - 1):
            free(self.t.stages[stage].slots)
        free(self.t.buckets)


cdef class Classifier:
    def __cinit__(self, int table_id=0, View view=None):
        self.table_id = table_id
        self.view = View() if view is None else view
        self._rules = {}
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
        return len(self._rules) - (self.going if self.view.now != self.view.committed
                                   else self.coming + self.gone)

    def rules(self):
        """A list of them, by age."""
        cdef Rule rule
        if not self.coming and not self.going and not self.gone:
            return list(self._rules)
        return [rule for rule in self._rules if is_seen(&rule.node, self.view.now)]

    def __iter__(self):
        return iter(self.rules())

    def __contains__(self, Rule rule):
        return rule in self._rules and is_seen(&rule.node, self.view.now)

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
            if sub.t.n_keys > sub.t.bucket_mask:
                subtable_grow(&sub.t)
                link = subtable_place(&sub.t, node)
            subtable_stages(&sub.t, node, True)
            node.next = node.lower = NULL
            link[0] = node
            sub.t.n_keys += 1
        else:
            old = self.insert_by_priority(link, node)
        rule._owner = sub
        self._rules[rule] = None
        self.inserted += 1
        rule.age = self.inserted
        self.coming += node.added > self.view.committed
        self.count_priority(sub, rule.priority, 1)
        self.count_prefixes(sub, rule, True)
        if old is not None:
            self.remove(old)
        return old

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
        if rule not in self._rules or not is_seen(node, self.view.now):
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
        if rule not in self._rules:
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
        del self._rules[rule]
        self.count_priority(sub, rule.priority, -1)
        self.count_prefixes(sub, rule, False)
        if not sub.priorities:
            del self._subtables[rule.shape]
            self.dirty = True
            self.rebuild()          # `order` must not point to freed memory
        return True

    def take_all(self):
        """Empty the table, for all versions; returns what holds its rules, to be let go of."""
        cdef dict rules = self._rules
        cdef int i
        self._rules = {}
        self._subtables = {}
        for i in range(N_TRIES):
            prefix_free(&self.tries[i])
        self.coming = self.going = self.gone = 0
        self.rebuild()          # `order` must not point to freed memory
        return rules

    def revive(self, Rule rule):
        """A transaction that removed it is undone."""
        cdef rule_node *node = &rule.node
        if rule in self._rules and node.removed > self.view.committed and node.removed != NEVER:
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


cdef rule_node *search(subtable **order, uint32_t n, const prefix_trie *tries, uint32_t used,
                       const uint64_t *key, uint64_t *wc, soft_set *soft,
                       uint64_t version) noexcept nogil:
    """The rule of highest priority; ors the bits that decided it into `wc` (may be NULL).
    Alternatives of conjunctive matches above it go to `soft`; NULL: they are passed over."""
    cdef rule_node *best = NULL
    cdef rule_node *node
    cdef prefix_state state
    cdef uint32_t i
    state.tries = tries
    state.used = used
    memset(state.asked, 0, sizeof(state.asked))
    for i in range(n):
        if best is not NULL and best.priority >= order[i].max_priority:
            break
        node = subtable_find(order[i], key, wc, &state, version)
        if node is not NULL and node.n_conjs:
            if soft is NULL:
                node = below_alternatives(node, version)
            else:
                if not soft_add(soft, node):
                    soft.steps = MAX_SOFT_STEPS + 1
                continue
        if node is not NULL and (best is NULL or node.priority > best.priority):
            best = node
    return best


cdef rule_node *below_alternatives(rule_node *node, uint64_t version) noexcept nogil:
    """The first rule from `node` down, all of the same match, that is one of its own."""
    while node is not NULL and node.n_conjs:
        node = first_seen(node.lower, version)
    return node
