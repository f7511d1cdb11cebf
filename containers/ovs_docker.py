"""pyvs-docker: interfaces of running containers on bridges, with ovs-docker's command line.

The port is found again by external_ids:container_id and container_iface of its Interface, as
ovs-docker writes them; container_id is the word by which the container was called.
"""

import dataclasses

from pyvs import identity
from pyvs_tools.command import Fatal, guard, version_text
from pyvs_tools.getopt_long import UsageError, parse

from . import endpoint
from .database import Database, Port, as_set
from .errors import Fault
from .runtime import namespace_of

PROGRAM = "pyvs-docker"

# long name, short letter, takes an argument
OPTIONS = (
    ("ipaddress", "", True),
    ("gateway", "", True),
    ("macaddress", "", True),
    ("mtu", "", True),
    ("db", "", True),
    ("rundir", "", True),
    ("help", "h", False),
    ("version", "V", False),
)

HELP = """\
{name}: connects running containers to bridges
usage: {name} COMMAND

  add-port BRIDGE INTERFACE CONTAINER [--ipaddress=ADDRESS/LENGTH] [--gateway=ADDRESS]
           [--macaddress=MAC] [--mtu=MTU]
                              add INTERFACE in CONTAINER and connect it to BRIDGE;
                              --ipaddress and --gateway may stand more than once (IPv4, IPv6)
  del-port BRIDGE INTERFACE CONTAINER
                              delete INTERFACE in CONTAINER and its port of BRIDGE
  del-ports BRIDGE CONTAINER  the same for all of CONTAINER's interfaces on BRIDGE
  set-vlan BRIDGE INTERFACE CONTAINER VLAN
                              make the port an access port of VLAN

CONTAINER: the name or id of a container of Docker or podman, or a process id.
Options:
  --db=DATABASE               connect to DATABASE (default: unix:RUNDIR/db.sock)
  --rundir=DIR                the run directory of the switch
  -h, --help                  display this help message
  -V, --version               display version information
"""


@dataclasses.dataclass
class _Call:
    """A command's words and options."""

    database: Database
    words: list[str]
    options: dict[str, list[str]]

    def one(self, name: str) -> str | None:
        """The last value of an option."""
        return self.options.get(name, [None])[-1]


def _ids(interface: str, container: str) -> dict[str, str]:
    return {"container_id": container, "container_iface": interface}


def _group(container: str) -> int:
    return endpoint.device_group(PROGRAM, container)


def _halves(call: _Call, container: str) -> list[str]:
    """Pairs whose port was not made: the call was killed."""
    found = endpoint.in_group(_group(container))
    return [name for name in found if not call.database.has_port(name)]


def _check_bridge(call: _Call, bridge: str) -> None:
    if not call.database.has_bridge(bridge):
        raise Fatal(f"no bridge named {bridge}")


def _port(call: _Call, bridge: str, interface: str, container: str) -> str:
    found = _on_bridge(call, bridge, call.database.ports_with(**_ids(interface, container)))
    if not found:
        raise Fatal(f"no port of interface {interface} of container {container} on {bridge}")
    return found[0]


def _on_bridge(call: _Call, bridge: str, names: list[str]) -> list[str]:
    places = {name: call.database.place_of(name) for name in names}
    return [name for name, place in places.items() if place and place[0] == bridge]


def _mtu(text: str | None) -> int | None:
    if text is not None and not (text.isascii() and text.isdigit()):
        raise Fatal(f"{text}: not an MTU")
    return None if text is None else int(text)


def run_add_port(call: _Call) -> None:
    bridge, interface, container = call.words
    wanted = endpoint.Interface(
        name=interface,
        mac=call.one("macaddress"),
        mtu=_mtu(call.one("mtu")),
        addresses=tuple(call.options.get("ipaddress", ())),
        gateways=tuple(call.options.get("gateway", ())),
    )
    wanted.check()
    _check_bridge(call, bridge)
    name = endpoint.device_name(container, interface)
    port = Port(name, interface_ids=_ids(interface, container), group=_group(container))
    attach = endpoint.attach
    for name in call.database.ports_with(**_ids(interface, container)):
        place = call.database.place_of(name)
        if place is None or place[0] != bridge or endpoint.is_connected(name):
            raise Fatal(f"interface {interface} of container {container} has a port already")
        # The container was started again, and its interface went with what it was before.
        attach, port = endpoint.attach_again, port._replace(name=name, tag=place[1])
    attach(call.database, bridge, namespace_of(container), wanted, port)


def run_del_port(call: _Call) -> None:
    bridge, interface, container = call.words
    _check_bridge(call, bridge)
    name = endpoint.device_name(container, interface)
    if name not in _halves(call, container):
        name = _port(call, bridge, interface, container)
    endpoint.detach(call.database, name)


def run_del_ports(call: _Call) -> None:
    bridge, container = call.words
    _check_bridge(call, bridge)
    names = call.database.ports_with(container_id=container)
    names = _on_bridge(call, bridge, names)
    endpoint.detach(call.database, *names, *_halves(call, container))


def run_set_vlan(call: _Call) -> None:
    bridge, interface, container, text = call.words
    _check_bridge(call, bridge)
    if not (text.isascii() and text.isdigit()):
        raise Fatal(f"{text}: not a VLAN")
    endpoint.check_vlan(int(text))
    call.database.set_port(_port(call, bridge, interface, container), tag=as_set([int(text)]))


# command -> (function, number of words)
COMMANDS = {
    "add-port": (run_add_port, 3),
    "del-port": (run_del_port, 3),
    "del-ports": (run_del_ports, 2),
    "set-vlan": (run_set_vlan, 4),
}


def _run(args: list[str]) -> None:
    found, words = parse(args, OPTIONS, permute=True)
    options: dict[str, list[str]] = {}
    for name, value in found:
        options.setdefault(name, []).append(value)
    name = identity.program(PROGRAM)
    if "help" in options:
        print(HELP.format(name=name), end="")
        return
    if "version" in options:
        print(version_text(PROGRAM), end="")
        return
    if not words:
        raise UsageError("missing command name (use --help for help)")
    if words[0] not in COMMANDS:
        raise UsageError(f"unknown command '{words[0]}' (use --help for help)")
    function, count = COMMANDS[words[0]]
    if len(words) != count + 1:
        raise UsageError(f"'{words[0]}' command takes {count} arguments (use --help for help)")
    if "rundir" in options:
        from pyvs import rundir

        rundir.use(options["rundir"][-1])
    with Database(options.get("db", [None])[-1]) as database:
        function(_Call(database, words[1:], options))


def main(argv: list[str] | None = None) -> int:
    """The command pyvs-docker."""
    return guard(PROGRAM, _run, argv, [(Fault, str)])
