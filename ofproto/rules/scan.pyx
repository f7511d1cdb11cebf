"""Rules of a table by their matches and cookies, not by a packet: those that a request means.

Each looks at every rule of the subtables that come into question.  Where these are many, a request
is answered by a Loose and a snapshot of the table, piece by piece.
"""

from libc.stdint cimport uint32_t, uint64_t

from datapath.key.flow cimport KEY_WORDS
from ofproto.rules.classifier cimport Classifier, Rule
from ofproto.rules.shape cimport Shape, key_and_mask
from ofproto.rules.subtable cimport SubtableObject
from ofproto.rules.node cimport is_seen, rule_node


cdef enum:
    SORTED = 4096       # rules of one shape


cdef class Loose:
    """Tells the rules whose match is `match` or more specific (non-strict requests)."""

    cdef bytes key, mask
    cdef Shape shape            # the one that was looked at last
    cdef bint covers            # whether that has all bits of the mask

    def __init__(self, match):
        self.key, self.mask = key_and_mask(match)

    cdef bint reaches(self, Shape shape) noexcept:
        """Whether rules of this mask come into question."""
        if shape is not self.shape:
            self.shape = shape
            self.covers = mask_covers(shape, <const uint64_t *> <const char *> self.mask)
        return self.covers

    cdef bint means(self, Shape shape, const uint64_t *values) noexcept:
        return agrees(shape, values, <const uint64_t *> <const char *> self.key,
                      <const uint64_t *> <const char *> self.mask)

    def n_candidates(self, Classifier table):
        """How many rules of the table are to be looked at."""
        cdef Shape shape
        cdef SubtableObject sub
        cdef uint64_t n = 0
        for shape, sub in table._subtables.items():
            if self.reaches(shape):
                n += sub.n_rules
        return n

    def among(self, list rules):
        """Those of `rules` that are meant."""
        cdef Rule rule
        return [rule for rule in rules
                if self.reaches(rule.shape) and self.means(rule.shape, rule.node.values)]

    def of(self, Classifier table):
        """Those of a table, as it is seen now: matches of one shape together, by age as long as
        there are not too many to sort."""
        cdef list found = [], some
        cdef Shape shape
        cdef SubtableObject sub
        cdef rule_node *node
        cdef rule_node *lower
        cdef uint32_t i
        for shape, sub in table._subtables.items():
            if not self.reaches(shape):
                continue
            some = []
            for i in range(sub.t.n_buckets):
                node = sub.t.buckets[i]
                while node is not NULL:
                    if self.means(shape, node.values):
                        lower = node
                        while lower is not NULL:
                            if is_seen(lower, table.view.now):
                                some.append(<Rule> lower.rule)
                            lower = lower.lower
                    node = node.next
            found += sorted(some, key=by_age) if 1 < len(some) <= SORTED else some
        return found


def by_age(Rule rule):
    """For sorting."""
    return rule.age


def by_cookie(rules):
    """{(table, cookie): {Rule, ...}}"""
    cdef dict index = {}
    cdef set alike = None
    cdef Rule rule
    cdef uint64_t cookie = 0
    cdef int table_id = -1
    for rule in rules:
        if rule.cookie != cookie or rule.table_id != table_id:
            table_id, cookie = rule.table_id, rule.cookie
            alike = index.setdefault((table_id, cookie), set())
        alike.add(rule)
    return index


cdef class Overlap:
    """Tells rules of this priority that share a packet with `match`."""

    cdef bytes key, mask
    cdef int priority

    def __init__(self, match, int priority):
        self.key, self.mask = key_and_mask(match)
        self.priority = priority

    cdef bint shared(self, Shape shape, const uint64_t *values) noexcept:
        return agrees(shape, values, <const uint64_t *> <const char *> self.key,
                      <const uint64_t *> <const char *> self.mask)

    cdef bint has_all_of(self, Shape shape) noexcept:
        """Of a subtable with no bit but the match's, one bucket comes into question."""
        return mask_covers_shape(<const uint64_t *> <const char *> self.mask, shape)

    def n_candidates(self, Classifier table):
        """How many rules of the table are to be looked at."""
        cdef Shape shape
        cdef SubtableObject sub
        cdef uint64_t n = 0
        for shape, sub in table._subtables.items():
            if self.priority in sub.priorities:
                n += 1 if self.has_all_of(shape) else sub.n_rules
        return n

    def among(self, rules):
        """One of `rules`, or None."""
        cdef Rule rule
        for rule in rules:
            if rule.priority == self.priority and self.shared(rule.shape, rule.node.values):
                return rule
        return None

    def of(self, Classifier table):
        """One of a table, as it is seen now, or None."""
        cdef Shape shape
        cdef SubtableObject sub
        cdef Rule found
        for shape, sub in table._subtables.items():
            if self.priority not in sub.priorities:
                continue
            if self.has_all_of(shape):
                found = table.find_placed(
                    shape, <const uint64_t *> <const char *> self.key, self.priority)
            else:
                found = self.scan(table, shape, sub)
            if found is not None:
                return found
        return None

    cdef Rule scan(self, Classifier table, Shape shape, SubtableObject sub):
        cdef rule_node *node
        cdef rule_node *lower
        cdef uint32_t i
        for i in range(sub.t.n_buckets):
            node = sub.t.buckets[i]
            while node is not NULL:
                lower = node
                while lower is not NULL and (lower.priority > self.priority
                                             or not is_seen(lower, table.view.now)):
                    lower = lower.lower
                if (lower is not NULL and lower.priority == self.priority
                        and self.shared(shape, lower.values)):
                    return <Rule> lower.rule
                node = node.next
        return None


cdef bint mask_covers(Shape shape, const uint64_t *mask) noexcept:
    """Every bit of `mask` is one of the shape's."""
    cdef const uint64_t *own = <const uint64_t *> <const char *> shape.mask_bytes
    cdef int i
    for i in range(KEY_WORDS):
        if mask[i] & ~own[i]:
            return False
    return True


cdef bint mask_covers_shape(const uint64_t *mask, Shape shape) noexcept:
    """Every bit of the shape is one of `mask`'s."""
    cdef uint32_t i
    for i in range(shape.n):
        if shape.mask[i] & ~mask[shape.index[i]]:
            return False
    return True


cdef bint agrees(Shape shape, const uint64_t *values, const uint64_t *key,
                 const uint64_t *mask) noexcept:
    """A rule's values equal `key` in the bits that both masks have."""
    cdef uint32_t i, word
    for i in range(shape.n):
        word = shape.index[i]
        if (values[i] ^ key[word]) & mask[word] & shape.mask[i]:
            return False
    return True
