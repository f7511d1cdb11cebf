"""What endpoints ask of the switch's database: ports of a bridge, with what they are for.

Each change is one transaction that counts `next_cfg` up and returns when vswitchd has applied it,
as pyvs-vsctl does.
"""

import contextlib
import errno
import os
import time
from typing import Any, NamedTuple

from pyvs import rundir
from pyvs_tools.ovsdb import rpc
from pyvs_tools.ovsdb.model import TransactionError, transact
from pyvs_tools.ovsdb.waiting import wait_for_vswitchd

from .errors import Fault, Forbidden, Unavailable
from .rates import Rates

DATABASE = "Open_vSwitch"
WHO = "containers"
# external_ids of the rows of QoS and Queue that are a port's own: its name.
SHAPES = "pyvs_container_port"
# Seconds that vswitchd may take, its restart by a monitor included.
PATIENCE = 20
# How the errors of an interface end that are the datapath process', not its own: it was killed,
# or is too busy to answer.
NO_DATAPATH = ("the datapath process is gone", f"({os.strerror(errno.ETIMEDOUT)})")


class Port(NamedTuple):
    """A port as it is to be; the names are those of the columns, ovs-vswitchd.conf.db(5)."""

    name: str
    tag: int | None = None
    trunks: tuple[int, ...] = ()
    vlan_mode: str | None = None
    type: str = ""
    ofport_request: int | None = None
    mtu_request: int | None = None
    external_ids: dict[str, str] = {}
    interface_ids: dict[str, str] = {}
    other_config: dict[str, str] = {}  # of the Interface
    rates: Rates = Rates()
    whose: str = ""  # by which its device is found without its port: endpoint.devices_of()


def as_map(pairs: dict[str, str]) -> list:
    """A map as RFC 7047 writes it."""
    return ["map", [list(pair) for pair in pairs.items()]]


def as_set(atoms) -> list:
    """A set as RFC 7047 writes it; None is the empty one."""
    return ["set", [] if atoms is None else list(atoms)]


def from_map(value: list) -> dict[str, Any]:
    """{key: value} of a map in a row."""
    return dict(value[1])


def from_set(value) -> list:
    """The atoms of a set in a row, where a set of one may stand as the atom itself."""
    return value[1] if isinstance(value, list) and value[0] == "set" else [value]


def quoted(error: TransactionError) -> str:
    """What the server said of a transaction."""
    found = error.error
    return f"{found.get('error')}: {found.get('details', '')}".rstrip(": ")


class Database:
    """A connection to the database of the switch; raises Unavailable where there is none,
    Forbidden where it is for others."""

    def __init__(self, remote: str | None = None, patience: float = PATIENCE):
        self.remote = remote or f"unix:{rundir.db_sock()}"
        try:
            self._client = rpc.connect(self.remote, database=DATABASE)
        except rpc.ConnectError as error:
            kind = Forbidden if error.errno in (errno.EACCES, errno.EPERM) else Unavailable
            raise kind(f"{self.remote}: database connection failed ({error})") from None
        self._client.sock.settimeout(patience)

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._client.close()

    def transact(self, *operations: dict) -> list[dict]:
        """The results of one transaction; raises Fault where the server refuses it."""
        try:
            return transact(self._client, DATABASE, list(operations))
        except TransactionError as error:
            raise Fault(quoted(error)) from None
        except rpc.RpcError as error:
            raise Fault(f"{self.remote}: {error}") from None
        except rpc.Disconnected as error:
            raise Unavailable(f"{self.remote}: {error}") from None

    def select(self, table: str, where: list, columns: list[str]) -> list[dict]:
        """Rows, as the server writes them."""
        return self.select_all([(table, where, columns)])[0]

    def select_all(self, wanted: list[tuple[str, list, list[str]]]) -> list[list[dict]]:
        """What select() says of each of (table, where, columns), all read in one step."""
        operations = [
            {"op": "select", "table": table, "where": where, "columns": columns}
            for table, where, columns in wanted
        ]
        return [result["rows"] for result in self.transact(*operations)]

    def configure(self, *operations: dict) -> list[dict]:
        """transact(), and wait until vswitchd has done it."""
        count = {
            "op": "mutate",
            "table": DATABASE,
            "where": [],
            "mutations": [["next_cfg", "+=", 1]],
        }
        read = {"op": "select", "table": DATABASE, "where": [], "columns": ["next_cfg"]}
        results = self.transact(*operations, count, read)
        try:
            wait_for_vswitchd(self._client, DATABASE, WHO, results[-1]["rows"][0]["next_cfg"])
            self._client.request("monitor_cancel", [f"{WHO}-cfg"])
        except rpc.Disconnected as error:
            raise Unavailable(f"vswitchd has not taken the configuration: {error}") from None
        return results

    def has_bridge(self, name: str) -> bool:
        """Whether there is such a bridge."""
        return bool(self.select("Bridge", [["name", "==", name]], ["name"]))

    def has_port(self, name: str) -> bool:
        """Whether there is such a port, on whatever bridge."""
        return bool(self.select("Port", [["name", "==", name]], ["name"]))

    def add_bridge(self, name: str, external_ids: dict[str, str]) -> None:
        """A bridge with its local port."""
        interface = {"op": "insert", "table": "Interface", "uuid-name": "interface"}
        interface["row"] = {"name": name, "type": "internal"}
        port = {"op": "insert", "table": "Port", "uuid-name": "port"}
        port["row"] = {"name": name, "interfaces": ["named-uuid", "interface"]}
        bridge = {"op": "insert", "table": "Bridge", "uuid-name": "bridge"}
        ids = as_map(external_ids)
        bridge["row"] = {"name": name, "ports": ["named-uuid", "port"], "external_ids": ids}
        self.configure(
            interface, port, bridge, _insert_into(DATABASE, [], "bridges", ["named-uuid", "bridge"])
        )

    def delete_bridge(self, name: str) -> None:
        """Delete a bridge with its ports; nothing happens where there is none."""
        for row in self.select("Bridge", [["name", "==", name]], ["_uuid"]):
            self.configure(_delete_from(DATABASE, [], "bridges", row["_uuid"]))

    def add_port(self, bridge: str, port: Port) -> None:
        """Add it to a bridge.  Raises Fault where it cannot be, and then it is not there."""
        where = [["name", "==", bridge]]
        found, *shaped = self.select_all([("Bridge", where, ["name"]), *_shapes(port.name)])
        if not found:
            raise Fault(f"no bridge named {bridge}")
        there = {"op": "wait", "table": "Bridge", "where": where, "columns": ["name"]}
        there.update(until="==", rows=[{"name": bridge}], timeout=0)
        interface = {"op": "insert", "table": "Interface", "uuid-name": "interface"}
        interface["row"] = _interface_row(port)
        row = {"op": "insert", "table": "Port", "uuid-name": "port", "row": _port_row(port)}
        shaping = _shaping(port)
        into = _insert_into("Bridge", where, "ports", ["named-uuid", "port"])
        try:
            self.configure(there, *_unshape(port.name, *shaped), *shaping, interface, row, into)
            self._check_interface(port.name)
        except (Fault, Unavailable):
            self._forget_port(port.name)
            raise

    def renew_port(self, name: str) -> None:
        """The device of a port has come back; raises Fault where the port has not."""
        self.configure()
        self._check_interface(name)

    def _check_interface(self, name: str) -> None:
        end = time.monotonic() + PATIENCE
        while (reason := self._trouble(name)) is not None:
            # vswitchd makes the port when there is a datapath process again that answers.
            if not reason.endswith(NO_DATAPATH) or time.monotonic() > end:
                raise Fault(f"port {name}: {reason}")
            time.sleep(0.05)

    def _trouble(self, name: str) -> str | None:
        """Why an interface is not a port."""
        (row,) = self.select("Interface", [["name", "==", name]], ["ofport", "error"]) or ({},)
        if row and row["ofport"] != -1:
            return None
        return (from_set(row.get("error", ["set", []])) or ["it is not there"])[0]

    def _forget_port(self, name: str) -> None:
        """delete_port() where the first trouble is what counts, and vswitchd may not answer."""
        with contextlib.suppress(Fault, Unavailable):
            self.transact(*self._deletion(name))

    def _deletion(self, *names: str) -> list[dict]:
        wanted = [("Port", [["name", "==", name]], ["_uuid"]) for name in names]
        wanted += [each for name in names for each in _shapes(name)]
        found = self.select_all(wanted)
        ports, shaped = found[: len(names)], found[len(names) :]
        operations = [
            _delete_from("Bridge", [], "ports", row["_uuid"]) for (row,) in filter(None, ports)
        ]
        for number, name in enumerate(names):
            operations += _unshape(name, *shaped[2 * number : 2 * number + 2])
        return operations

    def delete_ports(self, *names: str) -> None:
        """Take ports out of whatever bridges they are on; those that are not there do not count."""
        operations = self._deletion(*names)
        if operations:
            self.configure(*operations)

    def set_port(self, name: str, **columns) -> None:
        """Set columns (as RFC 7047 writes values) of a Port."""
        where = [["name", "==", name]]
        self.configure({"op": "update", "table": "Port", "where": where, "row": columns})

    def ports_with(self, table: str = "Interface", **external_ids: str) -> list[str]:
        """Names of the ports whose external_ids (in the Port or Interface `table`) say so."""
        where = [["external_ids", "includes", as_map(external_ids)]]
        return sorted(row["name"] for row in self.select(table, where, ["name"]))

    def interfaces_with(self, *keys: str) -> dict[str, dict[str, str]]:
        """{name: external_ids} of the Interfaces that have one of the keys there."""
        rows = self.select("Interface", [], ["name", "external_ids"])
        found = {row["name"]: from_map(row["external_ids"]) for row in rows}
        return {name: ids for name, ids in found.items() if ids.keys() & set(keys)}

    def place_of(self, port: str) -> tuple[str, int] | None:
        """(bridge, tag or 0) of a port; None where there is none."""
        for row in self.select("Port", [["name", "==", port]], ["_uuid", "tag"]):
            where = [["ports", "includes", as_set([row["_uuid"]])]]
            for bridge in self.select("Bridge", where, ["name"]):
                return bridge["name"], (from_set(row["tag"]) or [0])[0]
        return None

    def external_ids(self, table: str, name: str) -> dict[str, str]:
        """The external_ids of the row of that name; {} where there is none."""
        rows = self.select(table, [["name", "==", name]], ["external_ids"])
        return from_map(rows[0]["external_ids"]) if rows else {}

    def change_external_ids(
        self, table: str, name: str, *, add: dict[str, str] | None = None, remove: tuple = ()
    ) -> None:
        """Add and remove external_ids of a row, in one step."""
        mutations = []
        if gone := {*remove, *(add or {})}:
            mutations.append(["external_ids", "delete", as_set(sorted(gone))])
        if add:
            mutations.append(["external_ids", "insert", as_map(add)])
        where = [["name", "==", name]]
        self.transact({"op": "mutate", "table": table, "where": where, "mutations": mutations})


def _shapes(name: str) -> list[tuple[str, list, list[str]]]:
    """Where the QoS is that add_port() made for a port: such rows do not go with it."""
    where = [["external_ids", "includes", as_map({SHAPES: name})]]
    return [(table, where, ["_uuid"]) for table in ("QoS", "Queue")]


def _unshape(name: str, disciplines: list[dict], queues: list[dict]) -> list[dict]:
    """Deletes the rows that _shapes() finds."""
    operations = []
    for row in disciplines:
        # Whoever refers to it goes in this transaction, too late for the server's check.
        mine = {"op": "update", "table": "Port", "where": [["qos", "==", row["_uuid"]]]}
        operations.append({**mine, "row": {"qos": as_set(None)}})
    for (table, where, _columns), rows in zip(_shapes(name), (disciplines, queues), strict=True):
        if rows:
            operations.append({"op": "delete", "table": table, "where": where})
    return operations


def _insert_into(table: str, where: list, column: str, value: list) -> dict:
    mutations = [[column, "insert", as_set([value])]]
    return {"op": "mutate", "table": table, "where": where, "mutations": mutations}


def _delete_from(table: str, where: list, column: str, value: list) -> dict:
    mutations = [[column, "delete", as_set([value])]]
    return {"op": "mutate", "table": table, "where": where, "mutations": mutations}


def _interface_row(port: Port) -> dict:
    row: dict[str, Any] = {"name": port.name, "external_ids": as_map(port.interface_ids)}
    row["other_config"] = as_map(port.other_config)
    for column in ("type", "ofport_request", "mtu_request"):
        if value := getattr(port, column):
            row[column] = value
    return {**row, **port.rates.policing()}


def _shaping(port: Port) -> list[dict]:
    """The rows of a discipline, which the port's row names as "qos"."""
    options = port.rates.discipline()
    if not options:
        return []
    ids = as_map({SHAPES: port.name})
    queue = {"op": "insert", "table": "Queue", "uuid-name": "queue"}
    queue["row"] = {"other_config": as_map(port.rates.queue()), "external_ids": ids}
    qos = {"op": "insert", "table": "QoS", "uuid-name": "qos"}
    row = {"type": "linux-htb", "other_config": as_map(options), "external_ids": ids}
    qos["row"] = {**row, "queues": ["map", [[0, ["named-uuid", "queue"]]]]}
    return [queue, qos]


def _port_row(port: Port) -> dict:
    row: dict[str, Any] = {"name": port.name, "interfaces": ["named-uuid", "interface"]}
    row["external_ids"] = as_map(port.external_ids)
    if port.rates.discipline():
        row["qos"] = ["named-uuid", "qos"]
    if port.tag is not None:
        row["tag"] = port.tag
    if port.trunks:
        row["trunks"] = as_set(port.trunks)
    if port.vlan_mode:
        row["vlan_mode"] = port.vlan_mode
    return row
