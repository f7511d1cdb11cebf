"""Upcalls: packets the datapath has no flow for are translated and their flow is installed."""

from ofproto.flows.flows import Flows

class UpcallHandler:
    """Handles what comes up by the rings of `flows.dpif`.  Times in monotonic milliseconds."""

    flows: Flows
    expecting: bool
    """There are bridges to come: what comes by their ports is not to be lost."""
    @property
    def busy(self) -> bool:
        """Whether run() should be called again at once."""

    def __init__(self, flows: Flows) -> None: ...
    def run(self, now: int, limit: int = 512) -> int:
        """Answers up to `limit` upcalls; returns how many, `limit` when more may be waiting."""

    @property
    def n_early(self) -> int:
        """How many packets wait for their ports to be somebody's."""

    def forget(self) -> None:
        """What waits is of a datapath process that is gone."""

    def welcome(self) -> None:
        """Some ports are somebody's now: the packets that waited for them are next."""

    def heed_log(self) -> None:
        """Look whether what comes up is to be told in the log; once a round will do."""

    def upcall(
        self,
        type: int,
        key: bytes,
        packet: bytes,
        now: int,
        *,
        reason: int = 0,
        userdata: bytes = b"",
    ) -> None:
        """Handles one upcall as if it had come by a ring; `key` has KEY_DP_SIZE bytes at least."""
