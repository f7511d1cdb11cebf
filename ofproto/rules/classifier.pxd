# Rules and the tuple space search over them.  classifier.pyi has the Python view.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.key.flow cimport flow_key
from ofproto.rules.conjunctive cimport soft_set
from ofproto.rules.node cimport rule_node
from ofproto.rules.prefix cimport prefix_trie
from ofproto.rules.program cimport Program
from ofproto.rules.shape cimport Shape
from ofproto.rules.subtable cimport N_TRIES, SubtableObject, subtable
from ofproto.rules.view cimport View

cdef class Rule:
    cdef readonly int32_t priority
    cdef public uint8_t table_id
    cdef public uint64_t cookie
    cdef public uint16_t idle_timeout   # seconds, 0 none
    cdef public uint16_t hard_timeout
    cdef public uint16_t importance
    cdef public uint32_t flags          # OFPFF_*, as the OpenFlow side defines them
    cdef public uint64_t n_packets
    cdef public uint64_t n_bytes
    cdef readonly int32_t n_flows       # datapath flows whose packets are credited to it
    cdef public int64_t created         # ms, monotonic
    cdef public int64_t modified
    cdef public int64_t used
    cdef object said                    # what it does: a list of Instruction, or RawInstructions
    cdef readonly Program program       # what translation runs; None drops
    cdef readonly tuple options         # the tun_metadataN of its match: OptionFields
    cdef public object data             # free for the owner of the table
    cdef public Rule heir               # counts what comes late for this one, which it replaced
    cdef Shape shape
    cdef rule_node node
    cdef object _owner                  # SubtableObject while it is in a classifier
    cdef readonly uint64_t age          # less: in the table for longer
    cdef int place(self, Shape shape, const uint64_t *key, int32_t priority) except -1
    cpdef set_program(self, Program program)


# For those who know many matches of one shape: a rule without anything but its match (`key`: of
# KEY_WORDS words, with any bits where the shape has none).
cdef Rule placed_rule(Shape shape, const uint64_t *key, int32_t priority)


cdef inline bint is_table_miss(Rule rule) noexcept:
    """OpenFlow 1.3's table-miss flow: priority 0, matches all."""
    return rule.priority == 0 and rule.shape.n == 0


cdef class Classifier:
    cdef public uint8_t table_id
    cdef public uint64_t n_lookup       # as in OpenFlow table statistics
    cdef public uint64_t n_matched
    cdef uint32_t soft_steps            # what conjunctive matches cost the last lookup
    # The references, in order of insertion: {age >> CHUNK_BITS: {Rule: None}}.  One dict of a million
    # would take tens of milliseconds whenever it grows.
    cdef dict chunks
    cdef uint32_t n_rules
    cdef uint64_t inserted              # rules, ever
    cdef dict _subtables                # Shape -> SubtableObject
    cdef subtable **order               # by max_priority, highest first
    cdef uint32_t n_order
    cdef prefix_trie tries[N_TRIES]
    cdef uint32_t used_tries            # a bit for each of which lookups ask
    cdef readonly View view
    cdef readonly uint32_t coming       # rules that only a transaction sees
    cdef readonly uint32_t going        # rules that only a transaction does not see
    cdef readonly uint32_t gone         # of a transaction that was: nobody sees them
    cdef bint dirty                     # `order` must be rebuilt before a lookup
    cdef list seen(self, dict chunk)
    cdef bint has(self, Rule rule) except -1
    cdef int keep(self, Rule rule) except -1
    cdef int let_go(self, Rule rule) except -1
    cdef Rule insert_by_priority(self, rule_node **link, rule_node *node)
    cdef int count_prefixes(self, SubtableObject sub, Rule rule, bint add) except -1
    cdef int count_priority(self, SubtableObject sub, int32_t priority, int by) except -1
    cdef int rebuild(self) except -1
    cdef Rule find(self, const flow_key *key, flow_key *wc)
    cdef rule_node *find_conjunctive(self, const flow_key *key, flow_key *wc, rule_node *hard,
                                     soft_set *soft) noexcept
    cdef Rule find_placed(self, Shape shape, const uint64_t *key, int32_t priority)
    cpdef Rule insert(self, Rule rule)
    cpdef bint remove(self, Rule rule)
