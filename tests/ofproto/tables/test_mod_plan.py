"""FLOW_MODs and rows by plans, beside the codec and FlowTables alone: the same flows, the same
errors, the same bytes."""

import random

import pytest

from ofproto.codec import messages as m
from ofproto.codec.errors import OFError
from ofproto.handlers_multipart import flow_stats_of
from ofproto.tables.flow_rows import FlowRows
from ofproto.tables.flow_table import FlowTables
from ofproto.tables.mod_plan import ModPlans
from ofproto.tables.table_config import TableSettings
from ofproto.tables.transaction import Transaction
from ofproto.text import flow_text
from ofproto.xlate.bridges.xbridge import XBridge

FORMS = [(1, {}), (1, {"nxm": True}), (1, {"nxm": True, "table_id_in_command": True}),
         (3, {}), (4, {}), (5, {}), (6, {})]  # fmt: skip
MATCHES = [
    "tcp,in_port={port},nw_src=10.0.0.0/8,nw_dst=9.9.{u8}.{u8},tp_dst={u16}",
    "udp,nw_src={u8}.0.{u8}.1,nw_dst=10.{u8}.0.0/16,tp_src={u16}",
    "icmp,nw_dst=10.1.{u8}.2,icmp_type={u8},icmp_code=0",
    "arp,arp_spa=10.0.{u8}.1,arp_tpa=10.0.0.{u8},arp_op={op}",
    "dl_src=02:00:00:00:00:{x8},dl_dst=02:00:00:00:{x8}:01",
    "dl_src=02:00:00:00:00:{x8}/ff:ff:ff:ff:ff:0f,dl_vlan={u8}",
    "tcp6,ipv6_src=fe80::{x8},ipv6_dst=2001::/16,tp_dst={u16}",
    "icmp6,icmp_type=135,nd_target=fe80::{x8}",
    "in_port={port}",
    "reg1={u8}/0x{x8},metadata={u16},tun_id={u8}",
    "ip,nw_frag=later,nw_dst=10.0.0.{u8}",
    "in_port={port},dl_src=02:00:00:00:00:{x8},dl_dst=02:00:00:00:00:{x8},dl_vlan=5,"
    "dl_vlan_pcp=0,tcp,nw_tos=0,nw_src=1.2.3.{u8},nw_dst=4.5.6.{u8},tp_src={u16},tp_dst={u16}",
    "",
]
ACTIONS = ["output:2", "set_field:{u8}->nw_ttl,output:3", "drop", "resubmit(,4)", "goto_table:5",
           "mod_tp_dst:80,output:1",
           "learn(table=1,delete_learned,cookie=5,output:NXM_OF_IN_PORT[])",
           "group:1", "strip_vlan,mod_vlan_vid:9,4",
           "set_field:{u16}->reg1,output:{port}", "load:{u8}->NXM_NX_REG2[0..7],resubmit(,{u8})",
           "load:{u8}->NXM_NX_REG2[8..23],load:1->NXM_NX_REG2[],output:{port}",
           "mod_dl_dst:02:00:00:00:{x8}:{x8},mod_nw_src:1.2.{u8}.{u8},output:{port}",
           "set_field:02:00:00:00:00:{x8}->eth_src,set_field:{u16}->tun_id,{port}",
           "set_field:{u16}->metadata,set_field:{u8}->xxreg1,set_field:1/{u8}->reg3,exit",
           "mod_tp_dst:{u16},mod_tp_src:{u16},output:{port}", "set_field:fe80::{x8}->ipv6_src,2",
           "set_field:{u16}->vlan_vid,set_field:{u8}->ip_dscp,load:{u8}->NXM_OF_IP_TOS[],{port}",
           "write_actions(set_field:{u16}->reg1,output:{port})", "conjunction({u8},1/2)",
           "set_field:{u16}->reg4,ct(commit,zone={u8},exec(load:{u8}->NXM_NX_CT_MARK[]))",
           "output:{port},controller(userdata=0{u8}),set_field:{u16}->reg5,enqueue:{port}:{u8}",
           "set_field:{u16}->reg6,goto_table:6"]  # fmt: skip
COMMANDS = [m.ADD] * 4 + [
    m.MODIFY,
    m.MODIFY_STRICT,
    m.MODIFY_STRICT,
    m.DELETE_STRICT,
    m.DELETE_STRICT,
]


class Values:
    """Of what a template leaves open: few, so that flows meet again."""

    def __init__(self, rng):
        draws = {
            "u8": lambda: rng.choice([0, 1, 2, 255]),
            "x8": lambda: rng.choice(["00", "01", "0f", "f1"]),
            "u16": lambda: rng.choice([0, 80, 0xFF00, 0xFFFF]),
            "port": lambda: rng.choice([1, 2, 0xFEFF, "LOCAL"]),
            "op": lambda: rng.choice([1, 2]),
        }
        self._draws = draws

    def fill(self, template):
        parts = template.split("{")
        return parts[0] + "".join(
            f"{self._draws[part.partition('}')[0]]()}{part.partition('}')[2]}" for part in parts[1:]
        )


def stream(rng, number):
    """(bytes, whether tables are in 1.0's commands) of FLOW_MODs in runs that are alike."""
    values = Values(rng)
    while number > 0:
        version, form = rng.choice(FORMS)
        template, actions, command = (rng.choice(of) for of in (MATCHES, ACTIONS, COMMANDS))
        table = rng.choice([0, 0, 1, 2, 3])
        for _ in range(rng.choice([1, 12, 30])):
            number -= 1
            text = f"table={table},priority={rng.choice([1, 7])},{values.fill(template)}"
            text += f",cookie={rng.choice([0, 5])},idle_timeout={rng.choice([0, 9])}"
            if command == m.ADD and rng.random() < 0.3:
                text += ",reset_counts" if version > 2 else ""
            raw = encoded(f"{text} actions={values.fill(actions)}", command, version, form)
            if raw is None:
                break
            if rng.random() < 0.1:  # of a peer that has its own ideas
                at = rng.randrange(4, len(raw))
                raw = raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]
            yield raw, "table_id_in_command" in form


def encoded(text, command, version, form):
    """None: that form cannot say it."""
    try:
        mod = flow_text.parse_flow(text, command)
        if command != m.ADD:
            mod.cookie = 0
        return mod.encode(version, 7, **form)
    except (ValueError, OFError):
        return None


def done_by(program):
    """What a compiled program does, and what it came from."""
    return None if program is None else (program.signature(), repr(program.actions))


class Switch:
    def __init__(self, with_plans):
        self.gone = []
        self.tables = FlowTables(XBridge("br0"), self._removed)
        self.tables.configure({3: TableSettings(limit=20)})
        self.plans = ModPlans(self.tables) if with_plans else None

    def _removed(self, rule, reason):
        self.gone.append((rule.table_id, rule.priority, rule.key, reason))

    def execute(self, raw, table_id, now):
        """The name of the error, or None."""
        if self.plans is not None and self.plans.run(raw, table_id, now) is not None:
            return None
        try:
            mod = m.decode(raw, table_id)
            self.tables.flow_mod(mod, mod.version, now)
        except OFError as error:
            return error.name
        if self.plans is not None:
            self.plans.learn(raw, mod, table_id)
        return None

    def bundle(self, mods, now, commit):
        """Execute (bytes, table_id) in a transaction; the names of errors."""
        transaction = Transaction(self.tables)
        errors = []
        for raw, table_id in mods:
            with transaction.ahead():
                errors.append(self.execute(raw, table_id, now))
        if commit:
            transaction.switch()
        for _ in transaction.rest():
            pass
        return errors

    def count(self):
        for rule in self.tables.rules():
            rule.n_packets += rule.priority
            rule.used = rule.created + 5

    def flows(self):
        return sorted(
            (rule.table_id, rule.priority, rule.key, rule.mask, rule.cookie, rule.flags,
             rule.idle_timeout, rule.hard_timeout, rule.importance, rule.created, rule.modified,
             rule.used, rule.n_packets, rule.data, repr(rule.actions), done_by(rule.program))
            for rule in self.tables.rules()
        )  # fmt: skip

    def timers(self):
        return sorted((when, rule.key) for when, _number, rule in self.tables._expiry)


@pytest.mark.parametrize("seed", range(4))
def test_bundles_are_the_same(seed):
    rng = random.Random(seed)
    planned, plain = Switch(True), Switch(False)
    mods = list(stream(rng, 2500))
    now = 0
    while mods:
        now += 1
        size = rng.choice([1, 40, 100])
        some, mods = mods[:size], mods[size:]
        if rng.random() < 0.3:
            for raw, table_id in some:
                assert planned.execute(raw, table_id, now) == plain.execute(raw, table_id, now)
        else:
            commit = rng.random() < 0.7
            assert planned.bundle(some, now, commit) == plain.bundle(some, now, commit)
        assert planned.flows() == plain.flows()
        planned.count()
        plain.count()
    assert sorted(planned.timers()) == sorted(plain.timers())
    assert planned.plans.n_planned > 300


@pytest.mark.parametrize("seed", range(6))
def test_the_same_as_without_plans(seed):
    rng = random.Random(seed)
    planned, plain = Switch(True), Switch(False)
    for now, (raw, table_id) in enumerate(stream(rng, 3000)):
        assert planned.execute(raw, table_id, now) == plain.execute(raw, table_id, now), raw.hex()
        if now % 50 == 0:
            assert planned.flows() == plain.flows()
            assert planned.timers() == plain.timers()
            planned.count()
            plain.count()
    assert planned.flows() == plain.flows()
    # (What goes with its teacher is a set.)
    assert sorted(planned.gone, key=repr) == sorted(plain.gone, key=repr)
    assert planned.plans.n_planned > 400  # it was them that were tested


def test_what_others_want_to_know_goes_the_whole_way():
    """Monitors, transactions and tables with limits see each change; so do those with names."""
    switch = Switch(True)
    raws = [
        encoded(f"in_port={port},actions=2", m.ADD, 4, {}) for port in range(1, 40)
    ]  # fmt: skip
    for raw in raws:
        switch.execute(raw, False, 1)
    done = switch.plans.n_planned
    assert done > 20
    seen = []
    switch.tables.watched = lambda *change: seen.append(change)
    switch.execute(raws[0], False, 2)
    assert len(seen) == 1
    switch.tables.watched = None
    switch.tables.configure({0: TableSettings(limit=39)})
    assert switch.execute(encoded("in_port=77,actions=2", m.ADD, 4, {}), False, 3) == (
        "OFPFMFC_TABLE_FULL"
    )
    assert switch.plans.n_planned == done


@pytest.mark.parametrize("with_plans", [False, True])
@pytest.mark.parametrize(("version", "form"), [(1, ""), (1, "nx"), *[(v, "") for v in range(2, 7)]])
def test_rows_are_those_of_the_codec(version, form, with_plans):
    switch = Switch(with_plans)
    for now, (raw, table_id) in enumerate(stream(random.Random(version), 2500)):
        switch.execute(raw, table_id, now * 700)
    switch.count()
    nxm = form == "nx"
    now = 3_000_000
    write = m.item_writer(m.FlowStatsReply, version, nxm=nxm)
    by_codec = []

    def whole(rule):
        by_codec.append(rule)
        return write(flow_stats_of(rule, now))

    rows = FlowRows(version, nxm, now, whole)
    rules = list(switch.tables.rules())
    assert len(rules) > 150
    for rule in rules + rules:
        assert rows.row(rule) == write(flow_stats_of(rule, now))
    planned = 2 * len(rules) - len(by_codec)
    assert planned > len(rules) if version in (1, 3, 4, 5) else not planned


@pytest.mark.parametrize("version", [1, 3, 4, 5])
@pytest.mark.parametrize("port", ["NORMAL", "LOCAL", "CONTROLLER:128", "IN_PORT", "7"])
def test_reserved_ports_have_plans_of_their_own(version, port):
    switch = Switch(True)
    for number in range(40):
        raw = encoded(f"in_port=LOCAL,tp_dst={number},tcp,actions={port}", m.ADD, version, {})
        assert switch.execute(raw, False, number) is None
    assert switch.plans.n_planned > 30


@pytest.mark.parametrize("version", [3, 4, 5, 6])
def test_what_follows_may_depend_on_a_tag(version):
    """set_field of vlan_tci with and without the bit that there is a tag: no plan of both."""
    planned, plain = Switch(True), Switch(False)
    text = "in_port={},actions=set_field:0x1777->vlan_tci,set_field:3->vlan_pcp,output:2"
    raws = [encoded(text.format(number), m.ADD, version, {}) for number in range(1, 20)]
    raws += [raw.replace(b"\x17\x77", b"\x07\x77") for raw in raws]
    answers = [[each.execute(raw, False, 1) for raw in raws] for each in (planned, plain)]
    assert answers[0] == answers[1]
    assert set(answers[0]) == {None, "OFPBAC_MATCH_INCONSISTENT"}
