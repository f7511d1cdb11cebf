"""Between rounds of the loop: upcalls, and what they have for the controllers."""

from typing import Any

from pyvs.poller import Server

# When flows in the datapath follow a change of the tables at the latest, in seconds, while peers
# send one message after the other, or packets come.
REVALIDATED_IN: float

class UpcallServer(Server):
    """Of a Backer, which is asked for what is more than flows and their packets."""

    def __init__(self, backer: Any) -> None: ...
    def __call__(self) -> float:
        """Serves what is there; see Poller.quick()."""
