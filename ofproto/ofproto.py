"""The OpenFlow switch of one bridge.

vswitchd makes one Ofproto per bridge, tells it ports, bundles and controllers, and calls run()
and wait().  Everything an OpenFlow peer can ask goes through connmgr (connections) and the
handlers_* modules (one function per message) to the tables here.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ControllerConfig:
    """A row of the Controller table, or a service socket.  Times in milliseconds."""

    target: str  # tcp:IP[:PORT], unix:FILE, ssl:IP[:PORT], ptcp:[PORT][:IP], punix:FILE, pssl:...
    max_backoff: int = 8000
    inactivity_probe: int | None = None  # None: 5 s; 0: no probes
    connection_mode: str = "in-band"  # or out-of-band; kept for status, in-band rules are not made
    enable_async_messages: bool = True
    controller_rate_limit: int = 0  # packet-ins per second; 0: no limit
    controller_burst_limit: int = 0
    controller_queue_size: int = 100
    dscp: int | None = None
    # primary (default of active targets), or service, which does not count for fail-mode
    type: str | None = None


@dataclass(frozen=True)
class ControllerStatus:
    """What the Controller table's is_connected, role and status columns take."""

    target: str
    is_connected: bool
    role: str | None  # "other", "master", "slave"; None while not connected
    status: dict[str, str] = field(default_factory=dict)  # state, last_error, sec_since_connect ...


class Ofproto:
    """One bridge's switch.

    `backer` is the shared Backer.  `datapath_id` None: derived from machine and bridge name, the
    same after each restart.  `journal` False: flows are not kept over a crash.
    """

    def __init__(self, name: str, backer, datapath_id: int | None = None, *, journal: bool = True):
        raise NotImplementedError

    # --- ports

    def port_add(
        self,
        name: str,
        type_: str,
        ofport_request: int | None = None,
        options: dict[str, str] | None = None,
        avoid: tuple[int, ...] = (),
    ) -> int:
        """Add a port; returns its OpenFlow number (0xfffe for the one named as the bridge).

        `type_`: system, internal, tap, dummy, patch (options: peer).  `ofport_request` is
        honoured when free; pass the last known number to keep it.  `avoid`: numbers that ports
        still to come ask for.  Raises DpifError, or ValueError with a text for the error column.
        """
        raise NotImplementedError

    def port_del(self, ofp_port: int) -> None:
        """Remove a port and its datapath port; no error when there is none."""
        raise NotImplementedError

    def port_update(
        self,
        name: str,
        *,
        mac: bytes | None = None,
        admin_up: bool | None = None,
        link_up: bool | None = None,
        speed: int | None = None,
        full_duplex: bool = True,
        mtu: int | None = None,
    ) -> None:
        """Take over what the network device says; tells controllers when something changed.

        `speed` in Mbit/s.  None leaves a value as it is.
        """
        raise NotImplementedError

    def port_by_name(self, name: str):
        """The OfPort of that name, or None."""
        raise NotImplementedError

    def port_stats(self, ofp_port: int) -> dict[str, int]:
        """Counters under the OpenFlow names; {} when there is no such port."""
        raise NotImplementedError

    # --- bundles (a Port of the database: one or more interfaces)

    def bundle_set(
        self,
        key,
        name: str,
        ofp_ports: list[int],
        vlan_mode: str | None = None,
        tag: int | None = None,
        trunks: list[int] | None = None,
        priority_tags: str | None = None,
        **more,
    ) -> None:
        """Make or change the bundle `key` (any hashable, the caller's)."""
        raise NotImplementedError

    def bundle_del(self, key) -> None:
        """Remove a bundle; no error when there is none."""
        raise NotImplementedError

    # --- configuration

    def set_controllers(self, controllers: list[ControllerConfig]) -> None:
        """Make these the controllers; unchanged ones keep their connections."""
        raise NotImplementedError

    def controller_status(self) -> list[ControllerStatus]:
        """One entry per configured target, in the order of set_controllers."""
        raise NotImplementedError

    def set_fail_mode(self, mode: str | None) -> None:
        """ "standalone" (also None) or "secure"."""
        raise NotImplementedError

    def set_protocols(self, versions: set[int]) -> None:
        """Allowed OpenFlow wire versions (1: 1.0, 4: 1.3 ...); empty: the default set."""
        raise NotImplementedError

    def set_mac_table(self, aging_time: int = 300, size: int = 8192) -> None:
        """Ageing time in seconds, entries at most."""
        raise NotImplementedError

    def set_datapath_id(self, datapath_id: int | None) -> None:
        """Change the datapath id; connected controllers are disconnected, as in Open vSwitch."""
        raise NotImplementedError

    def set_desc(self, mfr=None, hw=None, sw=None, serial=None, dp_desc=None) -> None:
        """Texts of the DESC reply; None: the default."""
        raise NotImplementedError

    @property
    def datapath_id(self) -> int:
        """The 64-bit datapath id."""
        raise NotImplementedError

    # --- appctl

    def flush_flows(self) -> None:
        """Delete every flow of every table, and restore the default one where fail-mode wants."""
        raise NotImplementedError

    def dump_flows(self, hidden: bool = False) -> list[str]:
        """Flows as text, for bridge/dump-flows (`hidden`: with those of fail-open)."""
        raise NotImplementedError

    def reconnect_controllers(self) -> None:
        """Drop the controller connections; they come back at once (bridge/reconnect)."""
        raise NotImplementedError

    # --- the daemon's rhythm

    def run(self, now: int | None = None) -> None:
        """Connections, messages, expiry, fail-mode, journal."""
        raise NotImplementedError

    def wait(self, poller) -> None:
        """Wake up for any of these."""
        raise NotImplementedError

    def destroy(self, delete: bool = True) -> None:
        """Close connections and sockets.

        `delete`: the bridge is gone, so are its ports, flows and journal.  Else (the daemon ends
        and is to come back) the datapath keeps ports and flows.
        """
        raise NotImplementedError
