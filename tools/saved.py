"""pyvs-ctl save and restore: what a reboot would take, beyond the database.

Flows, groups, meters and tunnel options of each bridge as pyvs-ofctl prints them, and the addresses
and routes of bridges' own devices as ip(8) does: the work of ovs-save(8).  All of it is one file,
FILE in the directory, which is replaced in one step.  What goes wrong with one bridge, device or
route is told, and keeps nothing else from being saved or restored; the status is 1 then.
"""

import json
import os
import socket
import subprocess
import sys

from pyvs import rundir
from pyvs_tools.command import Fatal
from pyvs_tools.ovs_names import run_program

FILE = "state.json"
WAIT = "10"  # seconds: a switch that does not answer is not waited for longer

OLD = "OpenFlow10", "OpenFlow11", "OpenFlow12"  # without meters and bundles
NEWEST = "OpenFlow15"

# Routes that the kernel, an advertisement or a lease made are made by those again.
_PASSING = ("kernel", "ra", "dhcp", "redirect")
# What `ip route show` tells of a route's state, and does not take back.
_STATES = {"linkdown", "dead", "offload", "trap", "notify", "pervasive"}


def _flows(text: str) -> list[str]:
    """Lines of dump-flows and dump-groups that begin with white space: add-flows reads them."""
    return [line.strip() for line in text.splitlines() if line.startswith(" ")]


def _meters(text: str) -> list[str]:
    """Each meter of dump-meters on a line; its bands are on lines of their own there."""
    lines = text.partition("\n")[2].replace("\ntype=", " type=")
    return lines.replace("bands= type=", "bands=type=").splitlines()


def _options(text: str) -> list[str]:
    """The rows of dump-tlv-map's table as add-tlv-map reads them."""
    rows = [line.split() for line in text.splitlines() if "tun_metadata" in line]
    return [f"{{class={c},type={t},len={n}}}->{name}" for c, t, n, name in rows]


# What is saved of a bridge: name, how ofctl dumps it, how that becomes lines that ofctl reads.
_PARTS = (
    ("tlv", ("dump-tlv-map",), _options),
    ("meters", ("dump-meters",), _meters),
    ("groups", ("dump-groups",), _flows),
    ("flows", ("--no-stats", "--no-names", "dump-flows"), _flows),
)


class _Troubles:
    """Runs the parts of a work one by one; `status` is 1 after one that failed."""

    def __init__(self) -> None:
        self.status = 0

    def guard(self, what: str, work, *arguments):
        """What `work` returns; None where it failed."""
        try:
            return work(*arguments)
        except (Fatal, OSError, ValueError, KeyError, TypeError) as error:
            self.status = 1
            print(f"{what}: {error}", file=sys.stderr)
            return None


def _ofctl(version: str, *words: str, text: str | None = None) -> str:
    return run_program("pyvs-ofctl", f"--timeout={WAIT}", f"-O{version}", *words, text=text)


def _rows(table: str, *words: str) -> list[list]:
    """The rows of a table as vsctl's JSON has them, by the columns that `words` name first."""
    base = ("--no-wait", f"--timeout={WAIT}", f"--db=unix:{rundir.db_sock()}", "-f", "json")
    columns, *condition = words
    command = ("find" if condition else "list", table, *condition)
    return json.loads(run_program("pyvs-vsctl", *base, f"--columns={columns}", *command))["data"]


def _bridges() -> dict[str, str]:
    """Name -> the newest version of OpenFlow that it speaks."""
    found = {}
    for name, protocols in _rows("Bridge", "name,protocols"):
        known = protocols[1] if isinstance(protocols, list) else [protocols]
        if not name.startswith("-") and "/" not in name:
            found[name] = max(known, default=NEWEST)
    return found


# Saving


def _saved_bridge(name: str, version: str) -> dict:
    found: dict = {"version": version}
    for part, command, lines in _PARTS:
        lacks = part == "meters" and version in OLD
        found[part] = [] if lacks else lines(_ofctl(version, *command, name))
    return found


def _saved_device(name: str) -> dict:
    [shown] = json.loads(run_program("ip", "-j", "address", "show", "dev", name))
    addresses = [
        [f"{each['local']}/{each['prefixlen']}"]
        + (["brd", each["broadcast"]] if "broadcast" in each else [])
        for each in shown.get("addr_info", ())
        if each.get("scope") != "link" and not each.get("dynamic")
    ]
    routes = []
    for family in ("-4", "-6"):
        for line in run_program("ip", "-o", family, "route", "show", "dev", name).splitlines():
            words = [word for word in line.split() if word not in _STATES]
            if not any(f"proto {each}" in line for each in _PASSING) and "\\" not in line:
                routes.append([family, *words])
    return {"up": "UP" in shown.get("flags", ()), "addresses": addresses, "routes": routes}


def _read(directory: str) -> dict:
    path = os.path.join(directory, FILE)
    with open(path) as file:
        try:
            state = json.load(file)
        except ValueError as error:
            raise Fatal(f"{path} is damaged: {error}") from None
    if not isinstance(state, dict) or not state.keys() >= {"bridges", "network"}:
        raise Fatal(f"{path} is not what save writes")
    return state


def _write(directory: str, state: dict) -> None:
    path = os.path.join(directory, FILE)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    with open(path + ".new", "w") as file:
        json.dump(state, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


def save(directory: str) -> int:
    """Write all of it; of a bridge that does not answer what was saved of it before stays."""
    troubles = _Troubles()
    before: dict = {"bridges": {}}
    if os.path.exists(os.path.join(directory, FILE)):
        before = troubles.guard(directory, _read, directory) or before
    bridges = {}
    for name, version in _bridges().items():
        saved = troubles.guard(name, _saved_bridge, name, version) or before["bridges"].get(name)
        if saved:
            bridges[name] = saved
    internal = [name for [name] in _rows("Interface", "name", "type=internal")]
    present = {name for _, name in socket.if_nameindex()}  # others live in containers
    network = {}
    for name in sorted({*bridges, *internal} & present):
        saved = troubles.guard(name, _saved_device, name)
        if saved:
            network[name] = saved
    _write(directory, {"bridges": bridges, "network": network})
    return troubles.status


# Restoring


def _restore_device(troubles: _Troubles, name: str, saved: dict) -> list[tuple[str, list[str]]]:
    """Addresses, and up; returns the device's routes, (device, words) of each."""
    for words in saved["addresses"]:
        troubles.guard(name, run_program, "ip", "address", "replace", *words, "dev", name)
    if saved["up"]:
        troubles.guard(name, run_program, "ip", "link", "set", name, "up")
    return [(name, words) for words in saved["routes"]]


def _restore_routes(troubles: _Troubles, routes: list[tuple[str, list[str]]]) -> None:
    """As long as one more succeeds: a route to a gateway comes before those through it."""
    while routes:
        left = []
        for device, words in routes:
            family, *rest = words
            command = ["ip", family, "route", "replace", *rest, "dev", device]
            if subprocess.run(command, capture_output=True, check=False).returncode:
                left.append((device, words))
        if len(left) == len(routes):
            for device, words in left:
                troubles.guard(
                    device,
                    run_program,
                    "ip",
                    words[0],
                    "route",
                    "replace",
                    *words[1:],
                    "dev",
                    device,
                )
            return
        routes = left


def _restore_meters(name: str, version: str, wanted: list[str]) -> None:
    """Meters that are there are changed: flows that use them stay."""
    known = {line.split()[0] for line in _meters(_ofctl(version, "dump-meters", name))}
    for meter in wanted:
        command = "mod-meter" if meter.split()[0] in known else "add-meter"
        _ofctl(version, command, name, meter)


def _restore_bridge(name: str, version: str, saved: dict) -> None:
    """Meters and options come before the flows that use them; flows and groups are replaced in
    one step, where the version has such steps."""
    if saved["tlv"] and _options(_ofctl(version, "dump-tlv-map", name)) != saved["tlv"]:
        _ofctl(version, "del-tlv-map", name)
        _ofctl(version, "add-tlv-map", name, ",".join(saved["tlv"]))
    if version in OLD:
        _ofctl(version, "del-groups", name)
        _ofctl(version, "add-groups", name, "-", text="\n".join(saved["groups"]))
        _ofctl(version, "replace-flows", name, "-", text="\n".join(saved["flows"]))
        return
    _restore_meters(name, version, saved["meters"])
    lines = ["flow delete", "group delete"]
    lines += [f"group add {group}" for group in saved["groups"]]
    lines += [f"flow add {flow}" for flow in saved["flows"]]
    _ofctl(version, "bundle", name, "-", text="\n".join(lines))


def restore(directory: str) -> int:
    """Make flows, addresses and routes those that were saved, where their bridge or device is
    there; nothing was saved: nothing is done."""
    if not os.path.exists(os.path.join(directory, FILE)):
        print(f"nothing was saved in {directory}")
        return 0
    troubles = _Troubles()
    state = _read(directory)
    present = {name for _, name in socket.if_nameindex()}
    routes: list[tuple[str, list[str]]] = []
    for name, saved in state["network"].items():
        if name in present:
            routes += troubles.guard(name, _restore_device, troubles, name, saved) or []
    _restore_routes(troubles, routes)
    for name, version in _bridges().items():
        if name in state["bridges"]:
            troubles.guard(name, _restore_bridge, name, version, state["bridges"][name])
    return troubles.status
