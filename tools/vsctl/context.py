"""What the commands of one vsctl run share: schema, snapshot, @names, and the bridges, ports
and interfaces of the switch, fake bridges included.
"""

from pyvs_tools.ovsdb import types


class TryAgain(Exception):
    """The database is not yet as a command wants it."""


class Spec:
    """What a command is: the number of its arguments (`most` None: any), their syntax for bash
    completion, what it reads ({table: columns} or a function of context and command), the
    function that runs it, its options ("=" behind those with a value), whether it may change
    the database, and what remains to be done after the commit."""

    __slots__ = ("after", "least", "most", "options", "reads", "run", "syntax", "writes")

    def __init__(self, least, most, syntax, reads, run, options="", writes=False, after=None):
        self.least, self.most, self.syntax = least, most, syntax
        self.reads, self.run, self.after = reads, run, after
        self.options = {name.rstrip("="): name.endswith("=") for name in options.split()}
        self.writes = writes


class Command:
    """One command of the command line and its output."""

    __slots__ = ("args", "lines", "name", "options", "row", "spec", "table")

    def __init__(self, name, spec, options, args):
        self.name = name
        self.spec = spec
        self.options = options  # {name: value or None}
        self.args = args
        self.reset()

    def reset(self):
        """Forgets the output of an attempt."""
        self.lines = []
        self.table = None
        self.row = None

    def print(self, text):
        self.lines.append(text)

    def __str__(self):
        words = [f"--{key}" + (f"={value}" if value else "") for key, value in self.options.items()]
        return " ".join([*words, self.name, *self.args])


def _folded(name):
    return name.lower().replace("-", "_")


def prefix_match(text, names):
    """The `names` that `text` abbreviates, ignoring case and the difference of - and _; only
    one if it is spelled out."""
    if text in names:
        return [text]
    wanted = _folded(text)
    exact = [name for name in names if _folded(name) == wanted]
    return exact or [name for name in names if wanted and _folded(name).startswith(wanted)]


class Interface:
    __slots__ = ("name", "port", "row")

    def __init__(self, row, port):
        self.row = row
        self.name = row.one("name")
        self.port = port


class Port:
    __slots__ = ("bridge", "ifaces", "name", "row")

    def __init__(self, row, bridge):
        self.row = row
        self.name = row.one("name")
        self.bridge = bridge
        self.ifaces = []


class Bridge:
    """A real bridge, or a fake one: then `parent` is the real one, and `row` is its row."""

    __slots__ = ("children", "name", "parent", "ports", "row", "vlan")

    def __init__(self, name, row, parent=None, vlan=0):
        self.name = name
        self.row = row
        self.parent = parent
        self.vlan = vlan
        self.children = {}  # vlan: fake bridge
        self.ports = []

    def local_port(self):
        """The port of the same name, or None."""
        for port in self.ports:
            if port.name == self.name:
                return port
        return None


class Switch:
    """Bridges, ports and interfaces by name, as the rows of a snapshot say."""

    def __init__(self, context):
        self.bridges = {}
        self.ports = {}
        self.ifaces = {}
        self._context = context
        rows = context.snapshot.rows
        real = [rows["Bridge"].get(uuid) for uuid in context.root.get("bridges")]
        for row in real:
            if row is not None:
                self._add_bridge_tree(row, rows)

    def _add_bridge_tree(self, row, rows):
        bridge = self.add_bridge(row.one("name"), row)
        if bridge is None:
            return
        ports = [rows["Port"].get(uuid) for uuid in row.get("ports")]
        ports = [port for port in ports if port is not None]
        for port in ports:
            vlan = fake_bridge_vlan(port)
            if vlan is not None:
                self.add_bridge(port.one("name"), row, bridge, vlan)
        for port_row in ports:
            port = self.add_port(bridge, port_row)
            if port is not None:
                for uuid in port_row.get("interfaces"):
                    iface = rows["Interface"].get(uuid)
                    if iface is not None:
                        self.add_iface(port, iface)

    def add_bridge(self, name, row, parent=None, vlan=0):
        if name in self.bridges:
            self._context.warn(f"database contains duplicate bridge name {name}")
            return None
        bridge = self.bridges[name] = Bridge(name, row, parent, vlan)
        if parent is not None:
            parent.children.setdefault(vlan, bridge)
        return bridge

    def add_port(self, bridge, row):
        """`bridge` is the real one; ports in the VLAN of a fake bridge go to that."""
        name = row.one("name")
        if name in self.ports:
            self._context.warn(f"port {name} is in more than one bridge")
            return None
        tag = row.one("tag")
        port = Port(row, bridge.children.get(tag, bridge) if tag is not None else bridge)
        port.bridge.ports.append(port)
        self.ports[name] = port
        return port

    def add_iface(self, port, row):
        name = row.one("name")
        if name in self.ifaces:
            self._context.warn(f"interface {name} is in more than one port")
            return None
        iface = self.ifaces[name] = Interface(row, port)
        port.ifaces.append(iface)
        return iface

    def remove_iface(self, iface):
        iface.port.ifaces.remove(iface)
        del self.ifaces[iface.name]

    def remove_port(self, port):
        for iface in list(port.ifaces):
            self.remove_iface(iface)
        port.bridge.ports.remove(port)
        del self.ports[port.name]

    def remove_bridge(self, bridge):
        """Forgets an empty bridge."""
        if bridge.parent is not None:
            bridge.parent.children = {
                vlan: child for vlan, child in bridge.parent.children.items() if child != bridge
            }
        del self.bridges[bridge.name]


def fake_bridge_vlan(port_row):
    """The VLAN of the fake bridge whose local port this is, or None."""
    if not port_row.one("fake_bridge"):
        return None
    tag = port_row.one("tag")
    return tag if tag is not None and 0 <= tag <= 4095 else None


class Context:
    """One attempt to run the commands."""

    def __init__(self, schema, log):
        """`log`: the Diagnostics of the run."""
        self.schema = schema
        self._log = log
        self.wanted = {}
        self.begin(None)

    def warn(self, text, module="vsctl"):
        """`module`: as Open vSwitch's log names the place."""
        self._log.tell(module, "WARN", text)

    def begin(self, snapshot):
        """Forgets what an earlier attempt did."""
        self.snapshot = snapshot
        self.symbols = types.Symbols()
        self.real_uuids = {}  # of rows that the transaction inserted, by made-up UUID
        self.new_ifaces = []  # rows
        self._switch = None
        self._root = None

    def want(self, table, columns):
        """Asks for columns to be read."""
        self.wanted.setdefault(table, set()).update(columns)

    def invalidate(self, row):
        """Tells that a row was changed without regard to `switch`."""
        if row.table.name in ("Open_vSwitch", "Bridge", "Port", "Interface"):
            self._switch = None

    @property
    def root(self):
        """The row of the Open_vSwitch table; a new one in an empty database."""
        if self._root is None:
            rows = self.snapshot.table("Open_vSwitch")
            self._root = rows[0] if rows else self.snapshot.insert("Open_vSwitch")
        return self._root

    @property
    def switch(self):
        if self._switch is None:
            self._switch = Switch(self)
        return self._switch
