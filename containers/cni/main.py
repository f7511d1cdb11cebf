"""pyvs-cni: the commands ADD, DEL, CHECK, GC, STATUS and VERSION.

A runtime executes it with the call in CNI_* variables and the network's configuration on stdin;
the answer, or an error object with a status that is not 0, goes to stdout.  Keys of a
configuration, besides the specification's: `bridge`, `vlan`, `trunk`, `mtu`, `ofport_request`,
`interface_type`, `mac`, `socket_file`, as ovs-cni has them, and `bandwidth` with `ingressRate`,
`ingressBurst`, `egressRate` and `egressBurst`, as CNI's plug-in of that name has them.  The rows of
the ports carry ovs-cni's external_ids, too, so that its marker and mirror plug-ins find them.
"""

import contextlib
import json
import os
import sys
from typing import Any, NoReturn

from .. import endpoint
from ..database import Database, Port
from ..errors import BadRequest, Fault, Forbidden, NotThere, Unavailable
from ..rates import MOST, Rates, check
from ..rtnetlink import Rtnetlink
from . import ipam
from .config import OLDEST, VERSIONS, Call, read_call
from .errors import (
    FAILED,
    INVALID_CONFIG,
    IO_FAILURE,
    NOT_AVAILABLE,
    TRY_AGAIN,
    UNKNOWN_CONTAINER,
    CniError,
)
from .result import result

OWNER = "pyvs-cni"
# Where ports of logical networks are, when a configuration names none (ovs-cni's default).
INTEGRATION_BRIDGE = "br-int"
KINDS = ("system", "internal")
# The next plug-in of the chain may want the port's ingress qdisc, as CNI's bandwidth does.
OTHERS_FIRST = {"kernel-cache": "later"}

# What another fault is in the specification's numbers.
CODES = (
    *((Unavailable, TRY_AGAIN), (Forbidden, IO_FAILURE)),
    *((NotThere, UNKNOWN_CONTAINER), (BadRequest, INVALID_CONFIG)),
)


def _database(call: Call) -> Database:
    remote = call.config.get("socket_file")
    if remote and ":" not in remote:
        remote = "unix:" + remote
    return Database(remote)


def _bridge(call: Call) -> str:
    name = call.config.get("bridge") or (INTEGRATION_BRIDGE if call.args.get("OvnPort") else None)
    if not name:
        raise CniError(INVALID_CONFIG, "bridge: missing")
    return name


def _runtime_mac(call: Call) -> str | None:
    """The address that somebody asked for: the runtime by capability or argument, or the
    configuration."""
    runtime = call.mapping("runtimeConfig").get("mac")
    cni_args = call.mapping("args", "cni").get("mac")
    return runtime or cni_args or call.args.get("MAC") or call.config.get("mac")


def _owned(call: Call) -> dict[str, str]:
    """external_ids by which a port of this container is found again."""
    return {"cni_container": call.container, "contIface": call.interface, "owner": OWNER}


def _whose(call: Call) -> str:
    return endpoint.whose(OWNER, call.network)


# key of "bandwidth" -> what it is here; bits, and "ingress" is the container's
BANDWIDTH = {
    "ingressRate": "towards",
    "ingressBurst": "towards_burst",
    "egressRate": "away",
    "egressBurst": "away_burst",
}


def _rates(call: Call) -> Rates:
    """What the runtime asks for by the capability "bandwidth", or else the configuration."""
    given = call.mapping("runtimeConfig", "bandwidth") or call.mapping("bandwidth")
    found = {}
    for key, value in given.items():
        if key not in BANDWIDTH or not value:
            continue
        if not 0 < value <= MOST:
            raise CniError(INVALID_CONFIG, f"bandwidth: {key} is not a number of bits")
        found[BANDWIDTH[key]] = check(value) if key.endswith("Rate") else value
    return Rates(**found)


def _port(call: Call) -> Port:
    kind = call.config.get("interface_type") or ""
    if kind not in ("", *KINDS):
        raise CniError(INVALID_CONFIG, f"interface_type: {kind} is not supported here")
    tag, trunks = call.number("vlan", 0, 4094), call.trunks()
    ids = {**_owned(call), "cni_network": call.network, "contNetns": call.netns}
    if pod := call.args.get("K8S_POD_UID"):
        ids["contPodUid"] = pod
    interface_ids = {"container_id": call.container, "container_iface": call.interface}
    if logical := call.args.get("OvnPort") or call.config.get("ovnPort"):
        interface_ids["iface-id"] = logical
    return Port(
        name=endpoint.device_name(call.container, call.interface),
        tag=tag,
        trunks=trunks,
        rates=_rates(call),
        other_config=OTHERS_FIRST,
        vlan_mode="native-untagged" if trunks and tag else "trunk" if trunks else None,
        ofport_request=call.number("ofport_request", 1, 65279),
        whose=_whose(call),
        external_ids=ids,
        interface_ids=interface_ids,
    )


def _wanted(call: Call, given: ipam.Addresses) -> endpoint.Interface:
    routes = []
    for each in given.routes:
        gateway = each.get("gw") or _gateway(given, each["dst"])
        routes.append((each["dst"], gateway))
    return endpoint.Interface(
        name=call.interface,
        mac=_runtime_mac(call),
        mtu=call.number("mtu", 0, endpoint.MTU_MOST) or None,
        addresses=tuple(each["address"] for each in given.ips),
        routes=tuple(routes),
    )


def _gateway(given: ipam.Addresses, destination: str) -> str | None:
    """The gateway of a route that names none: that of the address of its family."""
    for each in given.ips:
        if (":" in each["address"]) == (":" in destination) and each.get("gateway"):
            return each["gateway"]
    return None


def _clear(call: Call, database: Database, name: str) -> bool:
    """Whether all of the attachment is there; half of it is taken away: endpoint.clear()."""
    ports, pair = database.ports_with("Port", **_owned(call)), endpoint.is_connected(name)
    if bool(ports) != pair:
        endpoint.detach(database, *{*ports, name})
    return bool(ports) and pair


def run_add(call: Call) -> dict[str, Any]:
    bridge, port = _bridge(call), _port(call)
    with _database(call) as database:
        whole = _clear(call, database, port.name)
        # Before there are addresses: they would be another attachment's.
        endpoint.check_new(database, port.name, call.netns, call.interface)
        with ipam.addresses(call, left_over=not whole) as given:
            mac = endpoint.attach(database, bridge, call.netns, _wanted(call, given), port)
    interfaces: list[dict[str, Any]] = [
        {"name": bridge},
        {"name": port.name},
        {"name": call.interface, "mac": mac, "sandbox": call.netns},
    ]
    return result(call, interfaces, given)


def run_del(call: Call) -> None:
    """Takes away what is there; nothing that is missing is an error."""
    ipam.run(call, "DEL")
    with _database(call) as database:
        names = database.ports_with("Port", **_owned(call))
        name = endpoint.device_name(call.container, call.interface)
        endpoint.detach(database, *{*names, name})


def run_check(call: Call) -> None:
    previous = call.config.get("prevResult")
    if previous is None:
        raise CniError(INVALID_CONFIG, "prevResult: missing")
    ipam.run(call, "CHECK")
    with _database(call) as database:
        if not database.ports_with("Port", **_owned(call)):
            raise CniError(FAILED, f"{call.interface}: its port is not on the bridge")
    mine = [
        (number, each)
        for number, each in enumerate(previous.get("interfaces") or ())
        if each.get("sandbox") == call.netns and each.get("name") == call.interface
    ]
    if not mine:
        raise CniError(INVALID_CONFIG, f"prevResult: interface {call.interface} is missing")
    number, described = mine[0]
    ips = [each for each in previous.get("ips") or () if each.get("interface") == number]
    _check_interface(call, described, {each["address"] for each in ips})


def _check_interface(call: Call, described: dict[str, Any], addresses: set[str]) -> None:
    with endpoint.namespace(call.netns) as netns, Rtnetlink(netns) as inside:
        link = inside.link(call.interface)
        if link is None or not link.is_up:
            raise CniError(FAILED, f"{call.interface}: not there, or not up")
        if (described.get("mac") or link.mac).lower() != link.mac:
            raise CniError(FAILED, f"{call.interface}: its address is {link.mac}")
        if missing := addresses - inside.addresses(link):
            raise CniError(FAILED, f"{call.interface}: lacks {', '.join(sorted(missing))}")


def run_gc(call: Call) -> None:
    """Deletes the network's ports but those of "cni.dev/valid-attachments"."""
    attachments = call.config.get("cni.dev/valid-attachments")
    if attachments is None:
        raise CniError(INVALID_CONFIG, "cni.dev/valid-attachments: missing")
    valid = {endpoint.device_name(each["containerID"], each["ifname"]) for each in attachments}
    with _database(call) as database:
        found = {*database.ports_with("Port", owner=OWNER, cni_network=call.network)}
        found.update(endpoint.devices_of(_whose(call)))
        endpoint.detach(database, *sorted(found - valid))
    ipam.run(call, "GC")


def run_status(call: Call) -> None:
    try:
        with _database(call) as database:
            if not database.has_bridge(_bridge(call)):
                raise CniError(NOT_AVAILABLE, f"no bridge named {_bridge(call)}")
    except Unavailable as error:
        raise CniError(NOT_AVAILABLE, str(error)) from None
    ipam.run(call, "STATUS")


def run_version(_call: Call) -> dict[str, Any]:
    return {"supportedVersions": list(VERSIONS)}


COMMANDS = {
    "ADD": run_add,
    "DEL": run_del,
    "CHECK": run_check,
    "GC": run_gc,
    "STATUS": run_status,
    "VERSION": run_version,
}


def _as_cni_error(error: Exception) -> CniError:
    """Any fault in the specification's form."""
    if isinstance(error, CniError):
        return error
    if isinstance(error, OSError):
        return CniError(IO_FAILURE, f"{error.filename or 'system'}: {error.strerror}")
    for kind, code in CODES:
        if isinstance(error, kind):
            return CniError(code, str(error))
    if isinstance(error, Fault):
        return CniError(FAILED, str(error))
    return CniError(FAILED, f"internal error: {type(error).__name__}: {error}")


def execute(environment: dict[str, str], raw: bytes) -> tuple[int, dict[str, Any] | None]:
    """(exit status, what is to be printed) of one call."""
    version = VERSIONS[-1]
    try:
        with contextlib.suppress(ValueError, RecursionError, AttributeError):
            asked = json.loads(raw).get("cniVersion", OLDEST)
            version = asked if asked in VERSIONS else VERSIONS[-1]
        call = read_call(environment, raw)
        answer = COMMANDS[call.command](call)
        return 0, answer if answer is None else {"cniVersion": version, **answer}
    except Exception as error:  # whatever it is, the runtime wants the object
        return 1, _as_cni_error(error).as_object(version)


def main() -> NoReturn:
    """The plug-in."""
    status, answer = execute(dict(os.environ), sys.stdin.buffer.read())
    if answer is not None:
        print(json.dumps(answer), flush=True)
    os._exit(status)  # taking the interpreter down would be a tenth of a call's time
