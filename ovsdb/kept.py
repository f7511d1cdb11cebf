"""Which databases and remotes commands have added and removed, for the server that --monitor
starts after a crash: its command line names those of the first one.

The monitor and its children share a file without a name, which is made before the first fork.
"""

import json
import os


class Kept:
    """The lists as they are now, or nothing while no command has changed them."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("pyvs-ovsdb-server")

    def load(self) -> tuple[list[str], list[str]] | None:
        """(databases, remotes), or None: those of the command line."""
        data = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        if not data:
            return None
        state = json.loads(data)
        return state["databases"], state["remotes"]

    def save(self, databases: list[str], remotes: list[str]) -> None:
        """What a server that follows is to begin with."""
        data = json.dumps({"databases": databases, "remotes": remotes}).encode()
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))
