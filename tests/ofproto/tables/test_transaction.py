"""Transactions beside the same changes one by one: all of them or none; nobody sees between."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.codec import messages as m
from ofproto.codec.actions import Group, Output
from ofproto.codec.errors import OFError
from ofproto.codec.instructions import ApplyActions
from ofproto.codec.match import Match
from ofproto.tables.flow_table import SEND_FLOW_REM, FlowTables
from ofproto.tables.group import GroupTable
from ofproto.tables.transaction import Transaction
from ofproto.xlate.bridges.xbridge import XBridge

OF13 = 4
PORTS, IDS = range(1, 4), range(1, 3)


def _match(port, vlan):
    match = Match()
    if port:
        match.set("in_port", port)
    if vlan:
        match.set("vlan_vid", 0x1000 | vlan)
    return match


actions = st.one_of(
    st.sampled_from(IDS).map(Group), st.integers(1, 9).map(Output), st.just(Output(7))
)
flow_mods = st.builds(
    m.FlowMod,
    command=st.sampled_from([m.ADD, m.ADD, m.ADD, 1, 2, 3, 4]),
    match=st.builds(_match, st.sampled_from([0, *PORTS]), st.integers(0, 1)),
    priority=st.sampled_from([1, 1, 2]),
    table_id=st.sampled_from([0, 0, 1]),
    cookie=st.integers(0, 1),
    hard_timeout=st.sampled_from([0, 5]),
    flags=st.sampled_from([0, 2, SEND_FLOW_REM, 4]),
    instructions=actions.map(lambda action: [ApplyActions([action])]),
)
group_mods = st.builds(
    m.GroupMod,
    command=st.sampled_from([m.GROUP_ADD, m.GROUP_ADD, m.GROUP_MODIFY, m.GROUP_DELETE]),
    group_id=st.sampled_from(IDS),
    type=st.just(m.GROUP_ALL),
    buckets=st.integers(1, 9).map(lambda port: [m.Bucket(actions=[Output(port)])]),
)
mods = st.lists(st.one_of(flow_mods, flow_mods, group_mods), max_size=12)


class World:
    def __init__(self):
        self.gone = []
        self.tables = FlowTables(XBridge("br0"), self._removed)
        self.groups = GroupTable(self.tables)

    def _removed(self, rule, reason):
        if reason is not None:
            self.gone.append((rule.table_id, rule.priority, rule.key, rule.n_packets, reason))

    def do(self, mod, now):
        if isinstance(mod, m.FlowMod):
            self.tables.flow_mod(mod, OF13, now)
        else:
            self.groups.group_mod(mod, OF13, now)

    def state(self):
        """All that can be asked for."""
        flows = sorted(
            (
                *(rule.table_id, rule.priority, rule.key, rule.mask, rule.cookie, rule.flags),
                *(rule.hard_timeout, rule.created, rule.modified, rule.n_packets),
                repr(rule.actions),
            )
            for rule in self.tables.rules()
        )
        groups = {n: (g.created, repr([b.source for b in g.buckets]))
                  for n, g in self.groups.groups.items()}  # fmt: skip
        users = {n: self.tables.n_users_of(n) for n in IDS}
        return flows, groups, users, len(self.tables), self.seen(), self.tables.next_expiry()

    def seen(self):
        """What a packet of each port meets.

        Of flows of one priority any may be met (OpenFlow 1.3.5, section 5.3): one of another
        priority in their subtable changes which it is.
        """
        found = []
        for number in range(2):
            for port in PORTS:
                key = bytes(_match(port, 0).key_bytes)
                rule = self.tables.xbridge.table(number).lookup(key)
                alone = rule and len(self._all_met(rule, key)) == 1
                found.append(rule and (rule.priority, alone and repr(rule.actions)))
        return found

    def _all_met(self, rule, key):
        """Flows that a packet may meet instead of this one, and itself."""
        place = (rule.table_id, rule.priority)
        return [
            each
            for each in self.tables.rules()
            if (each.table_id, each.priority) == place
            and all(
                have & mask == want
                for have, mask, want in zip(key, each.mask, each.key, strict=True)
            )
        ]

    def count_packets(self):
        for n, rule in enumerate(sorted(self.tables.rules(), key=lambda r: (r.key, r.priority))):
            rule.n_packets += n + 1

    def nothing_left(self):
        """Of a transaction that is over."""
        for _, table in self.tables.tables():
            assert table.coming == table.going == table.gone == 0
        assert self.tables.pending is None


def one_by_one(mods_, now, worlds):
    for mod in mods_:
        results = []
        for world in worlds:
            try:
                world.do(mod, now)
                results.append(None)
            except OFError as error:
                results.append(error.name)
        assert len(set(results)) == 1


@settings(max_examples=300, deadline=None)
@given(before=mods, within=mods, after=mods)
def test_a_transaction_is_all_or_nothing(before, within, after):
    real, twin = World(), World()
    one_by_one(before, 10, (real, twin))
    for world in (real, twin):
        world.count_packets()
        world.gone.clear()
    start = real.state()
    generation = real.tables.xbridge.generation.value
    transaction, failed = Transaction(real.tables), False
    for mod in within:
        with transaction.ahead():
            try:
                real.do(mod, 20)
            except OFError:
                failed = True
        now_ = real.state()
        assert now_[:-1] == start[:-1], "seen before the switch"
        if failed:
            break
        with contextlib.suppress(OFError):
            twin.do(mod, 20)
        with transaction.ahead():
            assert real.seen() == twin.seen(), "not seen by the transaction"
    if failed:
        for _ in transaction.rest():
            assert real.state()[:-1] == start[:-1], "seen while undone"
        assert real.state() == start and not real.gone
        assert real.tables.xbridge.generation.value == generation
        twin = real
    else:
        transaction.switch()
        assert real.state()[:2] == twin.state()[:2]
        assert real.seen() == twin.seen()
        for _ in transaction.rest():
            assert real.state()[:5] == twin.state()[:5]
        assert real.state() == twin.state()
        assert real.gone == twin.gone
    real.nothing_left()
    one_by_one(after, 30, (real, twin) if real is not twin else (real,))
    if real is not twin:
        assert real.state() == twin.state()


def test_deleting_all_ends_a_transaction():
    for switched in (False, True):
        world = World()
        world.do(m.FlowMod(priority=3, instructions=[ApplyActions([Output(1)])]), 1)
        transaction = Transaction(world.tables)
        with transaction.ahead():
            world.do(m.FlowMod(priority=4, instructions=[ApplyActions([Output(1)])]), 1)
            world.do(m.FlowMod(m.DELETE), 1)
        if switched:
            transaction.switch()
        steps = transaction.rest()
        next(steps)
        world.tables.clear(2)
        assert list(steps) == [] and len(world.tables) == 0
        assert len(world.gone) == (2 if switched else 0)
        world.nothing_left()


def test_another_goes_on_with_the_rest():
    """Each change is told once and in order, whoever tells of it: clear() does in the middle."""
    world, told = World(), []
    for switch in (True, False):
        world.tables.watched = None
        world.tables.flow_mod(m.FlowMod(3), OF13, 0)
        told.clear()
        transaction = Transaction(world.tables)
        with transaction.ahead():
            for port in range(1, 7):
                world.do(m.FlowMod(m.ADD, _match(port, 0), table_id=0, cookie=port), 1)
        if switch:
            transaction.switch()
            world.tables.watched = lambda _event, rule, *_: told.append(rule.cookie)
        first = transaction.rest()
        next(first)
        for rest in (transaction.rest(), first):
            for _ in rest:
                pass
        assert told == [1, 2, 3, 4, 5, 6][: 6 * switch] and len(world.tables) == 6 * switch
        world.nothing_left()
