"""What workers have counted, for the commands that show it, and their options."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from datapath.ipc import further
from pyvs import digits
from pyvs.process.daemon import CommandError
from vswitchd.appctl.datapath.asking import dpif
from vswitchd.appctl.datapath.dpif import is_datapath

if TYPE_CHECKING:
    from vswitchd.switch import Switch

MAIN = -1  # as the core of the main thread
MOST_CLEARED = 1024  # workers, of all datapaths that were

Counted = dict[str, int]


class Asked(NamedTuple):
    """`pmds`: what is known of the switch's own workers; None of another datapath's."""

    name: str  # of a datapath that add-dp made, else empty
    dpif: Any
    pmds: Any


@contextmanager
def datapath_of(switch: "Switch", word: str) -> Iterator[Asked]:
    """The datapath that a word names: as in Open vSwitch, where there is but one, it is that one,
    whatever the word.  Raises CommandError."""
    main = dpif(switch)
    others = [] if not word or is_datapath([word]) else further.names(main)
    found = [each for each in others if word in (each, each.partition("@")[2])]
    if others and not found:
        raise CommandError("please specify an existing datapath")
    if not found:
        yield Asked("", main, switch.pmds)
        return
    other = further.FurtherDpif(main.path, found[0].partition("@")[2], main.patience)
    try:
        yield Asked(found[0], other, None)
    finally:
        other.close()


def options_of(args: list[str], known: tuple[str, ...]) -> tuple[dict[str, int], str]:
    """Options that take a number, and the word that names a datapath.  Raises CommandError."""
    options: dict[str, int] = {}
    named = ""
    rest = iter(args)
    for word in rest:
        if not word.startswith("-"):
            named = word
            continue
        value = next(rest, "")
        if word not in known:
            raise CommandError(f"{word}: unknown option")
        found = digits.number(value.removeprefix("-"))
        if found is None:
            raise CommandError(f"{word}: a number is expected")
        options[word] = -found if value.startswith("-") else found
    return options, named


def workers(stats: dict[str, Any], options: dict[str, int]) -> list[tuple[int, Counted]]:
    """What each has counted, by its core; the main thread's is the last."""
    main: Counted = {}
    found = {}
    for each in stats["workers"]:
        if each["core"] is not None:
            found[each["core"]] = each
            continue
        for name, count in each.items():
            main[name] = main.get(name, 0) + (count or 0)
    return [
        (core, counted)
        for core, counted in (*sorted(found.items()), (MAIN, main))
        if options.get("-pmd") in (None, core)
    ]


def threads(stats: dict[str, Any], core: int) -> list[dict[str, Any]]:
    """What the workers for a core have counted, each for itself."""
    wanted = None if core == MAIN else core
    return [each for each in stats["workers"] if each["core"] == wanted]


def head(switch: "Switch", core: int) -> str:
    if core == MAIN:
        return "main thread:\n"
    return f"pmd thread numa_id {switch.pmds.cores.get(core, 0)} core_id {core}:\n"


class Cleared:
    """What the workers had counted when pmd-stats-clear was called last, by datapath and core."""

    before: dict[tuple[str, int], Counted] = {}

    @classmethod
    def since(cls, name: str, core: int, counted: Counted) -> Counted:
        before = cls.before.get((name, core), {})
        if any(count < before.get(name, 0) for name, count in counted.items() if count):
            return counted  # it is another worker
        return {name: n - before.get(name, 0) for name, n in counted.items() if n is not None}

    @classmethod
    def now(cls, name: str, found: list[tuple[int, Counted]]) -> None:
        kept = dict(list(cls.before.items())[-MOST_CLEARED:])
        cls.before = kept | {(name, core): counted for core, counted in found}
