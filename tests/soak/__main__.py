"""Kills under traffic, then churn, then the end: what a switch suffers and what it leaves.

python -m tests.soak [KILLS] [ROUNDS] [--minutes M] [--seed N] [--at-once]
"""

import argparse
import sys
import time

from tests.daemons import missing
from tests.soak import soak, turnover


def main():
    parser = argparse.ArgumentParser(prog="tests.soak")
    parser.add_argument("kills", nargs="?", type=int, default=1000)
    parser.add_argument("rounds", nargs="?", type=int, default=200, help="of churn")
    parser.add_argument("--minutes", type=float, help="of churn, in place of ROUNDS")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--at-once", action="store_true", help="restart what was killed at once")
    arguments = parser.parse_args()
    if reason := missing():
        parser.error(reason)
    print(f"seed {arguments.seed}", flush=True)
    try:
        length = turnover.Length(arguments.rounds)
        if arguments.minutes is not None:
            length = turnover.Length(seconds=arguments.minutes * 60)
        soak.soak(arguments.kills, length, arguments.seed, print_now, arguments.at_once)
    except AssertionError as error:
        print(error)
        return 1
    return 0


def print_now(line):
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
