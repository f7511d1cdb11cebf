"""The parts of which Open vSwitch has versions for several processors, to be chosen among; here is
one of each, and choosing it is all that one can do.
"""

from typing import TYPE_CHECKING, NamedTuple

from pyvs import digits
from pyvs.process.daemon import CommandError

if TYPE_CHECKING:
    from vswitchd.switch import Switch

PRIORITIES = range(256)


class Only(NamedTuple):
    """The one version of a part."""

    name: str
    unknown: str  # what is said of other names
    chosen: str
    shown: str

    def choose(self, _switch: "Switch", args: list[str]) -> str:
        """Its name, with `-pmd CORE` and a number of packets where such are taken."""
        names = [arg for arg in args if not arg.startswith("-") and not arg.isdecimal()]
        if names != [self.name]:
            raise CommandError(self.unknown.format(" ".join(names)))
        return f"{self.chosen} set to {self.name}.\n"

    def show(self, _switch: "Switch", _args: list[str]) -> str:
        return f"{self.shown}\n"


DPIF = Only(
    "dpif_scalar",
    "DPIF implementation not available: unknown name {}",
    "DPIF implementation",
    "Available DPIF implementations:\n  dpif_scalar (pmds: none)",
)
PARSER = Only(
    "scalar",
    "unknown or unavailable miniflow parser: {}",
    "Miniflow extract implementation",
    "Available MFEX implementations:\n  scalar (available: True pmds: none)",
)
EXECUTOR = Only(
    "scalar",
    "Error: unknown action implementation, {}, specified!",
    "Action implementation",
    "Available Actions implementations:\n  scalar (available: Yes, active: Yes)",
)


class Lookups:
    """The priorities that were given; one function looks up here, whatever they are."""

    priority = {"autovalidator": 0, "generic": 1}


def set_lookup(_switch: "Switch", args: list[str]) -> str:
    name, text = args[0], args[1]
    priority = digits.number(text)
    if priority not in PRIORITIES:
        raise CommandError("error converting priority, use integer in range 0-255")
    if name not in Lookups.priority:
        raise CommandError("error, subtable lookup function not found")
    Lookups.priority[name] = priority
    return "Lookup priority change affected 0 dpcls ports and 0 subtables.\n"


def show_lookups(_switch: "Switch", _args: list[str]) -> str:
    rows = [
        f"  {name} (Use count: 0, Priority: {priority})\n"
        for name, priority in Lookups.priority.items()
    ]
    return "Available dpcls implementations:\n" + "".join(rows)


# name, usage, least and most arguments, function
COMMANDS = [
    ("dpif-netdev/dpif-impl-get", "", 0, 0, DPIF.show),
    ("dpif-netdev/dpif-impl-set", "dpif_implementation_name", 1, 1, DPIF.choose),
    ("dpif-netdev/miniflow-parser-get", "", 0, 0, PARSER.show),
    ("dpif-netdev/miniflow-parser-set", "[-pmd core] name [pkts]", 1, 5, PARSER.choose),
    ("dpif-netdev/subtable-lookup-info-get", "", 0, 0, show_lookups),
    ("dpif-netdev/subtable-lookup-prio-get", "", 0, 0, show_lookups),
    ("dpif-netdev/subtable-lookup-prio-set", "lookup_func priority", 2, 2, set_lookup),
    ("odp-execute/action-impl-set", "name", 1, 1, EXECUTOR.choose),
    ("odp-execute/action-impl-show", "", 0, 0, EXECUTOR.show),
]
