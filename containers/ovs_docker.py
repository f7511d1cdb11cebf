"""pyvs-docker: interfaces of running containers on bridges, with ovs-docker's command line.

The port is found again by external_ids:container_id and container_iface of its Interface, as
ovs-docker writes them; container_id is the word by which the container was called.  Others beside
it tell what else it is called.
"""

import contextlib
import dataclasses
from typing import NamedTuple

from pyvs import digits, identity
from pyvs_tools.command import Fatal, guard, version_text
from pyvs_tools.getopt_long import UsageError, parse

from . import endpoint, runtime
from .database import Database, Port, as_set
from .errors import Fault

PROGRAM = "pyvs-docker"
# external_ids of an Interface
WORD, INSIDE, ID, NAME = "container_id", "container_iface", "container_full_id", "container_name"
SHORT_ID = 12  # characters of an id, as the runtimes print it

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


class _Container(NamedTuple):
    """What the database knows of a container, or else the runtime."""

    ids: set[str]  # of one that was removed, and made again under its name, there are two
    ports: dict[str, dict[str, str]]  # {name: external_ids of the Interface}

    def of(self, interface: str) -> list[str]:
        """The ports of an interface."""
        return [name for name, ids in self.ports.items() if ids.get(INSIDE) == interface]

    def halves(self, call: _Call) -> list[str]:
        """Pairs whose port was not made: the call was killed."""
        made = (name for each in self.ids for name in endpoint.devices_of(_whose(each)))
        return [name for name in made if not call.database.has_port(name)]


def _whose(container_id: str) -> str:
    return endpoint.whose(PROGRAM, container_id)


def _ids(interface: str, word: str, who: runtime.Container) -> dict[str, str]:
    others = {} if who.id == who.name else {ID: who.id, NAME: who.name}  # a process has one alone
    return {WORD: word, INSIDE: interface, **others}


def _is_called(ids: dict[str, str], word: str) -> bool:
    full = ids.get(ID, "")
    return word in (ids.get(WORD), ids.get(NAME), full) or (
        len(word) >= SHORT_ID and full.startswith(word)
    )


def _known(call: _Call, *words: str) -> _Container:
    """The container that has one of these names."""
    every = call.database.interfaces_with(WORD)
    ports = {
        port: ids for port, ids in every.items() if any(_is_called(ids, word) for word in words)
    }
    return _Container({ids.get(ID, ids[WORD]) for ids in ports.values()}, ports)


def _container(call: _Call, word: str) -> _Container:
    """The same; one that has no port by this name is looked for by what else it is called."""
    found = _known(call, word)
    if not found.ports:
        with contextlib.suppress(Fault):
            who = runtime.find(word)
            found = _known(call, who.id, who.name)
            found.ids.add(who.id)
    return found


def _check_bridge(call: _Call, bridge: str) -> None:
    if not call.database.has_bridge(bridge):
        raise Fatal(f"no bridge named {bridge}")


def _port(call: _Call, found: _Container) -> str:
    bridge, interface, word = call.words[:3]
    for name in _on_bridge(call, bridge, found.of(interface)):
        return name
    raise Fatal(f"no port of interface {interface} of container {word} on {bridge}")


def _on_bridge(call: _Call, bridge: str, names: list[str]) -> list[str]:
    places = {name: call.database.place_of(name) for name in names}
    return [name for name, place in places.items() if place and place[0] == bridge]


def _mtu(text: str | None) -> int | None:
    number = None if text is None else digits.number(text)
    if text is not None and number is None:
        raise Fatal(f"{text}: not an MTU")
    return number


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
    who = runtime.find(container)
    name = endpoint.device_name(who.id, interface)
    ids = _ids(interface, container, who)
    port = Port(name, interface_ids=ids, whose=_whose(who.id))
    attach = endpoint.attach
    for name in _known(call, container, who.id, who.name).of(interface):
        place = call.database.place_of(name)
        if place is None or place[0] != bridge or endpoint.is_connected(name):
            raise Fatal(f"interface {interface} of container {container} has a port already")
        # The container was started again, and its interface went with what it was before.
        attach, port = endpoint.attach_again, port._replace(name=name, tag=place[1])
    with who.namespace() as netns:
        attach(call.database, bridge, netns, wanted, port)


def run_del_port(call: _Call) -> None:
    bridge, interface, word = call.words
    _check_bridge(call, bridge)
    found = _container(call, word)
    halves = {endpoint.device_name(each, interface) for each in found.ids}
    names = [name for name in found.halves(call) if name in halves]
    endpoint.detach(call.database, *(names or [_port(call, found)]))


def run_del_ports(call: _Call) -> None:
    bridge, word = call.words
    _check_bridge(call, bridge)
    found = _container(call, word)
    names = _on_bridge(call, bridge, [*found.ports])
    endpoint.detach(call.database, *names, *found.halves(call))


def run_set_vlan(call: _Call) -> None:
    bridge, _interface, word, text = call.words
    _check_bridge(call, bridge)
    tag = digits.number(text)
    if tag is None:
        raise Fatal(f"{text}: not a VLAN")
    endpoint.check_vlan(tag)
    call.database.set_port(_port(call, _container(call, word)), tag=as_set([tag]))


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
    return guard(PROGRAM, _run, argv, [(Fault, str)], hints=False)
