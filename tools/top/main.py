"""pyvs-top: ports' rates, drops, upcalls and the busiest flows of a switch, renewed as by top."""

import json
import re
import sys
import time

from pyvs import rundir
from pyvs_tools import getopt_long
from pyvs_tools.command import Fatal, answered, guard
from pyvs_tools.exporter import reads
from pyvs_tools.top import rates

PROGRAM = "pyvs-top"
DELAY = 2.0  # seconds between two looks
LEAST = 0.5

USAGE = f"""\
{PROGRAM}: ports' rates, drops, upcalls and the busiest flows of a switch
usage: {PROGRAM} [OPTIONS]

  -d, --delay=SECONDS   between two looks (default: {DELAY:g}, at least {LEAST:g})
  -n, --iterations=N    end after N screens
      --once            one screen, of one delay, and end
  -f, --format=FORMAT   text (default), or json: an object a line
      --rundir=DIR      the run directory of the switch
  -h, --help            display this help message
  -V, --version         display version information
"""
OPTIONS = (
    ("delay", "d", True), ("iterations", "n", True), ("once", "", False), ("format", "f", True),
    ("rundir", "", True), ("help", "h", False), ("version", "V", False),
)  # fmt: skip


def _delay(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not found > 0:  # NaN, too
        raise Fatal(f"value {text} on -d or --delay is invalid")
    return max(LEAST, min(found, 86400.0))


def _reports(delay: float, n: int | None):
    """`n` of them, None: for ever.  A switch that is away is looked for again each time."""
    before = rates.look(reads.look(rates.COMMANDS), time.monotonic())
    while n is None or n > 0:
        time.sleep(delay)
        now = rates.look(reads.look(rates.COMMANDS), time.monotonic())
        yield rates.report(now, before)
        before, n = now, n and n - 1


def _show(delay: float, n: int | None, as_json: bool) -> bool:
    """Whether the switch answered at last."""
    report = {"up": False}
    if as_json:
        for report in _reports(delay, n):
            print(json.dumps(report), flush=True)
        return report["up"]
    from rich.console import Console
    from rich.live import Live

    from pyvs_tools.top.screen import view

    console = Console(highlight=False)
    if not console.is_terminal or n == 1:
        for report in _reports(delay, n):
            console.print(view(report))
        return report["up"]
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for report in _reports(delay, n):
            live.update(view(report, console.height), refresh=True)
    return report["up"]


def run(args: list[str]) -> int:
    found, words = getopt_long.parse(args, OPTIONS)
    options = dict(found)
    if words:
        raise Fatal("no arguments are accepted; use --help for usage")
    if answered(options, PROGRAM, USAGE):
        return 0
    rundir.use(options.get("rundir"))
    form = options.get("format", "text")
    count = "1" if "once" in options else options.get("iterations")
    if form not in ("text", "json"):
        raise Fatal(f"invalid output format '{form}': it must be 'text' or 'json'")
    if count is not None and not re.fullmatch(r"0*[1-9][0-9]{0,8}", count):
        raise Fatal(f"value {count} on -n or --iterations is invalid")
    reads.may_ask()
    try:
        delay = _delay(options.get("delay", str(DELAY)))
        return 0 if _show(delay, int(count) if count else None, form == "json") else 1
    except ImportError as error:
        raise Fatal(f"rich and prometheus-client are needed: {error}") from None


def main(argv: list[str] | None = None) -> int:
    return guard(PROGRAM, run, argv)


if __name__ == "__main__":
    sys.exit(main())
