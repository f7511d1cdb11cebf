"""pyvs-ctl save and restore: what a reboot would take, beyond the database.

Flows, groups, meters and tunnel options of each bridge as pyvs-ofctl prints them, and the
addresses and routes of bridges' own devices as ip(8) prints them in JSON: the work of ovs-save(8).
A directory has one file for each; save() replaces it whole, so that a crash leaves the one before.
"""

import json
import os
import shutil
import socket
import subprocess

from pyvs import identity, rundir
from pyvs_tools.command import Fatal
from pyvs_tools.ovs_names import program_path

NETWORK = "network.json"
WAIT = "10"  # seconds: a switch that does not answer is not waited for longer


def _flows(text: str) -> str:
    """Lines of dump-flows and dump-groups that begin with white space: add-flows reads them."""
    return "".join(f"{line.strip()}\n" for line in text.splitlines() if line.startswith(" "))


def _meters(text: str) -> str:
    """Each meter of dump-meters on a line; its bands are on lines of their own there."""
    lines = text.partition("\n")[2].replace("\ntype=", " type=")
    return lines.replace("bands= type=", "bands=type=")


def _options(text: str) -> str:
    """The rows of dump-tlv-map's table as add-tlv-map reads them."""
    rows = [line.split() for line in text.splitlines() if "tun_metadata" in line]
    return ",".join(f"{{class={c},type={t},len={n}}}->{name}" for c, t, n, name in rows)


# What is saved of a bridge: suffix, how ofctl dumps it, the text that ofctl reads.
_PARTS = (
    ("tlv", ("dump-tlv-map",), _options),
    ("meters", ("-OOpenFlow15", "dump-meters"), _meters),
    ("groups", ("-OOpenFlow15", "dump-groups"), _flows),
    ("flows", ("-OOpenFlow15", "--no-stats", "--no-names", "dump-flows"), _flows),
)


def _run(name: str, *words: str, text: str | None = None) -> str:
    """A command of ours, or of the system's; its output.  Raises Fatal."""
    own = identity.program(name) if name.startswith("pyvs-") else name
    path = program_path(own) if name.startswith("pyvs-") else own
    environment = {
        **identity.child_environment(),
        identity.variable("RUNDIR"): rundir.rundir(),
    }
    done = subprocess.run(
        [path, *words], input=text, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise Fatal(f"{own} {' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _ofctl(*words: str, text: str | None = None) -> str:
    return _run("pyvs-ofctl", f"--timeout={WAIT}", *words, text=text)


def _vsctl(*words: str) -> list[str]:
    command = ("--no-wait", f"--timeout={WAIT}", *words)
    return _run("pyvs-vsctl", f"--db=unix:{rundir.db_sock()}", *command).split()


# Saving


def _devices() -> list[str]:
    """Bridges and their internal ports."""
    internal = _vsctl("--bare", "--columns=name", "find", "Interface", "type=internal")
    return sorted({*_vsctl("list-br"), *internal})


def _network() -> dict[str, dict]:
    found = {}
    for device in _devices():
        try:
            [shown] = json.loads(_run("ip", "-j", "address", "show", "dev", device))
        except (Fatal, ValueError):
            continue  # it lives in a container, or has gone
        routes = [
            route
            for family in ("-4", "-6")
            for route in json.loads(
                _run("ip", "-j", family, "route", "show", "dev", device) or "[]"
            )
            if route.get("protocol") != "kernel"
        ]
        found[device] = {
            "up": "UP" in shown.get("flags", ()),
            "addresses": [
                f"{each['local']}/{each['prefixlen']}"
                for each in shown.get("addr_info", ())
                if each.get("scope") != "link" and not each.get("dynamic")
            ],
            "routes": routes,
        }
    return found


def save(directory: str) -> int:
    """Write all of it; the directory of before stays until this one is whole."""
    directory = os.path.abspath(directory)
    fresh = directory + ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    os.makedirs(fresh, mode=0o700)
    for bridge in _vsctl("list-br"):
        for suffix, command, readable in _PARTS:
            with open(os.path.join(fresh, f"{bridge}.{suffix}"), "w") as file:
                file.write(readable(_ofctl(*command, bridge)))
    with open(os.path.join(fresh, NETWORK), "w") as file:
        json.dump(_network(), file, indent=1)
    shutil.rmtree(directory, ignore_errors=True)
    os.rename(fresh, directory)
    return 0


# Restoring


def _restore_network(saved: dict[str, dict]) -> None:
    present = {name for _, name in socket.if_nameindex()}
    for device, what in saved.items():
        if device not in present:
            continue
        for address in what["addresses"]:
            _run("ip", "address", "replace", address, "dev", device)
        if what["up"]:
            _run("ip", "link", "set", device, "up")
        for route in what["routes"]:
            via = ("via", route["gateway"]) if "gateway" in route else ()
            metric = ("metric", str(route["metric"])) if "metric" in route else ()
            _run("ip", "route", "replace", route["dst"], *via, "dev", device, *metric)


def _restore_flows(bridge: str, saved: dict[str, str]) -> None:
    """Groups, meters and options come before the flows that use them; the flows that there were
    are replaced in one step."""
    if saved["tlv"]:
        _ofctl("del-tlv-map", bridge)
        _ofctl("add-tlv-map", bridge, saved["tlv"])
    _ofctl("-OOpenFlow15", "del-meters", bridge)
    for meter in saved["meters"].splitlines():
        _ofctl("-OOpenFlow15", "add-meter", bridge, meter)
    _ofctl("-OOpenFlow15", "del-groups", bridge)
    _ofctl("-OOpenFlow15", "--bundle", "add-groups", bridge, "-", text=saved["groups"])
    _ofctl("-OOpenFlow15", "--bundle", "replace-flows", bridge, "-", text=saved["flows"])


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def restore(directory: str) -> int:
    """Make flows, addresses and routes those that were saved, where their bridge or device is
    there; nothing was saved: nothing is done."""
    if not os.path.isdir(directory):
        print(f"nothing was saved in {directory}")
        return 0
    for bridge in _vsctl("list-br"):
        paths = {suffix: os.path.join(directory, f"{bridge}.{suffix}") for suffix, _, _ in _PARTS}
        if all(map(os.path.exists, paths.values())):
            _restore_flows(bridge, {suffix: _read(path) for suffix, path in paths.items()})
    _restore_network(json.loads(_read(os.path.join(directory, NETWORK))))
    return 0
