"""Datapaths besides the switch's, as dpctl/add-dp makes them.

They have ports and flows, and nobody answers what has no flow.  Their name is that of their own
port as well, which has the number 0 in what is shown; where the type is not "dummy" there is such a
device.
"""

import errno
import os
from typing import Any

from datapath.engine import Engine
from datapath.operations import Operations
from datapath.requests import EngineError

MOST = 16
LONGEST_NAME = 15  # as of a network device
SWEEP = 100  # ms from one piece of the sweep of connections to the next
DUMMY = "dummy"
TYPES = (DUMMY, "netdev", "system")


class Further:
    """All of them, by their names without the type."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, Operations]] = {}

    def names(self) -> list[str]:
        """TYPE@NAME of each."""
        return [f"{type}@{name}" for name, (type, _) in sorted(self._found.items())]

    def get(self, name: Any) -> Operations:
        if not isinstance(name, str) or name not in self._found:
            raise EngineError(errno.ENODEV)
        return self._found[name][1]

    def add(self, name: str, type: str) -> None:
        if not isinstance(name, str) or not _is_name(name):
            raise EngineError(errno.EINVAL, "not the name of a datapath")
        if type not in TYPES:
            raise EngineError(errno.EAFNOSUPPORT)
        if name in self._found:
            raise EngineError(errno.EEXIST)
        if len(self._found) >= MOST:
            raise EngineError(errno.EMFILE, f"{MOST} datapaths at most")
        engine = Engine(1, f"pyvs-{os.getpid()}-{name}")
        try:
            engine.start()
            if type != DUMMY:
                engine.port_add(name, "internal")
        except BaseException:
            engine.close()
            raise
        self._found[name] = (type, Operations(engine))

    def remove(self, name: Any) -> None:
        made = self.get(name)
        del self._found[name]
        _end(made)

    def run(self, now: int) -> None:
        for _type, made in self._found.values():
            made.dummy_links.run()
            if made.engine.tracking.table.high:
                made.engine.tracking.sweep(now)

    def wait(self, poller: Any) -> None:
        for _type, made in self._found.values():
            made.dummy_links.wait(poller)
            if made.engine.tracking.table.high:
                poller.timer_wait(SWEEP)

    def close(self) -> None:
        for _type, made in self._found.values():
            _end(made)
        self._found.clear()


def _is_name(text: str) -> bool:
    """What a device may have, and a line of a list can show."""
    size = len(text.encode(errors="replace"))
    return 0 < size <= LONGEST_NAME and text.isprintable() and not set("@/ ") & set(text)


def _end(made: Operations) -> None:
    made.dummy_links.close()
    made.engine.close()
