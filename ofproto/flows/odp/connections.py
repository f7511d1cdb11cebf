"""The memory of the datapath's connection tracker, kept for the process after this one.

A datapath process that dies takes no connection with it: its table lies in memory of which vswitchd
holds a descriptor, and the next process gets it before it gets any flow.
"""

import os
from typing import Any

import ovs.vlog

from datapath.ipc.dpif import DpifError

vlog = ovs.vlog.Vlog("dpif_netdev")


class KeptConnections:
    """One descriptor, or none yet."""

    def __init__(self) -> None:
        self._fd = -1

    def attach(self, dpif: Any) -> None:
        """Have a datapath process go on with the connections kept, where it has none of its own;
        and keep its.  Raises OSError when the connection to it breaks."""
        if self._fd >= 0:
            try:
                count = dpif.ct_adopt(self._fd)
                vlog.info(f"the datapath process goes on with {count} tracked connections")
            except DpifError as error:
                vlog.info(f"connections of another datapath process are let go ({error.strerror})")
            self.close()
        self._fd = dpif.ct_memory()

    def close(self) -> None:
        """Let go of the memory.  Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
