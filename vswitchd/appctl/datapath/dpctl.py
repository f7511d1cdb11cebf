"""dpctl/*: the commands of pyvs-dpctl, by vswitchd's connection to the datapath process."""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from datapath.key import flow
from datapath.key.outer_text import masked
from pyvs import identity
from pyvs.process.daemon import CommandError
from vswitchd.appctl.datapath.asking import asking, dpif
from vswitchd.dpctl import dpctl, usage
from vswitchd.dpctl.run import OPTIONS, DpctlError, Run, Unread
from vswitchd.pmds import further

if TYPE_CHECKING:
    from vswitchd.switch import Switch

MOST_WORDS = 1000
MOST_GIVEN = 1000  # flows


class Given:
    """What the datapath does not keep of flows that were added by command: they are shown as they
    were given.  By ufid, the oldest first: key, and whether it named a frame."""

    flows: dict[bytes, tuple[bytes, bool]] = {}


class AppctlRun(Run):
    """A request: what it prints is the reply."""

    prefix = "dpctl/"

    def __init__(self, switch: "Switch", options: dict[str, Any]):
        super().__init__(options)
        self._switch = switch
        self.output: list[str] = []
        self.complaints: list[str] = []

    @property
    def main(self) -> Any:
        try:
            return dpif(self._switch)
        except CommandError as error:
            raise DpctlError(str(error)) from None

    def ports_changed(self) -> None:
        if self.of_chosen is not None:
            further.follow(self.of_chosen, self._switch.pmds)

    def seen(self, info: Any) -> Any:
        given = Given.flows.get(info.ufid)
        if given is not None and masked(given[0], info.mask) == info.key:
            return info._replace(key=given[0], framed=given[1])
        return self._switch.backer.flows.with_seen_key(info)

    def given(self, ufid: bytes, key: bytes, framed: bool) -> None:
        Given.flows.pop(ufid, None)
        if len(Given.flows) >= MOST_GIVEN:
            del Given.flows[next(iter(Given.flows))]
        Given.flows[ufid] = key[: flow.KEY_DP_SIZE], framed

    def print(self, text: str) -> None:
        self.output.append(text)

    def complain(self, text: str) -> None:
        self.complaints.append(text)


def _split_options(args: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Options, by their long names, and other words.  Raises CommandError."""
    known = {}
    for name, letter, _takes in OPTIONS:
        known[f"--{name}"] = known[f"-{letter}" if letter else f"--{name}"] = name
    options = {}
    for word in (arg for arg in args if arg.startswith("-") and len(arg) > 1):
        if word not in known:
            raise CommandError(f"Unrecognized option {word}")
        options[known[word]] = None
    return options, [arg for arg in args if not arg.startswith("-") or len(arg) == 1]


def _pieces(run: AppctlRun, steps: Iterator[None]) -> Generator[str, None, int]:
    """What is printed step by step."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        yield "".join(run.output)
        run.output.clear()


def _told(text: str) -> str:
    """As of Open vSwitch, whose name scripts look for in front."""
    return f"{identity.program('pyvs-vswitchd')}: {text}" if identity.is_ovs() else text


def _complaints(run: AppctlRun) -> str:
    return "".join(f"{_told(text)}\n" for text in run.complaints)


def _check_number(name: str, words: list[str]) -> None:
    """Options do not count, and DP does, where there is one; Open vSwitch's needs it of some."""
    _function, least, most, _changes = dpctl.COMMANDS[name]
    of_datapath = usage.takes_datapath(name) and name not in dpctl.NAMED_BY_THEMSELVES
    least += of_datapath and usage.needs_datapath(name) and identity.is_ovs()
    what = f'"{AppctlRun.prefix}{name}" command'
    if len(words) < least:
        raise CommandError(f"{what} requires at least {least} arguments")
    if most is not None and len(words) > most + of_datapath:
        raise CommandError(f"{what} takes at most {most + of_datapath} arguments")


def _command(name: str) -> Any:
    def function(switch: "Switch", args: list[str]) -> Iterator[str]:
        options, words = _split_options(args)
        _check_number(name, words)
        run = AppctlRun(switch, options)
        try:
            status = yield from _pieces(run, dpctl.do_in_steps(run, name, words))
        except Unread as error:
            yield f"{_complaints(run)}{_told(str(error))}\n"
            return
        except DpctlError as error:
            raise CommandError(_complaints(run) + _told(str(error))) from error
        except OSError as error:
            raise CommandError(_complaints(run) + (error.strerror or str(error))) from error
        if status:
            raise CommandError(_complaints(run))
        yield _complaints(run) + "".join(run.output)

    return function


# name, usage, least and most arguments, function
COMMANDS = [
    (f"{AppctlRun.prefix}{name}", usage.arguments(name), row[1], MOST_WORDS, asking(_command(name)))
    for name, row in dpctl.COMMANDS.items()
]
