# Rules and the tuple space search over them.  classifier.pyi has the Python view.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.key.flow cimport KEY_WORDS, flow_key
from ofproto.rules.conjunctive cimport soft_set
from ofproto.rules.node cimport rule_node
from ofproto.rules.prefix cimport prefix_answer, prefix_trie
from ofproto.rules.program cimport Program
from ofproto.rules.view cimport View

cdef enum:
    N_STAGES = 4
    # Tries of the tunnel's id, IPv4 and IPv6 source and destination; of IPv4 source, destination,
    # IPv6 source, destination; of source port, destination port.
    TUNNEL_TRIES_END = 5
    L3_TRIES_END = 9
    N_TRIES = 11


# Which words of the key a mask touches, in the order of the lookup stages.  Interned: equal masks
# share one Shape, so `rule.shape is subtable.shape` says that masks are equal.
cdef class Shape:
    cdef uint32_t n
    cdef uint8_t index[KEY_WORDS]   # word numbers, by stage
    cdef uint64_t mask[KEY_WORDS]
    cdef uint8_t stage_end[N_STAGES]    # words before the end of each stage
    cdef bytes mask_bytes
    cdef object __weakref__

ctypedef struct stage_count:        # how many keys of a subtable have this hash up to a stage
    uint32_t hash
    uint32_t count                  # 0: free or deleted
    uint8_t used

ctypedef struct stage_set:
    stage_count *slots
    uint32_t mask
    uint32_t fill

ctypedef struct subtable:
    uint32_t n
    const uint8_t *index            # the Shape's arrays
    const uint64_t *mask
    uint8_t stage_end[N_STAGES]
    stage_set stages[N_STAGES - 1]
    rule_node **buckets
    uint32_t bucket_mask
    uint32_t n_keys
    int32_t max_priority
    uint8_t prefix[N_TRIES]         # bits of each member that the mask has as a prefix, or 0

# What one lookup has asked the tries so far.
ctypedef struct prefix_state:
    const prefix_trie *tries
    uint32_t used                   # a bit for each trie that may be asked
    prefix_answer answers[N_TRIES]
    bint asked[N_TRIES]


cdef tuple key_and_mask(match)


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
# KEY_WORDS words, with any bits where the shape has none), and the shape.
cdef Rule placed_rule(Shape shape, const uint64_t *key, int32_t priority)
cdef Shape shape_of_match(match)


cdef inline bint is_table_miss(Rule rule) noexcept:
    """OpenFlow 1.3's table-miss flow: priority 0, matches all."""
    return rule.priority == 0 and rule.shape.n == 0


cdef class SubtableObject:
    cdef subtable t
    cdef Shape shape
    cdef uint32_t n_rules
    cdef dict priorities                # priority -> number of rules


cdef class Classifier:
    cdef public uint8_t table_id
    cdef public uint64_t n_lookup       # as in OpenFlow table statistics
    cdef public uint64_t n_matched
    cdef uint32_t soft_steps            # what conjunctive matches cost the last lookup
    cdef dict _rules                    # Rule -> None, in order of insertion: the references
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
