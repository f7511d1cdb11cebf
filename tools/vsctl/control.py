"""The commands of vsctl for controllers, managers and their TLS: who rules the switch.

Syntax, effects and messages: ovs-vsctl(8).
"""

from pyvs import digits
from pyvs_tools.command import Fatal

from .context import Spec
from .switch import (
    GRAPH,
    find_bridge,
    find_real_bridge,
)

# Controllers and managers


def _warn_of_targets(context, targets):
    for target in targets:
        if target.split(":", 1)[0] not in ("tcp", "ssl", "unix", "ptcp", "pssl", "punix"):
            context.warn(f'target type "{target}" is possibly erroneous')


def _inactivity_probe(command):
    text = command.options.get("inactivity-probe")
    if text is None:
        return None
    probe = digits.number(text)
    if probe is None:
        raise Fatal(f"Invalid inactivity_probe {text}")
    return [probe]


def _delete_all(context, holder, column, table):
    """Empties `holder`'s column; the rows it referred to go, also for later commands."""
    rows = context.snapshot.rows[table]
    holder.verify(column)
    for uuid in holder.get(column):
        if uuid in rows:
            context.snapshot.delete(rows[uuid])
    holder.set(column, [])


def _set_targets(context, command, holder, column, table, targets):
    """Makes rows for targets, and `holder`'s column refer to them; the rows of targets that
    stay are replaced too, as their settings would be."""
    _warn_of_targets(context, targets)
    _delete_all(context, holder, column, table)
    probe, uuids = _inactivity_probe(command), []
    for target in targets:
        row = context.snapshot.insert(table)
        row.set("target", [target])
        if probe is not None:
            row.set("inactivity_probe", probe)
        uuids.append(row.uuid)
    holder.set(column, uuids)


def _print_targets(context, command, holder, column, table):
    rows = context.snapshot.rows[table]
    holder.verify(column)
    for target in sorted(rows[uuid].one("target") for uuid in holder.get(column) if uuid in rows):
        command.print(target)


def run_get_controller(context, command):
    bridge = find_bridge(context, command.args[0])
    _print_targets(context, command, bridge.row, "controller", "Controller")


def run_del_controller(context, command):
    bridge = find_real_bridge(context, command.args[0])
    _delete_all(context, bridge.row, "controller", "Controller")


def run_set_controller(context, command):
    bridge = find_real_bridge(context, command.args[0])
    _set_targets(context, command, bridge.row, "controller", "Controller", command.args[1:])


def run_get_fail_mode(context, command):
    bridge = find_bridge(context, command.args[0])
    bridge.row.verify("fail_mode")
    mode = bridge.row.one("fail_mode")
    if mode:
        command.print(mode)


def run_del_fail_mode(context, command):
    find_real_bridge(context, command.args[0]).row.set("fail_mode", [])


def run_set_fail_mode(context, command):
    bridge = find_real_bridge(context, command.args[0])
    if command.args[1] not in ("standalone", "secure"):
        raise Fatal('fail-mode must be "standalone" or "secure"')
    bridge.row.set("fail_mode", [command.args[1]])


def run_get_manager(context, command):
    _print_targets(context, command, context.root, "manager_options", "Manager")


def run_del_manager(context, command):
    _delete_all(context, context.root, "manager_options", "Manager")


def run_set_manager(context, command):
    _set_targets(context, command, context.root, "manager_options", "Manager", command.args)


# SSL


def run_get_ssl(context, command):
    context.root.verify("ssl")
    row = context.snapshot.rows["SSL"].get(context.root.one("ssl"))
    if row is None:
        return
    for label, column in (
        ("Private key", "private_key"),
        ("Certificate", "certificate"),
        ("CA Certificate", "ca_cert"),
    ):
        command.print(f"{label}: {row.one(column)}")
    command.print(f"Bootstrap: {'true' if row.one('bootstrap_ca_cert') else 'false'}")


def run_del_ssl(context, command):
    _delete_all(context, context.root, "ssl", "SSL")


def run_set_ssl(context, command):
    run_del_ssl(context, command)
    row = context.snapshot.insert("SSL")
    for column, value in zip(("private_key", "certificate", "ca_cert"), command.args, strict=True):
        row.set(column, [value])
    row.set("bootstrap_ca_cert", ["bootstrap" in command.options])
    context.root.set("ssl", [row.uuid])


# The table of commands

_CONTROLLER = {**GRAPH, "Controller": ("target",), "Bridge": ("name", "ports", "controller")}
_FAIL_MODE = {**GRAPH, "Bridge": ("name", "ports", "fail_mode")}
_MANAGER = {"Open_vSwitch": ("manager_options",), "Manager": ("target",)}
_SSL = {
    "Open_vSwitch": ("ssl",),
    "SSL": ("private_key", "certificate", "ca_cert", "bootstrap_ca_cert"),
}

COMMANDS = {
    "get-controller": Spec(1, 1, "!BRIDGE", _CONTROLLER, run_get_controller),
    "del-controller": Spec(1, 1, "!BRIDGE", _CONTROLLER, run_del_controller, writes=True),
    "set-controller": Spec(
        1,
        None,
        "!BRIDGE +TARGET",
        _CONTROLLER,
        run_set_controller,
        options="inactivity-probe=",
        writes=True,
    ),
    "get-fail-mode": Spec(1, 1, "!BRIDGE", _FAIL_MODE, run_get_fail_mode),
    "del-fail-mode": Spec(1, 1, "!BRIDGE", _FAIL_MODE, run_del_fail_mode, writes=True),
    "set-fail-mode": Spec(2, 2, "!BRIDGE !MODE", _FAIL_MODE, run_set_fail_mode, writes=True),
    "get-manager": Spec(0, 0, "", _MANAGER, run_get_manager),
    "del-manager": Spec(0, 0, "", _MANAGER, run_del_manager, writes=True),
    "set-manager": Spec(
        1, None, "+TARGET", _MANAGER, run_set_manager, options="inactivity-probe=", writes=True
    ),
    "get-ssl": Spec(0, 0, "", _SSL, run_get_ssl),
    "del-ssl": Spec(0, 0, "", _SSL, run_del_ssl, writes=True),
    "set-ssl": Spec(
        3,
        3,
        "!PRIVATE-KEY !CERTIFICATE !CA-CERT",
        _SSL,
        run_set_ssl,
        options="bootstrap",
        writes=True,
    ),
}
