"""Keeps the datapath's flows and the OpenFlow statistics right."""

from ofproto.flows.flows import Flows

class Revalidator:
    """Keeps the datapath's flows and OpenFlow statistics right.

    `ready`: set it once the configuration is complete; until then no flow that was found in a
    surviving datapath is deleted or changed.
    """

    ready: bool
    @property
    def current(self) -> bool:
        """Every flow of the datapath was told to do what the tables say now."""

    @property
    def reached(self) -> int:
        """No flow is other than the tables said at this generation, or a later one."""

    @property
    def n_changes(self) -> int:
        """Rises with whatever the datapath is told."""

    def hurry(self, now: int) -> None:
        """Check the flows that changed rules may be for at once, if they are few."""

    @property
    def deleting(self) -> bool:
        """There are flows that the datapath is to delete, and may still have."""

    interval: int  # ms between two rounds of statistics
    max_idle: int  # ms
    def __init__(self, flows: Flows) -> None: ...
    def run(self, now: int) -> bool:
        """A bounded piece of work; True when there is more to do at once."""

    def reset(self) -> None:
        """The datapath went away or came back: forget the round under way."""

    collected: int  # the last round whose counters are all credited
    passed: int  # the generation for which all flows were checked
    def collect(self) -> int:
        """Has what the datapath has counted by now credited: it is once `collected` has reached
        the number that this returns.  Requests that come together share a round."""

    def stats(self) -> dict[str, int]: ...
    def next_run(self, now: int) -> int:
        """Milliseconds until run() should be called again; 0: at once."""

    def sync(self, now: int) -> None:
        """A whole round at once: statistics of all flows are credited when it returns."""
