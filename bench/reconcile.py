"""One more port: the time until vswitchd has it, by how much there is already, beside Open vSwitch.

Both switches get dummy ports, so that no network device counts.  The client speaks to the
database directly: one transaction as vsctl sends it (a Port with its Interface, next_cfg), then
the wait for cur_cfg.  `set` changes a column of a port that is there, `del` takes one away.
Measured in turns, median of ROUNDS.
"""

import os
import shutil
import statistics
import time
from collections.abc import Callable

from bench.harness.peers import sh
from bench.ovsdb import Client

ROUNDS = 15
# (bridges, ports of each bridge besides its own)
SIZES = ((1, 10), (1, 100), (1, 1000), (10, 10), (100, 10))
DATABASE = "Open_vSwitch"


class Switch:
    """A switch named `name` with an empty configuration; `client` is connected to its database."""

    name = ""
    datapath_type = ""
    start_command = ""

    def __init__(self) -> None:
        self.run = f"/run/reconcile-{self.name}"
        self.next_cfg = 0
        os.makedirs(self.run)
        sh(f"ip netns add {self.name} && ip -n {self.name} link set lo up")
        self.start()
        self.client = Client(f"{self.run}/db.sock")
        self.client.call("monitor", [DATABASE, "cfg", {DATABASE: {"columns": ["cur_cfg"]}}])

    def sh(self, command: str) -> str:
        names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "PYVS_RUNDIR")
        environment = " ".join(f"{name}={self.run}" for name in names)
        return sh(f"ip netns exec {self.name} env {environment} {command}")

    def start(self) -> None:
        raise NotImplementedError

    def apply(self, *operations: dict) -> float:
        """Run a transaction and wait until vswitchd has done it; returns the seconds."""
        self.next_cfg += 1
        mutation = {"where": [], "mutations": [["next_cfg", "+=", 1]]}
        counted = {"op": "mutate", "table": DATABASE, **mutation}
        look = {"op": "select", "table": DATABASE, "where": [], "columns": ["next_cfg"]}
        begin = time.perf_counter()
        self.client.send("transact", [DATABASE, *operations, counted, look], 1)
        wanted, seen = None, -1
        while wanted is None or seen < wanted:
            message = self.client.receive()
            if message.get("method") == "update":
                for row in message["params"][1].get(DATABASE, {}).values():
                    seen = row.get("new", {}).get("cur_cfg", seen)
            elif message.get("id") == 1:
                failed = [each for each in message["result"] if each and "error" in each]
                if failed:
                    raise RuntimeError(f"{self.name}: {failed}")
                wanted = message["result"][-1]["rows"][0]["next_cfg"]
        return time.perf_counter() - begin

    # --- what is measured

    def build(self, bridges: int, ports: int) -> float:
        """Replace the configuration; returns the seconds."""
        clear = {"op": "update", "table": DATABASE, "where": [], "row": {"bridges": ["set", []]}}
        self.apply(clear)
        operations: list[dict] = []
        for bridge in range(bridges):
            names = [f"br{bridge}", *(f"p{bridge}-{n}" for n in range(ports))]
            made = [insert_port(name, local=name == names[0]) for name in names]
            operations += [each for pair in made for each in pair]
            row = {
                "name": names[0],
                "datapath_type": self.datapath_type,
                "ports": ["set", [["named-uuid", uuid_name(name)] for name in names]],
            }
            symbol = f"bridge{bridge}"
            insert = {"op": "insert", "table": "Bridge", "uuid-name": symbol, "row": row}
            operations += [insert, mutate(DATABASE, [], "bridges", symbol)]
        return self.apply(*operations)

    def add(self, number: int) -> float:
        name = f"new{number}"
        where = [["name", "==", "br0"]]
        return self.apply(*insert_port(name), mutate("Bridge", where, "ports", uuid_name(name)))

    def set(self, number: int) -> float:
        where = [["name", "==", "p0-0"]]
        return self.apply(
            {"op": "update", "table": "Port", "where": where, "row": {"tag": 1 + number}}
        )

    def delete(self, number: int) -> float:
        where = [["name", "==", f"new{number}"]]
        look = {"op": "select", "table": "Port", "where": where, "columns": ["_uuid"]}
        found = self.client.call("transact", [DATABASE, look])["result"][0]["rows"][0]["_uuid"]
        mutations = [["ports", "delete", found]]
        return self.apply({"op": "mutate", "table": "Bridge", "where": [], "mutations": mutations})


def uuid_name(name: str) -> str:
    return "u" + name.replace("-", "_")


def mutate(table: str, where: list, column: str, symbol: str) -> dict:
    mutations = [[column, "insert", ["set", [["named-uuid", symbol]]]]]
    return {"op": "mutate", "table": table, "where": where, "mutations": mutations}


def insert_port(name: str, local: bool = False) -> tuple[dict, dict]:
    """The operations that make a Port and its Interface."""
    symbol = uuid_name(name)
    row = {"name": name, "type": "internal" if local else "dummy"}
    interface = {"op": "insert", "table": "Interface", "uuid-name": f"i{symbol}", "row": row}
    row = {"name": name, "interfaces": ["named-uuid", f"i{symbol}"]}
    return interface, {"op": "insert", "table": "Port", "uuid-name": symbol, "row": row}


class Pyvs(Switch):
    name = "pyvs"

    def start(self) -> None:
        self.sh("pyvs-ctl start")


class OpenVSwitch(Switch):
    name = "ovs"
    datapath_type = "dummy"

    def start(self) -> None:
        options = "--detach --no-chdir --pidfile --log-file"
        self.sh(f"ovsdb-tool create {self.run}/conf.db")
        self.sh(f"ovsdb-server {self.run}/conf.db --remote=punix:{self.run}/db.sock {options}")
        self.sh(f"ovs-vsctl --db=unix:{self.run}/db.sock --no-wait init")
        self.sh(f"ovs-vswitchd unix:{self.run}/db.sock --enable-dummy {options}")


def measure(switches: list[Switch], act: Callable[[Switch, int], float]) -> dict[str, float]:
    """Milliseconds, median, by switch."""
    times: dict[str, list[float]] = {switch.name: [] for switch in switches}
    for number in range(ROUNDS):
        for switch in switches:
            times[switch.name].append(act(switch, number) * 1000)
    return {name: statistics.median(row) for name, row in times.items()}


def show(title: str, found: dict[str, float]) -> None:
    ratio = f"  {found['pyvs'] / found['ovs']:6.2f} x ovs" if len(found) > 1 else ""
    values = "  ".join(f"{name} {value:8.2f} ms" for name, value in found.items())
    print(f"  {title:24} {values}{ratio}", flush=True)


def main(words: list[str]) -> None:
    """`words`: "pyvs" leaves Open vSwitch out."""
    switches: list[Switch] = [Pyvs()]
    if shutil.which("ovs-vswitchd") and words != ["pyvs"]:
        switches.append(OpenVSwitch())
    for bridges, ports in SIZES:
        print(f"{bridges} bridges of {ports} ports")
        show("all of it at once", {s.name: s.build(bridges, ports) * 1000 for s in switches})
        show("one more port", measure(switches, lambda s, n: s.add(n)))
        show("another tag", measure(switches, lambda s, n: s.set(n)))
        show("one port less", measure(switches, lambda s, n: s.delete(n)))
    print(f"cores: {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")
