"""The commands of vsctl that know what a bridge and a port is.  Syntax, effects and messages:
ovs-vsctl(8).
"""

from pyvs import digits
from pyvs_tools.command import Fatal
from pyvs_tools.ovsdb import types

from .context import Spec
from .db import set_column

# Looking things up


def find_bridge(context, name, must_exist=True):
    """The Bridge, real or fake; None if there is none and that is no error."""
    bridge = context.switch.bridges.get(name)
    if bridge is None and must_exist:
        raise Fatal(f"no bridge named {name}")
    return bridge


def find_real_bridge(context, name):
    bridge = find_bridge(context, name)
    if bridge.parent is not None:
        raise Fatal(f"{name} is a fake bridge")
    return bridge


def find_port(context, name, must_exist=True):
    """The Port; a bridge's local port does not count as existing."""
    port = context.switch.ports.get(name)
    if must_exist and (port is None or port.name == port.bridge.name):
        raise Fatal(f"no port named {name}")
    return port


def find_iface(context, name, must_exist=True):
    iface = context.switch.ifaces.get(name)
    if must_exist and (iface is None or iface.name == iface.port.bridge.name):
        raise Fatal(f"no interface named {name}")
    return iface


def _check_name(kind, name):
    if not name:
        raise Fatal(f"{kind} name must not be empty string")


def check_conflicts(context, name, what):
    """Raises Fatal if a bridge, port or interface of that name exists.  (That none appears
    meanwhile is the server's care: the names are indexes of their tables.)"""
    switch = context.switch
    if name in switch.bridges:
        raise Fatal(f"{what} because a bridge named {name} already exists")
    if name in switch.ports:
        bridge = switch.ports[name].bridge.name
        raise Fatal(f"{what} because a port named {name} already exists on bridge {bridge}")
    if name in switch.ifaces:
        bridge = switch.ifaces[name].port.bridge.name
        raise Fatal(f"{what} because an interface named {name} already exists on bridge {bridge}")


# Making and removing


def _new_iface(context, port, name, kind=""):
    """A row for a network device; `port` is a Port or None."""
    row = context.snapshot.insert("Interface")
    row.set("name", [name])
    if kind:
        row.set("type", [kind])
    context.new_ifaces.append(row)
    if port is not None:
        context.switch.add_iface(port, row)
    return row


def _new_port(context, bridge, name, iface_names, settings=(), kind="", columns=()):
    """A Port on a bridge, which may be fake.  `columns` are (name, datum), `settings` the
    user's COLUMN[:KEY]=VALUE."""
    row = context.snapshot.insert("Port")
    row.set("name", [name])
    if bridge.parent is not None:
        row.set("tag", [bridge.vlan])
    for column, datum in columns:
        row.set(column, datum)
    ifaces = [_new_iface(context, None, iface, kind) for iface in iface_names]
    row.set("interfaces", [iface.uuid for iface in ifaces])
    for setting in settings:
        set_column(context, row, setting)
    bridge.row.verify("name")  # that is, the row is still there
    bridge.row.insert_into("ports", [row.uuid])
    port = context.switch.add_port(bridge.parent or bridge, row)
    for iface in ifaces:
        context.switch.add_iface(port, iface)
    return port


def _delete_iface(context, iface):
    context.switch.remove_iface(iface)
    context.snapshot.delete(iface.row)


def _delete_port(context, port):
    """The rows go, too, as nothing refers to them: later commands do not find them."""
    port.bridge.row.remove_from("ports", [port.row.uuid])
    for iface in list(port.ifaces):
        _delete_iface(context, iface)
    context.switch.remove_port(port)
    context.snapshot.delete(port.row)


def _delete_bridge(context, bridge):
    for child in list(bridge.children.values()):
        _delete_bridge(context, child)
    for port in list(bridge.ports):
        _delete_port(context, port)
    if bridge.parent is None:
        context.root.remove_from("bridges", [bridge.row.uuid])
        context.snapshot.delete(bridge.row)
    context.switch.remove_bridge(bridge)


# Switch


def run_init(context, command):
    """Nothing to do: that the Open_vSwitch row exists is seen to for every command."""


def run_emer_reset(context, command):
    root = context.root
    root.set("manager_options", [])
    root.set("ssl", [])
    for bridge in context.snapshot.table("Bridge"):
        for column in (
            "controller",
            "fail_mode",
            "mirrors",
            "netflow",
            "sflow",
            "ipfix",
            "flood_vlans",
        ):
            if context.snapshot.has("Bridge", column):
                bridge.set(column, [])
        other = bridge.get("other_config")
        bridge.verify("other_config")
        bridge.set("other_config", {key: other[key] for key in ("hwaddr",) if key in other})
    for port in context.snapshot.table("Port"):
        port.set("other_config", {})
    for iface in context.snapshot.table("Interface"):
        iface.set("ingress_policing_rate", [0])
        iface.set("ingress_policing_burst", [0])
    for table in _RESET_TABLES:
        for row in context.snapshot.table(table):
            context.snapshot.delete(row)


_RESET_BRIDGE = ("controller", "fail_mode", "flood_vlans", "ipfix", "mirrors", "netflow", "sflow")
_RESET_TABLES = ("Mirror", "Controller", "Manager", "NetFlow", "SSL", "sFlow", "IPFIX")

# What `show` prints: table: (column of the name or None, columns)
_SHOW = {
    "Open_vSwitch": (None, ("manager_options", "bridges", "ovs_version")),
    "Bridge": ("name", ("controller", "fail_mode", "datapath_type", "ports")),
    "Port": ("name", ("tag", "trunks", "interfaces")),
    "Interface": ("name", ("type", "options", "error")),
    "Controller": ("target", ("is_connected",)),
    "Manager": ("target", ("is_connected",)),
}


def run_show(context, command):
    for row in sorted(context.snapshot.table("Open_vSwitch"), key=lambda row: row.uuid):
        command.print(row.uuid)
        _show_columns(context, command, row, 1)


def _show_row(context, command, row, level):
    name_column, _ = _SHOW[row.table.name]
    kind = row.table.columns[name_column].type
    shown = types.to_text(kind, row.get(name_column))
    command.print("    " * level + f"{row.table.name} {shown}")
    _show_columns(context, command, row, level + 1)


def _show_columns(context, command, row, level):
    for name in _SHOW[row.table.name][1]:
        if not context.snapshot.has(row.table.name, name):
            continue
        kind, datum = row.table.columns[name].type, row.get(name)
        if kind.key.ref_table in _SHOW:
            rows = context.snapshot.rows.get(kind.key.ref_table, {})
            for uuid in datum:
                if uuid in rows:
                    _show_row(context, command, rows[uuid], level)
        elif datum != kind.default():
            command.print("    " * level + f"{name}: {types.to_text(kind, datum)}")


# Bridges


def run_add_br(context, command):
    name, *rest = command.args
    if len(rest) == 1:
        raise Fatal("'add-br' command takes exactly 1 or 3 arguments")
    _check_name("bridge", name)
    parent_name, vlan = (rest[0], _parse_vlan(rest[1])) if rest else (None, 0)
    if "may-exist" in command.options and name in context.switch.bridges:
        _check_same_bridge(find_bridge(context, name), name, parent_name, vlan)
        return
    check_conflicts(context, name, f"cannot create a bridge named {name}")
    if parent_name is None:
        _add_real_bridge(context, name)
    else:
        _add_fake_bridge(context, name, parent_name, vlan)


def _parse_vlan(text):
    vlan = digits.number(text, 4095)
    if vlan is None:
        raise Fatal("add-br: vlan must be between 0 and 4095")
    return vlan


def _check_same_bridge(bridge, name, parent_name, vlan):
    if parent_name is None:
        if bridge.parent is not None:
            raise Fatal(
                f'"--may-exist add-br {name}" but {name} is a VLAN bridge for VLAN {bridge.vlan}'
            )
        return
    but = f'"--may-exist add-br {name} {parent_name} {vlan}" but {name}'
    if bridge.parent is None:
        raise Fatal(f"{but} is not a VLAN bridge")
    if bridge.parent.name != parent_name:
        raise Fatal(f"{but} has the wrong parent {bridge.parent.name}")
    if bridge.vlan != vlan:
        raise Fatal(f"{but} is a VLAN bridge for the wrong VLAN {bridge.vlan}")


def _add_real_bridge(context, name):
    row = context.snapshot.insert("Bridge")
    row.set("name", [name])
    context.root.insert_into("bridges", [row.uuid])
    bridge = context.switch.add_bridge(name, row)
    _new_port(context, bridge, name, [name], kind="internal")


def _add_fake_bridge(context, name, parent_name, vlan):
    parent = find_bridge(context, parent_name, must_exist=False)
    if parent is None:
        raise Fatal(f"parent bridge {parent_name} does not exist")
    if parent.parent is not None:
        raise Fatal("cannot create bridge with fake bridge as parent")
    if vlan in parent.children:
        other = parent.children[vlan].name
        raise Fatal(f"bridge {parent_name} already has a child VLAN bridge {other} on VLAN {vlan}")
    bridge = context.switch.add_bridge(name, parent.row, parent, vlan)
    _new_port(context, bridge, name, [name], kind="internal", columns=[("fake_bridge", [True])])


def run_del_br(context, command):
    bridge = find_bridge(context, command.args[0], "if-exists" not in command.options)
    if bridge is not None:
        _delete_bridge(context, bridge)


def run_list_br(context, command):
    real, fake = "real" in command.options, "fake" in command.options
    for name in sorted(context.switch.bridges):
        is_fake = context.switch.bridges[name].parent is not None
        if real == fake or (fake and is_fake) or (real and not is_fake):
            command.print(name)


def run_br_exists(context, command):
    if find_bridge(context, command.args[0], must_exist=False) is None:
        raise Fatal("", status=2)


def run_br_to_vlan(context, command):
    command.print(str(find_bridge(context, command.args[0]).vlan))


def run_br_to_parent(context, command):
    bridge = find_bridge(context, command.args[0])
    command.print((bridge.parent or bridge).name)


_FAKE_PREFIX = "fake-bridge-"


def _external_ids(bridge):
    """(row, prefix of keys): fake bridges keep theirs in the row of their local port."""
    if bridge.parent is None:
        return bridge.row, ""
    return bridge.local_port().row, _FAKE_PREFIX


def run_br_set_external_id(context, command):
    row, prefix = _external_ids(find_bridge(context, command.args[0]))
    key, *value = command.args[1:]
    if value:
        row.insert_into("external_ids", {prefix + key: value[0]})
    else:
        row.remove_from("external_ids", [prefix + key])


def run_br_get_external_id(context, command):
    row, prefix = _external_ids(find_bridge(context, command.args[0]))
    ids = row.get("external_ids")
    row.verify("external_ids")
    if len(command.args) > 1:
        if prefix + command.args[1] in ids:
            command.print(ids[prefix + command.args[1]])
        return
    for key in sorted(ids):
        if key.startswith(prefix):
            command.print(f"{key[len(prefix) :]}={ids[key]}")


# Ports and interfaces


def _port_names(context, bridge):
    bridge.row.verify("ports")
    return sorted(port.name for port in bridge.ports if port.name != bridge.name)


def run_list_ports(context, command):
    for name in _port_names(context, find_bridge(context, command.args[0])):
        command.print(name)


def _add_port(context, command, bridge_name, name, iface_names, settings, fake_iface=False):
    _check_name("port", name)
    for iface in iface_names:
        _check_name("interface", iface)
    if "may-exist" in command.options and name in context.switch.ports:
        port = find_port(context, name, must_exist=False)
        if port.name != port.bridge.name:
            _check_same_port(command, port, bridge_name, iface_names)
            return
    # First: a bridge that is missing is what is wrong, wherever a port of this name is.
    bridge = find_bridge(context, bridge_name)
    check_conflicts(context, name, f"cannot create a port named {name}")
    for iface in iface_names:
        if iface != name:
            check_conflicts(context, iface, f"cannot create an interface named {iface}")
    columns = [("bond_fake_iface", [True])] if fake_iface else []
    _new_port(context, bridge, name, iface_names, settings, columns=columns)


def _check_same_port(command, port, bridge_name, iface_names):
    words = " ".join([command.name, bridge_name, port.name])
    if command.name == "add-bond":
        words += " " + " ".join(iface_names)
    but = f'"--may-exist {words}" but {port.name}'
    if port.bridge.name != bridge_name:
        raise Fatal(f"{but} is actually attached to bridge {port.bridge.name}")
    have = sorted(iface.name for iface in port.ifaces)
    if have != sorted(iface_names):
        raise Fatal(f"{but} actually has interface(s) {', '.join(have)}")


def run_add_port(context, command):
    bridge, name, *settings = command.args
    _add_port(context, command, bridge, name, [name], settings)


def run_add_bond(context, command):
    bridge, name, *rest = command.args
    ifaces = []
    while rest and "=" not in rest[0]:
        ifaces.append(rest.pop(0))
    if len(ifaces) < 2:
        raise Fatal(
            f"add-bond requires at least 2 interfaces, but only {len(ifaces)} were specified"
        )
    _add_port(context, command, bridge, name, ifaces, rest, "fake-iface" in command.options)


def run_del_port(context, command):
    name, must_exist = command.args[-1], "if-exists" not in command.options
    if name in context.switch.bridges:
        if must_exist:
            raise Fatal(
                f"cannot delete port {name} because it is the local port for bridge {name} "
                "(deleting this port requires deleting the entire bridge)"
            )
        return
    port = _port_to_delete(context, command, name, must_exist)
    if port is None:
        return  # wherever it would have been: that bridge may be gone, too
    bridge = find_bridge(context, command.args[0]) if len(command.args) == 2 else port.bridge
    if port.bridge is not bridge:
        hint = ""
        if port.bridge.parent is bridge:
            hint = f" (although its child bridge {port.bridge.name} does)"
        elif bridge.parent is port.bridge and port.bridge.parent is not None:
            hint = f" (although its parent bridge {bridge.parent.name} does)"
        raise Fatal(f"bridge {bridge.name} does not have a port {name}{hint}")
    _delete_port(context, port)


def _port_to_delete(context, command, name, must_exist):
    if "with-iface" not in command.options:
        return find_port(context, name, must_exist)
    port = find_port(context, name, must_exist=False)
    if port is None:
        iface = find_iface(context, name, must_exist=False)
        if iface is not None:
            return iface.port
        if must_exist:
            raise Fatal(f"no port or interface named {name}")
    return port


def run_port_to_br(context, command):
    command.print(find_port(context, command.args[0]).bridge.name)


def run_list_ifaces(context, command):
    bridge = find_bridge(context, command.args[0])
    bridge.row.verify("ports")
    names = [
        iface.name for port in bridge.ports for iface in port.ifaces if iface.name != bridge.name
    ]
    for name in sorted(names):
        command.print(name)


def run_iface_to_br(context, command):
    command.print(find_iface(context, command.args[0]).port.bridge.name)


def run_add_bond_iface(context, command):
    port_name, name = command.args
    port = find_port(context, port_name)
    if "may-exist" in command.options and name in context.switch.ifaces:
        iface = find_iface(context, name, must_exist=False)
        if iface.port is not port:
            raise Fatal(
                f'"--may-exist add-bond-iface {port_name} {name}" but {name} is actually '
                f"attached to port {iface.port.name}"
            )
        return
    check_conflicts(context, name, f"cannot create an interface named {name}")
    row = _new_iface(context, port, name)
    port.row.verify("name")
    port.row.insert_into("interfaces", [row.uuid])


def run_del_bond_iface(context, command):
    name = command.args[-1]
    iface = find_iface(context, name, "if-exists" not in command.options)
    if iface is None:
        return
    if len(command.args) == 2:
        port = find_port(context, command.args[0])
        if iface.port is not port:
            raise Fatal(f"port {port.name} does not have an interface {name}")
    if len(iface.port.ifaces) == 1:
        raise Fatal(f"cannot delete last interface from port {iface.port.name}")
    iface.port.row.verify("interfaces")  # that another one is left
    iface.port.row.remove_from("interfaces", [iface.row.uuid])
    _delete_iface(context, iface)


# The table of commands

# What the commands read to know bridges and their ports.
GRAPH = {
    "Open_vSwitch": ("bridges",),
    "Bridge": ("name", "ports"),
    "Port": ("name", "fake_bridge", "tag", "interfaces"),
    "Interface": ("name",),
}
_EXTERNAL_IDS = {**GRAPH, "Bridge": ("name", "ports", "external_ids")}
_EXTERNAL_IDS["Port"] = (*GRAPH["Port"], "external_ids")
_RESET = {
    **dict.fromkeys(_RESET_TABLES, ()),
    "Open_vSwitch": ("manager_options", "ssl"),
    "Bridge": ("other_config", *_RESET_BRIDGE),
    "Port": ("other_config",),
    "Interface": ("ingress_policing_rate", "ingress_policing_burst"),
}
_SHOW_COLUMNS = {
    table: tuple(name for name in (head, *columns) if name)
    for table, (head, columns) in _SHOW.items()
}

COMMANDS = {
    "init": Spec(0, 0, "", {}, run_init, writes=True),
    "show": Spec(0, 0, "", _SHOW_COLUMNS, run_show),
    "emer-reset": Spec(0, 0, "", _RESET, run_emer_reset, writes=True),
    "add-br": Spec(
        1, 3, "!NEW-BRIDGE ?PARENT ?NEW-VLAN", GRAPH, run_add_br, options="may-exist", writes=True
    ),
    "del-br": Spec(1, 1, "!BRIDGE", GRAPH, run_del_br, options="if-exists", writes=True),
    "list-br": Spec(0, 0, "", GRAPH, run_list_br, options="real fake"),
    "br-exists": Spec(1, 1, "!BRIDGE", GRAPH, run_br_exists),
    "br-to-vlan": Spec(1, 1, "!BRIDGE", GRAPH, run_br_to_vlan),
    "br-to-parent": Spec(1, 1, "!BRIDGE", GRAPH, run_br_to_parent),
    "br-set-external-id": Spec(
        2, 3, "!BRIDGE !KEY ?VALUE", _EXTERNAL_IDS, run_br_set_external_id, writes=True
    ),
    "br-get-external-id": Spec(1, 2, "!BRIDGE ?KEY", _EXTERNAL_IDS, run_br_get_external_id),
    "list-ports": Spec(1, 1, "!BRIDGE", GRAPH, run_list_ports),
    "add-port": Spec(
        2,
        None,
        "!BRIDGE !NEW-PORT *COLUMN?:KEY=VALUE",
        GRAPH,
        run_add_port,
        options="may-exist",
        writes=True,
    ),
    "add-bond": Spec(
        4,
        None,
        "!BRIDGE !BOND +IFACE *COLUMN?:KEY=VALUE",
        GRAPH,
        run_add_bond,
        options="may-exist fake-iface",
        writes=True,
    ),
    "add-bond-iface": Spec(
        2, 2, "!BOND !IFACE", GRAPH, run_add_bond_iface, options="may-exist", writes=True
    ),
    "del-bond-iface": Spec(
        1, 2, "?BOND !IFACE", GRAPH, run_del_bond_iface, options="if-exists", writes=True
    ),
    "del-port": Spec(
        1,
        2,
        "?BRIDGE !PORT|IFACE",
        GRAPH,
        run_del_port,
        options="if-exists with-iface",
        writes=True,
    ),
    "port-to-br": Spec(1, 1, "!PORT", GRAPH, run_port_to_br),
    "list-ifaces": Spec(1, 1, "!BRIDGE", GRAPH, run_list_ifaces),
    "iface-to-br": Spec(1, 1, "!IFACE", GRAPH, run_iface_to_br),
}
