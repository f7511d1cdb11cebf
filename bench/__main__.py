"""Runs the benchmarks in private namespaces: python -m bench [NAME [WORD ...]]."""

import importlib
import pkgutil
import sys

import bench
from demo import lab

NOT_BENCHMARKS = {"__main__", "harness"}
NEED_WORDS = {"performance"}  # a place for what they write


def names() -> list[str]:
    return [m.name for m in pkgutil.iter_modules(bench.__path__) if m.name not in NOT_BENCHMARKS]


def main() -> int:
    words = sys.argv[1:]
    if words and words[0] not in names():
        print(f"no benchmark {words[0]}; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    try:
        lab.enter([sys.executable, "-m", "bench", *words])
        for name in words[:1] or [each for each in names() if each not in NEED_WORDS]:
            print(f"== {name}", flush=True)
            importlib.import_module(f"bench.{name}").main(words[1:])
    except lab.LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
