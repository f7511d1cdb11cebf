"""Upcalls: packets the datapath has no flow for are translated and their flow is installed."""

from typing import Any

from ofproto.flows.flows import Flows

class UpcallHandler(Flows):
    """Of one datapath; `dpif` is a datapath.dpif.Dpif after upcall_register().

    Times in monotonic milliseconds.
    """

    def __init__(self, dpif: Any = None) -> None: ...
    def run(self, now: int, limit: int = 512) -> int:
        """Answers up to `limit` upcalls; returns how many, `limit` when more may be waiting."""
