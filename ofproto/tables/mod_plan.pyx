"""FLOW_MODs that differ in values only from one that was executed: most of a controller's.

A plan is made of a FLOW_MOD that went the whole way (codec, checks, compiler, tables): what is the
same in all that follow, down to the rule's shape and compiled program, is in the plan; what differs
is read where codec/value_places and codec/action_places found it; its instructions stay bytes, with
a compiled program that is a copy with other values.  So only frequent and simple ones have plans: a
flow is added, or a strict command names one; whatever asks for more (groups, meters, learning,
limits of tables, monitors) goes the whole way.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.key.flow cimport KEY_WORDS
from ofproto.rules.classifier cimport Classifier, Rule, placed_rule
from ofproto.rules.shape cimport Shape, shape_of_match
from ofproto.codec.numbers cimport OFPP_MAX
from ofproto.rules.program cimport OP_SET, Program, op
from ofproto.rules.raw_instructions cimport RawInstructions, raw_instructions
from ofproto.xlate.bridges.xbridge cimport XBridge

from ofproto.codec import action_places, messages, value_places
from ofproto.codec.errors import OFError
from ofproto.codec.instructions import encode_instructions
from ofproto.codec.numbers import N_VISIBLE_TABLES, OF10, OF11, OFPP_NONE, OFPRR_DELETE
from ofproto.rules.compile import compile_actions
from ofproto.tables.flow_table import (
    ADD, CHECK_OVERLAP, DELETE_STRICT, KEPT_FLAGS, MODIFY_STRICT, RESET_COUNTS,
)
from ofproto.tables.meter import meter_of
from ofproto.tables.sizes import SURE_SIZE
from ofproto.tables.table_config import MAX_RULES
from ofproto.tables.transaction import Change

cdef enum:
    MOST_PLANS = 16         # for one length of the message
    MOST_LENGTHS = 64
    LEARN_EVERY = 4         # messages without a plan, that one is made for one of them
    MOST_COPIES = 24
    MOST_VALUES = 24        # of actions
    MOST_KNOWN = 4096       # instructions that flows share
    MOST_SIZE = 1024        # of such a message
    MOST_WORDS = 128
    C_ADD = 0
    C_MODIFY_STRICT = 2
    ALL_TABLES = 255

MAX_SIZE = min(SURE_SIZE, MOST_SIZE)
cdef uint64_t KEEP_COOKIE = <uint64_t> -1      # of 1.0's MODIFY: all ones
cdef Py_ssize_t _MAX_RULES = MAX_RULES
cdef object _DELETE = OFPRR_DELETE


cdef struct copied:
    uint16_t begin          # in the message
    uint16_t size
    uint16_t to             # in the flow key
    bint is_port


cdef struct changed:        # a value of an action
    uint16_t begin          # in the message
    uint16_t size
    uint32_t to             # in the program's bytes; of a port, the op's number
    bint is_port


cdef class Plan:
    cdef Py_ssize_t n_words                     # of the message
    cdef uint64_t fixed[MOST_WORDS]
    cdef uint64_t care[MOST_WORDS]          # bits that `fixed` has for all
    cdef uint64_t zero[MOST_WORDS]          # bits outside of a value's mask
    cdef bint table_in_command
    cdef int command, table_id                  # ALL_TABLES: of a deletion
    cdef object version                         # as Rule.data has it
    cdef int flags
    cdef bint resets, keeps_counters, sets_cookie
    cdef Py_ssize_t cookie, idle, hard, priority, importance
    cdef int fixed_priority                     # -1: the message's
    cdef copied copies[MOST_COPIES]
    cdef int n_copies
    cdef Shape shape
    cdef uint64_t key[KEY_WORDS]
    cdef object instructions
    cdef Program program
    cdef Py_ssize_t tail                        # where the instructions begin
    cdef changed values[MOST_VALUES]            # none: they are the same for all
    cdef int n_values

    cdef bint fits(self, const uint8_t *raw) noexcept:
        cdef uint64_t word
        cdef Py_ssize_t i
        for i in range(self.n_words):
            memcpy(&word, raw + 8 * i, 8)
            if ((word ^ self.fixed[i]) & self.care[i]) | (word & self.zero[i]):
                return False
        for i in range(self.n_copies):
            if self.copies[i].is_port and not is_plain_port(raw + self.copies[i].begin,
                                                            self.copies[i].size):
                return False
        for i in range(self.n_values):
            if self.values[i].is_port and not is_plain_port(raw + self.values[i].begin,
                                                            self.values[i].size):
                return False
        return True

    cdef void fill(self, const uint8_t *raw) noexcept:
        """Puts the message's values into `key`."""
        cdef int i
        for i in range(self.n_copies):
            memcpy(<uint8_t *> self.key + self.copies[i].to, raw + self.copies[i].begin,
                   self.copies[i].size)

    cdef Program program_of(self, const uint8_t *raw, bytes tail):
        """What a message that fits, and ends with these instructions, has a rule do."""
        cdef Program made = self.program.copy(raw_instructions(tail, self.version, self.program))
        cdef const uint8_t *at
        cdef int i
        for i in range(self.n_values):
            at = raw + self.values[i].begin
            if self.values[i].is_port:
                made.ops[self.values[i].to].port = number16(at + self.values[i].size - 2)
            else:
                memcpy(made.pool + self.values[i].to, at, self.values[i].size)
        return made

    cdef int priority_of(self, const uint8_t *raw) noexcept:
        if self.fixed_priority >= 0:
            return self.fixed_priority
        return number16(raw + self.priority)


cdef inline bint is_plain_port(const uint8_t *at, int size) noexcept:
    """A number of 2 or 4 bytes below OFPP_MAX: in 16 bits the same as in 32."""
    return (size == 2 or not (at[0] | at[1])) and at[size - 2] < OFPP_MAX >> 8


cdef inline int number16(const uint8_t *at) noexcept:
    return at[0] << 8 | at[1]


cdef inline uint64_t number64(const uint8_t *at) noexcept:
    cdef uint64_t found = 0
    cdef int i
    for i in range(8):
        found = found << 8 | at[i]
    return found


cdef void open_bits(uint64_t *words, Py_ssize_t begin, Py_ssize_t size) noexcept:
    memset(<uint8_t *> words + begin, 0, size)


cdef class ModPlans:
    """Of one bridge's FlowTables."""
    cdef object tables
    cdef XBridge xbridge
    cdef dict plans                             # size of the message -> [Plan, ...]
    cdef dict known                             # instructions' bytes -> Program
    cdef int unplanned
    cdef readonly uint64_t n_planned            # messages that had a plan

    def __init__(self, tables):
        self.tables = tables
        self.xbridge = tables.xbridge
        self.plans = {}
        self.known = {}

    def clear(self):
        """What plans were made of is not so any more."""
        self.plans.clear()
        self.known.clear()

    def fits(self, bytes raw, bint table_in_command):
        """Whether a plan is known for a message: then it can be decoded, and is in order."""
        return self.find(raw, table_in_command) is not None

    cdef Plan find(self, bytes raw, bint table_in_command):
        cdef Plan plan
        cdef list plans = self.plans.get(len(raw))
        if plans is not None:
            for plan in plans:
                if plan.table_in_command == table_in_command and plan.fits(raw):
                    return plan
        return None

    def run(self, bytes raw, bint table_in_command, int64_t now):
        """Execute a FLOW_MOD, where a plan is known for it; returns its command, None where it was
        not done.  In a transaction's steps it is part of that.  `table_in_command`: the peer has
        NXT_FLOW_MOD_TABLE_ID on."""
        cdef Plan plan = self.find(raw, table_in_command)
        tables = self.tables
        if plan is None or not tables.configs.is_plain(plan.table_id):
            return None
        if tables.transaction is None:
            if tables.pending is not None or tables.watched is not None:
                return None
        elif plan.command == C_MODIFY_STRICT:
            return None
        plan.fill(raw)
        if not self.execute(plan, raw, now):
            return None
        self.n_planned += 1
        return plan.command

    cdef Program program_of(self, Plan plan, bytes raw):
        """What a message has a rule do; the same object for many that do the same."""
        cdef bytes tail = raw[plan.tail:]
        cdef Program found = self.known.get(tail)
        if found is None or (<RawInstructions> found.source).version != plan.version:
            if len(self.known) >= MOST_KNOWN:
                self.known.clear()
            found = self.known[tail] = plan.program_of(raw, tail)
        return found

    cdef int instruct(self, Plan plan, Rule rule, bytes raw) except -1:
        """Give a new rule what it does."""
        cdef Program program
        if not plan.n_values:
            rule.said = plan.instructions
            rule.set_program(plan.program)
            return 0
        program = self.program_of(plan, raw)
        rule.said = program.source
        rule.set_program(program)
        return 0

    cdef bint execute(self, Plan plan, bytes raw, int64_t now) except -1:
        """Returns whether it was done."""
        cdef Classifier table
        cdef Rule rule
        if plan.table_id == ALL_TABLES:
            for _number, table in self.tables.tables():
                self.delete(plan, table, raw)
            return True
        table = self.xbridge.tables[plan.table_id]
        if table is None:
            return False
        if plan.command == C_ADD:
            if len(table) >= _MAX_RULES:
                return False
            self.add(plan, table, raw, now)
        elif plan.command == C_MODIFY_STRICT:
            rule = table.find_placed(plan.shape, plan.key, plan.priority_of(raw))
            if rule is None:
                return False        # 1.0 adds it
            self.modify(plan, rule, raw, now)
        else:
            self.delete(plan, table, raw)
        return True

    cdef int delete(self, Plan plan, Classifier table, const uint8_t *raw) except -1:
        cdef Rule rule = table.find_placed(plan.shape, plan.key, plan.priority_of(raw))
        if rule is None:
            return 0
        if self.tables.transaction is not None:
            self.tables.remove(rule, _DELETE)
            return 0
        table.remove(rule)
        self.xbridge.generation.touch_rule(table, rule)
        self.let_go(rule, _DELETE)
        self.tables.learned.bury()
        return 0

    cdef int add(self, Plan plan, Classifier table, bytes raw, int64_t now) except -1:
        cdef const uint8_t *data = raw
        cdef Rule rule = placed_rule(plan.shape, plan.key, plan.priority_of(data))
        cdef Rule old
        rule.table_id = <uint8_t> plan.table_id
        rule.cookie = number64(data + plan.cookie)
        self.instruct(plan, rule, raw)
        rule.idle_timeout = <uint16_t> number16(data + plan.idle)
        rule.hard_timeout = <uint16_t> number16(data + plan.hard)
        rule.importance = <uint16_t> number16(data + plan.importance) if plan.importance else 0
        rule.flags = plan.flags
        rule.created = rule.modified = rule.used = now
        rule.data = plan.version
        old = table.insert(rule)
        if old is not None:
            rule.used = old.used
        if self.tables.transaction is not None:
            change = Change(rule, old, self.tables.requester)
            self.tables.transaction.note(change, plan.keeps_counters)
            return 0
        self.xbridge.generation.touch_rule(table, rule)
        if old is not None:
            if plan.keeps_counters:
                rule.inherit(old)
            self.let_go(old, None)
        self.tables.learned.rule_added(rule)
        if rule.idle_timeout or rule.hard_timeout:
            self.tables.watch(rule)
        if old is not None:
            self.tables.learned.bury()
        return 0

    cdef int modify(self, Plan plan, Rule rule, bytes raw, int64_t now) except -1:
        cdef const uint8_t *data = raw
        cdef uint64_t cookie = number64(data + plan.cookie)
        cdef Program program
        if not plan.sets_cookie or cookie == KEEP_COOKIE:
            cookie = rule.cookie
        if plan.n_values:
            program = self.program_of(plan, raw)
            self.tables.change(rule, program.source, program, plan.version, cookie, now)
        else:
            self.tables.change(rule, plan.instructions, plan.program, plan.version, cookie, now)
        if plan.resets:
            rule.n_packets = rule.n_bytes = 0
        self.tables.learned.bury()
        return 0

    cdef int let_go(self, Rule rule, reason) except -1:
        """What FlowTables does about a rule that has left its classifier."""
        tables = self.tables
        if rule.program is not None and rule.program.groups:
            tables.unuse_groups(rule)
        if tables.meters.by_id:
            tables.meters.rule_gone(rule)
        tables.learned.rule_gone(rule)
        tables.removed(rule, reason)
        return 0

    # --- plans

    def learn(self, bytes raw, mod, bint table_in_command):
        """To be called with FLOW_MODs that were executed otherwise."""
        self.unplanned += 1
        if self.unplanned % LEARN_EVERY or not _is_simple(raw, mod):
            return
        if mod.command == MODIFY_STRICT and not self._found(mod):
            return          # its instructions were not checked
        places = value_places.of_mod(raw, mod)
        if places is None or len(places.copies) > MOST_COPIES:
            return
        plan = _planned(raw, mod, places, table_in_command)
        if plan is None:
            return
        if len(raw) not in self.plans and len(self.plans) >= MOST_LENGTHS:
            del self.plans[next(iter(self.plans))]
        plans = self.plans.setdefault(len(raw), [])
        plans.insert(0, plan)
        del plans[MOST_PLANS:]


    def _found(self, mod):
        """Whether there is what a strict modification has modified."""
        table = self.xbridge.tables[mod.table_id]
        return table is not None and table.find_exactly(mod.match, mod.priority) is not None


def _is_simple(bytes raw, mod):
    """Whether such messages have plans."""
    cdef Program program
    if mod.command not in (ADD, MODIFY_STRICT, DELETE_STRICT) or len(raw) % 8 or len(raw) > MAX_SIZE:
        return False
    if mod.nicira and raw[0] > OF10:
        return False
    if mod.flags & CHECK_OVERLAP or mod.buffer_id is not None or mod.cookie_mask:
        return False
    if mod.out_port != OFPP_NONE or mod.out_group is not None:
        return False
    if mod.table_id is None:
        if mod.command == MODIFY_STRICT:
            return False
    elif mod.table_id >= N_VISIBLE_TABLES:
        return False
    if mod.command == DELETE_STRICT:
        return True
    program = getattr(mod.instructions, "program", None)
    if program is None or program.groups or program.options or program.learned or program.n_conjs:
        return False
    return not program.specs and meter_of(mod.instructions) is None


cdef Plan _planned(bytes raw, mod, places, bint table_in_command):
    """The plan of a message; None where it does not say the message itself."""
    cdef Plan plan = Plan()
    cdef Py_ssize_t size = len(raw), begin, end, to, at, n
    cdef bint is_port
    cdef const uint8_t *data = raw
    cdef const uint8_t[:] key
    cdef uint8_t *bits
    plan.n_words = size // 8
    memcpy(plan.fixed, data, size)
    memset(plan.care, 0xff, size)
    open_bits(plan.care, 4, 4)                  # the transaction id
    plan.cookie, plan.idle, plan.hard = places.cookie, places.idle, places.hard
    plan.priority, plan.importance = places.priority, places.importance
    open_bits(plan.care, plan.cookie, 8)
    for at in (plan.idle, plan.hard, plan.priority, plan.importance):
        if at:
            open_bits(plan.care, at, 2)
    bits = <uint8_t *> plan.zero
    for begin, end, to, at, is_port in places.copies:
        if is_port and not is_plain_port(data + begin, <int> (end - begin)):
            continue        # the plan is for that one
        plan.copies[plan.n_copies] = copied(<uint16_t> begin, <uint16_t> (end - begin),
                                            <uint16_t> to, is_port)
        plan.n_copies += 1
        open_bits(plan.care, begin, end - begin)
        if at:
            for n in range(end - begin):
                bits[begin + n] = <uint8_t> ~data[at + n]
    plan.fixed_priority = -1 if places.fixed_priority is None else places.fixed_priority
    _take_over(plan, mod, table_in_command)
    _take_values(plan, raw, mod)
    # What is not among `copies` is the same in each key; the copies have to make the same key.
    key = mod.match.key_bytes
    memcpy(plan.key, &key[0], sizeof(plan.key))
    for n in range(plan.n_copies):
        memset(<uint8_t *> plan.key + plan.copies[n].to, 0, plan.copies[n].size)
    plan.fill(data)
    return plan if (<uint8_t *> plan.key)[:sizeof(plan.key)] == mod.match.key_bytes else None


cdef _take_over(Plan plan, mod, bint table_in_command):
    """What the message means, whatever its values are."""
    cdef int version = mod.version
    plan.table_in_command = table_in_command
    plan.command = mod.command
    plan.table_id = mod.table_id or 0
    if mod.table_id is None and mod.command == DELETE_STRICT:
        plan.table_id = ALL_TABLES
    plan.version = mod.version
    plan.resets = bool(mod.flags & RESET_COUNTS)
    plan.keeps_counters = version > OF11 and not plan.resets
    plan.flags = mod.flags & KEPT_FLAGS | (RESET_COUNTS if version <= OF11 else 0)
    plan.sets_cookie = version == OF10
    plan.shape = shape_of_match(mod.match)
    plan.instructions = mod.instructions
    plan.program = getattr(mod.instructions, "program", None)


cdef int _take_values(Plan plan, bytes raw, mod) except -1:
    """The values of what is applied, where it is sure what becomes of them: another message has to
    become what the codec and the compiler make of it."""
    cdef Py_ssize_t at
    if mod.command == DELETE_STRICT:
        return 0
    whole = encode_instructions(mod.instructions, mod.version, mod.match, lossy=True)
    at = len(raw) - len(whole)
    if raw[at:] != whole:
        return 0
    places = action_places.of_instructions(raw, at, mod.version)
    if not places or len(places) > MOST_VALUES:
        return 0
    plan.tail = at
    taken = [place for place in places if _take_value(plan, raw, mod.instructions, place)]
    if not taken:
        return 0
    if not _proven(plan, action_places.with_others(raw, taken), mod):
        plan.n_values = 0
        return 0
    for place in taken:
        open_bits(plan.care, place.begin, place.end - place.begin)
    return 0


cdef bint _take_value(Plan plan, const uint8_t *raw, instructions, place) except -1:
    """Where the program has the value of an action; returns whether that was found.  A reserved port
    is none: it means something else."""
    cdef Program program = plan.program
    cdef op *o
    cdef uint32_t pc, end
    cdef Py_ssize_t size = place.end - place.begin
    if place.is_port and not is_plain_port(raw + <Py_ssize_t> place.begin, <int> size):
        return False
    action = _applied(instructions, place.number)
    for pc in range(program.n_ops):
        o = &program.ops[pc]
        if program.actions[o.action] is not action:
            continue
        if place.is_port:
            plan.values[plan.n_values] = changed(place.begin, <uint16_t> size, pc, True)
        elif o.code == OP_SET:
            end = o.data + o.dst.size - (o.dst.shift + getattr(action, "start", 0)) // 8
            plan.values[plan.n_values] = changed(place.begin, <uint16_t> size,
                                                 <uint32_t> (end - size), False)
        else:
            return False
        plan.n_values += 1
        return True
    return False


def _applied(instructions, number):
    """The action with this number of those that are applied, or None."""
    for each in instructions:
        if type(each).__name__ == "ApplyActions":
            return each.actions[number] if number < len(each.actions) else None
    return None


cdef bint _proven(Plan plan, bytes other, mod) except -1:
    """Whether the plan makes of a message what codec and compiler make of it."""
    cdef bytes tail = other[plan.tail:]
    try:
        made = messages.decode(other, plan.table_in_command).instructions
        said = encode_instructions(made, mod.version, mod.match, lossy=True)
        program = compile_actions((), made)
    except (OFError, ValueError):
        return False
    return said == tail and program.signature() == plan.program_of(other, tail).signature()
