"""The datapath as all bridges share it: ports, upcalls, flows, and what to do when it restarts.

There is one Backer per datapath process.  Bridges (Ofproto) take datapath ports from it by
name; two things survive a crash on either side:

- vswitchd dies: the datapath process keeps ports and flows.  The new Backer reads the ports it
  finds, hands them to the bridges that ask for the same name and type, and deletes what nobody
  wants once the first reconciliation is complete.
- the datapath process dies: the Backer connects again as soon as there is a new one, adds every
  port under its old number, and registers for upcalls; the flows come back by upcalls.
"""

from collections.abc import Callable


class Backer:
    """One per datapath process.

    `dpif` is a connected datapath.dpif.Dpif.  `reopen()`, when given, is called to get a new one
    after the connection broke (at most once per second); it may start a datapath process; it
    raises ConnectionError or DpifError when there is none yet.

    Public attributes: `dpif` (the present one; None while disconnected), `bridges` (name ->
    Ofproto), `ports` (odp port number -> OdpPort), `generation` (raised by need_revalidate).
    """

    def __init__(self, dpif, reopen: Callable[[], object] | None = None, now: int | None = None):
        raise NotImplementedError

    # --- ports

    def odp_port_add(self, name: str, type_: str, options: dict[str, str] | None = None) -> int:
        """Make `name` a datapath port, or adopt the one the datapath has; returns its number.

        Adoption needs the same type and, for a network device, the same ifindex; else the old
        port is deleted first.  Raises DpifError (errno, text).
        """
        raise NotImplementedError

    def odp_port_del(self, odp_port: int) -> None:
        """Delete a datapath port; a port that is gone already is no error."""
        raise NotImplementedError

    def odp_port_stats(self, odp_port: int) -> dict[str, int]:
        """The port's counters under the OpenFlow names (rx_packets ...); {} when unknown."""
        raise NotImplementedError

    def first_reconcile_done(self) -> None:
        """All bridges have asked for their ports: delete the datapath ports that none wants."""
        raise NotImplementedError

    # --- revalidation

    def need_revalidate(self) -> None:
        """Some table, port, bundle or MAC entry changed: have every megaflow looked at again."""
        raise NotImplementedError

    # --- the daemon's rhythm

    def run(self, now: int | None = None) -> None:
        """Upcalls, revalidation, reconnection."""
        raise NotImplementedError

    def wait(self, poller) -> None:
        """Wake up for upcalls, for the next revalidation, for the next try to reconnect."""
        raise NotImplementedError

    def close(self, keep: bool = True) -> None:
        """Disconnect.  `keep`: leave ports and flows to the datapath process."""
        raise NotImplementedError
