"""The parts of which Open vSwitch has versions for several processors, to be chosen among.  Here is
one of each: the names of those that compare or measure several are taken, and lead to it.
"""

from typing import TYPE_CHECKING, NamedTuple

from pyvs import digits
from pyvs.process.daemon import CommandError

if TYPE_CHECKING:
    from vswitchd.switch import Switch

PRIORITIES = range(256)
STUDIED = 128  # packets that `study` looks at unless it is told


class Only(NamedTuple):
    """The one version of a part."""

    name: str
    unknown: str  # what is said of other names
    chosen: str

    def choose(self, _switch: "Switch", args: list[str]) -> str:
        if args != [self.name]:
            raise CommandError(self.unknown.format(args[0]))
        return f"{self.chosen} set to {self.name}.\n"


DPIF = Only(
    "dpif_scalar",
    "DPIF implementation not available: Unknown DPIF implementation {}.",
    "DPIF implementation",
)


def show_dpif(switch: "Switch", _args: list[str]) -> str:
    cores = ",".join(map(str, sorted(switch.pmds.workers))) or "none"
    return f"Available DPIF implementations:\n  {DPIF.name} (pmds: {cores})\n"


class Executor:
    """What executes actions: `scalar`, which `autovalidator` would compare others with."""

    names = ("scalar", "autovalidator")
    chosen = "scalar"


def set_executor(_switch: "Switch", args: list[str]) -> str:
    if args[0] not in Executor.names:
        raise CommandError(f"Error: unknown action implementation, {args[0]}, specified!")
    Executor.chosen = args[0]
    return f"Action implementation set to {args[0]}.\n"


def show_executor(_switch: "Switch", _args: list[str]) -> str:
    rows = [
        f"  {name} (available: Yes, active: {'Yes' if name == Executor.chosen else 'No'})\n"
        for name in Executor.names
    ]
    return "Available Actions implementations:\n" + "".join(rows)


class Parsers:
    """Which way of parsing each worker was told to take.  There is one, `scalar`: to compare it
    with others, as `autovalidator` does, or to find the fastest, as `study` does, ends with it."""

    names = ("autovalidator", "scalar", "study")
    others: dict[int, str] = {}  # by core: of the workers that were told another one

    @classmethod
    def of(cls, core: int) -> str:
        return cls.others.get(core, "scalar")


def show_parsers(switch: "Switch", _args: list[str]) -> str:
    text = "Available MFEX implementations:\n"
    for name in Parsers.names:
        cores = [str(core) for core in sorted(switch.pmds.workers) if Parsers.of(core) == name]
        text += f"  {name} (available: True pmds: {','.join(cores) or 'none'})\n"
    return text


def set_parser(switch: "Switch", args: list[str]) -> str:
    """[-pmd CORE] NAME [PACKETS]: the packets that `study` looks at."""
    cores, rest = _cores(switch, args)
    if not rest:
        raise CommandError(
            "Error: no miniflow extract name provided. "
            "Output of miniflow-parser-get shows implementation list."
        )
    name, given = rest[0], rest[-1] if len(rest) > 1 else None
    if given is not None and name != "study":
        raise CommandError(f"Error: unknown argument {given}.")
    packets = STUDIED if given is None else digits.number(given)
    if not packets:
        raise CommandError(f"Error: invalid study_pkt_cnt value: {given}.")
    if name not in Parsers.names:
        raise CommandError(f"Error: unknown miniflow extract implementation {name}.")
    missing = [core for core in cores or () if core not in switch.pmds.workers]
    if missing:
        raise CommandError(
            f"Error: miniflow extract parser not changed, PMD thread {missing[0]} not in use, "
            "pass a valid pmd thread ID."
        )
    Parsers.others |= dict.fromkeys(switch.pmds.workers if cores is None else cores, name)
    said = [f"Miniflow extract implementation set to {name}"]
    said += [f"on pmd thread {core}" for core in cores or ()]
    said += [f"studying {packets} packets"] if name == "study" else []
    return ", ".join(said) + ".\n"


def _cores(switch: "Switch", args: list[str]) -> tuple[list[int] | None, list[str]]:
    """[the core behind -pmd], None for all; and the other arguments."""
    if args[0] != "-pmd":
        return None, args
    if len(args) == 1:
        raise CommandError("Error: -pmd option requires a thread id argument.")
    core = digits.number(args[1])
    if core is None:
        raise CommandError(
            "Error: miniflow extract parser not changed, PMD thread passed is not valid: "
            f"'{args[1]}'. Pass a valid pmd thread ID."
        )
    return [core], args[2:]


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
    ("dpif-netdev/dpif-impl-get", "", 0, 0, show_dpif),
    ("dpif-netdev/dpif-impl-set", "dpif_implementation_name", 1, 1, DPIF.choose),
    ("dpif-netdev/miniflow-parser-get", "", 0, 0, show_parsers),
    ("dpif-netdev/miniflow-parser-set", "[-pmd core] name [pkts]", 1, 5, set_parser),
    ("dpif-netdev/subtable-lookup-info-get", "", 0, 0, show_lookups),
    ("dpif-netdev/subtable-lookup-prio-get", "", 0, 0, show_lookups),
    ("dpif-netdev/subtable-lookup-prio-set", "lookup_func priority", 2, 2, set_lookup),
    ("odp-execute/action-impl-set", "name", 1, 1, set_executor),
    ("odp-execute/action-impl-show", "", 0, 0, show_executor),
]
