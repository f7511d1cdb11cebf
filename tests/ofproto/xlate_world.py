"""A bridge to translate on, and packets, for the tests of translation."""

from datapath.key import flow
from ofproto.codec.fields import BY_NAME
from ofproto.codec.match import Match
from ofproto.rules.classifier import Rule
from ofproto.rules.compile import compile_actions
from ofproto.xlate.bridges.xbridge import Generation, XBridge, XBundle, XPort
from ofproto.xlate.bridges.xgroup import XBucket, XGroup

NORMAL, FLOOD, ALL, IN_PORT, CONTROLLER = 0xFFFA, 0xFFFB, 0xFFFC, 0xFFF8, 0xFFFD
ODP_BASE = 10  # datapath port = OpenFlow port + this


class Act:
    """An action by its class's name; the codec's classes have the same attributes."""

    def format(self, names=None):
        return type(self).__name__


MORE = {"DecTtl": {"ids": None}}  # of the codec's classes


def act(name, **attributes):
    action = type(name, (Act,), {})()
    action.__dict__.update(MORE.get(name, {}) | attributes)
    return action


def output(port, max_len=0xFFFF):
    return act("Output", port=port, max_len=max_len)


def set_field(name, value, mask=None):
    return act("SetField", field=BY_NAME[name], value=value, mask=mask)


def resubmit(table, port=None):
    return act("Resubmit", port=port, table=table, ct=False)


def move(src, dst, n_bits, src_start=0, dst_start=0):
    return act(
        "RegMove",
        src=BY_NAME[src],
        dst=BY_NAME[dst],
        src_start=src_start,
        dst_start=dst_start,
        n_bits=n_bits,
        destination=(BY_NAME[dst], dst_start, n_bits),
    )


def match(**fields):
    """A Match of exact values, or (value, mask) pairs."""
    made = Match()
    for name, value in fields.items():
        if isinstance(value, tuple):
            made.set(name, *value)
        else:
            made.set(name, value)
    return made


class World:
    """One bridge with ports 1..n, each in a bundle of its own."""

    def __init__(self, n_ports=4, name="br0", generation=None):
        self.bridge = XBridge(name, generation or Generation())
        self.ports = {}
        self.bundles = {}
        for number in range(1, n_ports + 1):
            self.add_port(number)

    def add_port(self, number, odp=None, **vlan):
        port = XPort(f"p{number}", number, *([] if odp == "none" else [ODP_BASE + number]))
        self.bridge.port_add(port)
        bundle = XBundle(f"p{number}")
        bundle.set_vlan(**vlan)
        self.bridge.bundle_set(bundle, [port])
        self.ports[number], self.bundles[number] = port, bundle
        return port

    def group(self, number, kind, buckets):
        """Put a group of messages.Buckets into the bridge; by default a place is a bucket_id."""
        made = [
            XBucket(
                each, compile_actions(each.actions), i if each.bucket_id is None else each.bucket_id
            )
            for i, each in enumerate(buckets)
        ]
        self.bridge.groups[number] = group = XGroup(number, kind, made)
        self.bridge.touch()
        return group

    def rule(self, actions, matching=None, priority=0x8000, table=0, instructions=(), **more):
        made = Rule(
            matching or Match(),
            priority,
            table_id=table,
            program=compile_actions(actions, instructions),
            **more,
        )
        self.bridge.table(table).insert(made)
        return made


def key_of(packet, in_port):
    """The key of packet bytes that came in by an OpenFlow port."""
    return flow.extract(bytes(packet), in_port)
