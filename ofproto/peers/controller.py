"""What a bridge is told of its controllers, and what it tells of them."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ControllerConfig:
    """A row of the Controller table, or a service socket.  Times in milliseconds."""

    target: str  # tcp:IP[:PORT], unix:FILE, ssl:IP[:PORT], ptcp:[PORT][:IP], punix:FILE, pssl:...
    max_backoff: int = 8000
    inactivity_probe: int | None = None  # None: 5 s; 0: no probes
    connection_mode: str = "in-band"  # (see in_band.py) or out-of-band
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
