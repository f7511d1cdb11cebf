"""make fuzz: hostile conversations for as long as one likes.

    python -m tests.hostile [NAME...] [--minutes N] [--seed TEXT] [--first N] [--count N]

Each named campaign (all, if none is named) has its turn of a minute, again and again, each time
with another seed.  What it finds becomes an example in a test of its own.
"""

import argparse
import sys
import time

from tests.hostile.campaign import run
from tests.hostile.campaigns import CAMPAIGNS

TURN = 60.0  # seconds


def _turn(name, seed, arguments, seconds):
    result = run(CAMPAIGNS[name](), seed, arguments.first, arguments.count, seconds)
    print(
        f"{name:10} seed {seed}: {result.conversations} conversations, the bystander waited"
        f" {result.longest * 1000:.1f} ms at most, {result.late} times more than 100 ms",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(prog="tests.hostile")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", default=str(int(time.time())))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int)
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(CAMPAIGNS)
    if unknown:
        parser.error(f"no campaign {', '.join(unknown)}: there are {', '.join(CAMPAIGNS)}")
    names = arguments.names or list(CAMPAIGNS)
    end = time.monotonic() + 60 * arguments.minutes
    if arguments.count is not None:
        for name in names:
            _turn(name, arguments.seed, arguments, None)
        return 0
    turn = 0
    while (left := end - time.monotonic()) > 0:
        share = left if len(names) == 1 and left < TURN else min(TURN, max(1.0, left / len(names)))
        _turn(names[turn % len(names)], f"{arguments.seed}.{turn}", arguments, share)
        turn += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
