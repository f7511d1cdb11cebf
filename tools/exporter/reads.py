"""What the exporter asks: the database by OVSDB, the daemon by its control socket.

These are the public protocols, which bound what one client may have; nothing is asked for that
takes vswitchd more than a piece of a round.  Who does not answer within PATIENCE is down.
"""

import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from pyvs import rundir
from pyvs_tools.appctl import find_socket
from pyvs_tools.command import Fatal
from pyvs_tools.ovsdb import rpc

PATIENCE = 3.0  # seconds

TABLES = {
    "Open_vSwitch": ("ovs_version", "db_version", "system_type", "system_version", "external_ids"),
    "Bridge": ("name", "ports", "controller", "datapath_id"),
    "Port": ("_uuid", "name", "interfaces", "bond_mode"),
    "Interface": (
        *("_uuid", "name", "type", "ofport", "admin_state", "link_state", "mtu", "link_speed"),
        *("statistics", "mac_in_use", "link_resets"),
    ),
    "Controller": ("_uuid", "target", "is_connected", "role"),
}
COMMANDS = (
    "version", "dpctl/show", "dpif-netdev/pmd-stats-show", "upcall/show", "coverage/show",
    "memory/show", "dpctl/ct-stats-show", "dpctl/drops", "bond/show",
)  # fmt: skip


class Seen(NamedTuple):
    """`tables`: rows, as plain values; `texts`: of commands, by their names.  Empty where nobody
    answered."""

    tables: dict[str, list[dict[str, Any]]]
    texts: dict[str, str]


def plain(value: Any) -> Any:
    """RFC 7047's value as Python's: lists of atoms and dictionaries; one atom is itself."""
    if isinstance(value, list) and len(value) == 2:
        if value[0] == "set":
            return [plain(each) for each in value[1]]
        if value[0] == "map":
            return {plain(key): plain(each) for key, each in value[1]}
        if value[0] in ("uuid", "named-uuid"):
            return value[1]
    return value


def listed(value: Any) -> list[Any]:
    """A set, of which OVSDB writes one element without its brackets."""
    return value if isinstance(value, list) else [value]


def may_ask() -> None:
    """Raises Fatal for a user who may not: no answer would look as if nothing ran."""
    path = rundir.db_sock()
    try:
        os.stat(path)
    except PermissionError:
        denied = True
    except OSError:
        denied = False  # nothing runs, and it may come
    else:
        denied = not os.access(path, os.W_OK)
    if denied:
        raise Fatal(f"{path}: Permission denied")


def _client(path: str) -> rpc.Client:
    sock = rpc.open_socket("unix:" + path)
    sock.settimeout(PATIENCE)
    return rpc.Client(sock, path)


def _tables() -> dict[str, list[dict[str, Any]]]:
    client = _client(rundir.db_sock())
    try:
        selects = [
            {"op": "select", "table": table, "where": [], "columns": list(columns)}
            for table, columns in TABLES.items()
        ]
        answers = client.request("transact", ["Open_vSwitch", *selects])
    finally:
        client.close()
    return {
        table: [{name: plain(value) for name, value in row.items()} for row in answer["rows"]]
        for table, answer in zip(TABLES, answers, strict=True)
    }


def _texts(commands: Sequence[str]) -> dict[str, str]:
    client = _client(find_socket("pyvs-vswitchd"))
    found = {}
    try:
        for command in commands:
            name, *words = command.split()
            try:
                found[name] = str(client.request(name, words))
            except rpc.RpcError:  # it has no such thing, and others may
                continue
    finally:
        client.close()
    return found


_FAULTS = (OSError, ValueError, KeyError, TypeError, rpc.ConnectError, rpc.Disconnected,
           rpc.RpcError, Fatal)  # fmt: skip


def look(commands: Sequence[str] = COMMANDS) -> Seen:
    """All of it.  Never fails: who is away has said nothing."""
    try:
        tables = _tables()
    except _FAULTS:
        tables = {}
    try:
        texts = _texts(commands)
    except _FAULTS:
        texts = {}
    return Seen(tables, texts)


def numbers(text: str) -> dict[str, float]:
    """Words like "key:12", and lines like "key words: 12"."""
    found = {}
    for line in text.splitlines():
        for key, number in re.findall(r"([a-zA-Z][\w ./-]*?) ?: ?(-?\d+(?:\.\d+)?)\b", line):
            found.setdefault(key.strip(), float(number))
    return found
