"""A port of a rapid spanning tree bridge: the state machines of IEEE 802.1D-2004, 17.22 to 17.31.

Variables and states have the standard's names.  A machine is a method that does at most one
transition and says whether it did; Rstp.settle() calls them, on ports of which something changed,
until nothing changes: what one port's machines read of others is in Port.waits.
Timers count whole seconds down.
"""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from ofproto.protocols import bpdu
from ofproto.protocols.bpdu import Bpdu, address_of
from ofproto.protocols.kept import (
    FLAG,
    MAC,
    TIME,
    U8,
    U16,
    U32,
    U64,
    keep,
    number,
    record,
    take,
)

DISABLED_PORT, ALTERNATE, BACKUP, ROOT, DESIGNATED = range(5)
ROLES = ("Disabled", "Alternate", "Backup", "Root", "Designated")

RECEIVED, MINE, AGED, DISABLED_INFO = range(4)  # infoIs

MIGRATE_TIME = 3

_WIRE_ROLES = {
    ALTERNATE: bpdu.ROLE_ALTERNATE,
    BACKUP: bpdu.ROLE_ALTERNATE,
    ROOT: bpdu.ROLE_ROOT,
    DESIGNATED: bpdu.ROLE_DESIGNATED,
}


class Vector(NamedTuple):
    """A priority vector without its last component: the port that has it."""

    root: int
    cost: int
    bridge: int
    port: int


class Times(NamedTuple):
    """In seconds."""

    age: int
    max_age: int
    hello_time: int
    forward_delay: int


class PortSettings(NamedTuple):
    """`point_to_point` is operPointToPointMAC; `address` the source of its frames."""

    number: int  # 1 to 4095
    priority: int  # a multiple of 16
    path_cost: int
    address: bytes
    admin_edge: bool = False
    auto_edge: bool = True
    mcheck: bool = False
    point_to_point: bool = True
    enabled: bool = True

    @property
    def port_id(self) -> int:
        return self.priority << 8 | self.number


_PORT_SETTINGS = record(PortSettings, U16, U8, U32, MAC, FLAG, FLAG, FLAG, FLAG, FLAG)
_VECTOR = record(Vector, U64, U32, U64, U16)
_TIMES = record(Times, U8, U8, U8, U8)  # what goes in 16 bits of 1/256 s
_FLAGS = """
    link learn forward learning forwarding selected updt_info reselect agree agreed proposed
    proposing disputed synced sync re_root rcvd_rstp rcvd_stp rcvd_tc rcvd_tcn rcvd_tc_ack tc_prop
    tc_ack mcheck send_rstp oper_edge new_info unsaid active tc_learning sensing
"""
_TIMERS = """
    hello_when tc_while rcvd_info_while rr_while rb_while tx_count fd_while mdelay_while
    edge_delay_while
"""
_KEPT = {
    "settings": _PORT_SETTINGS,
    "since": TIME,
    **dict.fromkeys(("rx", "tx", "errors"), U64),
    **dict.fromkeys(("role", "selected_role"), number(DESIGNATED)),
    "info_is": number(DISABLED_INFO),
    **dict.fromkeys(("port_priority", "designated_priority"), _VECTOR),
    **dict.fromkeys(("port_times", "designated_times"), _TIMES),
    **dict.fromkeys(_FLAGS.split(), FLAG),
    **dict.fromkeys(_TIMERS.split(), U16),
}


class Port:
    """`bridge` is the Rstp that it belongs to."""

    def __init__(self, key: Hashable, bridge: Any, settings: PortSettings, now: int):
        self.key = key
        self.bridge = bridge
        self.settings = settings
        self.link = False
        self.rx = self.tx = self.errors = 0
        self.since = now
        self._begin()

    def _begin(self) -> None:
        """What each machine's first state says."""
        self.role = self.selected_role = DISABLED_PORT
        self.info_is = DISABLED_INFO
        self.learn = self.forward = self.learning = self.forwarding = False
        self.selected = self.updt_info = False
        self.reselect = True
        self.agree = self.agreed = self.proposed = self.proposing = self.disputed = False
        self.synced = False
        self.sync = self.re_root = True
        self.port_priority = self.designated_priority = Vector(0, 0, 0, 0)
        self.port_times = self.designated_times = self.bridge.own_times()
        self.message: Bpdu | None = None  # rcvdMsg, with what it was
        self.rcvd_rstp = self.rcvd_stp = False
        self.rcvd_tc = self.rcvd_tcn = self.rcvd_tc_ack = self.tc_prop = self.tc_ack = False
        self.mcheck = False
        self.send_rstp = self.bridge.rstp_version
        self.oper_edge = self.settings.admin_edge
        self.new_info = True
        self.unsaid = False  # the other side was not told yet what it is to agree to
        self.active = False  # topology change: whether the port is part of the topology
        self.tc_learning = False
        self.sensing = False
        self.hello_when = self.tc_while = self.rcvd_info_while = self.rr_while = 0
        self.rb_while = self.tx_count = 0
        self.fd_while = self.bridge.own_times().max_age
        self.mdelay_while = self.edge_delay_while = MIGRATE_TIME

    # --- over the death of the process

    def kept(self, now: int) -> list[Any]:
        """For restored() in a process that comes after this one."""
        return keep(self, _KEPT, now)

    @classmethod
    def restored(cls, key: Hashable, bridge: Any, kept: Any, now: int) -> "Port":
        """The port that it was: its hello is due, and what it has heard counts as if heard just
        now.  ValueError or TypeError where that is none."""
        port = cls(key, bridge, _PORT_SETTINGS.value(kept[0], now), now)
        take(port, _KEPT, kept, now)
        port.hello_when = 0
        if port.rcvd_info_while:
            port._keep_for_a_while()
        return port

    # --- conditions and parameters (17.13, 17.20)

    @property
    def port_id(self) -> int:
        return self.settings.port_id

    @property
    def enabled(self) -> bool:
        """portEnabled."""
        return self.link and self.settings.enabled

    @property
    def state(self) -> str:
        """As rstp_port_state has it."""
        if self.forwarding:
            return "Forwarding"
        return "Learning" if self.learning else "Discarding"

    @property
    def _ready(self) -> bool:
        return self.selected and not self.updt_info

    @property
    def _forward_delay(self) -> int:
        times = self.designated_times
        return times.hello_time if self.send_rstp else times.forward_delay

    @property
    def _edge_delay(self) -> int:
        point_to_point = self.settings.point_to_point
        return MIGRATE_TIME if point_to_point else self.designated_times.max_age

    @property
    def _settled_role(self) -> bool:
        return self.selected and self.role == self.selected_role

    @property
    def is_in_step(self) -> bool:
        return self._settled_role and (self.synced or self.role == ROOT)

    @property
    def waits(self) -> bool:
        """Whether what it does next may depend on other ports."""
        return self.role == ROOT or (self.role in (ALTERNATE, BACKUP) and not self.agree)

    @property
    def selection(self) -> tuple:
        """What the selection of roles says of it."""
        settled = self.selected, self.selected_role, self.updt_info
        return *settled, self.designated_priority, self.designated_times

    def _re_rooted(self) -> bool:
        return all(not port.rr_while for port in self.bridge.ports.values() if port is not self)

    # --- what comes in

    def receive(self, message: Bpdu) -> None:
        """17.23, RECEIVE."""
        if message.kind == bpdu.RST:
            self.rcvd_rstp = True
        else:
            self.rcvd_stp = True
        self.oper_edge = False
        self.edge_delay_while = MIGRATE_TIME
        self.message = message

    def tick(self) -> None:
        """17.22: a second has passed."""
        self.hello_when = max(0, self.hello_when - 1)
        self.tc_while = max(0, self.tc_while - 1)
        self.fd_while = max(0, self.fd_while - 1)
        self.rcvd_info_while = max(0, self.rcvd_info_while - 1)
        self.rr_while = max(0, self.rr_while - 1)
        self.rb_while = max(0, self.rb_while - 1)
        self.mdelay_while = max(0, self.mdelay_while - 1)
        self.edge_delay_while = max(0, self.edge_delay_while - 1)
        self.tx_count = max(0, self.tx_count - 1)

    # --- protocol migration (17.24)

    def migration(self) -> bool:
        rapid = self.bridge.rstp_version
        if not self.sensing:
            if not self.enabled and (self.mdelay_while != MIGRATE_TIME or not self.send_rstp):
                self._check_rstp()
                return self.send_rstp
            if self.mdelay_while and not (self.mcheck and not self.send_rstp):
                return False
            self.sensing, self.rcvd_rstp, self.rcvd_stp = True, False, False
            return True
        if not self.enabled or self.mcheck or (rapid and not self.send_rstp and self.rcvd_rstp):
            self._check_rstp()
        elif self.send_rstp and self.rcvd_stp:
            self.send_rstp, self.mdelay_while, self.sensing = False, MIGRATE_TIME, False
        else:
            return False
        return True

    def _check_rstp(self) -> None:
        self.mcheck, self.sensing = False, False
        self.send_rstp = self.bridge.rstp_version
        self.mdelay_while = MIGRATE_TIME

    # --- bridge detection (17.25) and what a port without link waits for (17.23)

    def edge(self) -> bool:
        before = self.oper_edge
        if not self.enabled:
            self.edge_delay_while = MIGRATE_TIME
            self.oper_edge = self.settings.admin_edge
        elif not self.edge_delay_while and self.settings.auto_edge:
            self.oper_edge |= self.send_rstp and self.proposing
        return before != self.oper_edge

    # --- port information (17.27)

    def information(self) -> bool:
        if not self.enabled:
            self.message = None
            if self.info_is == DISABLED_INFO:
                return False
            self.disable_information()
        elif self.info_is == DISABLED_INFO:
            self._age()
        elif self.selected and self.updt_info:
            self._update()
        elif self.info_is == AGED or self.updt_info:
            return False
        elif self.message is not None:
            message, self.message = self.message, None
            self._take(message)
        elif self.info_is == RECEIVED and not self.rcvd_info_while:
            self._age()
        else:
            return False
        return True

    def disable_information(self) -> None:
        self.proposing = self.proposed = self.agree = self.agreed = False
        self.rcvd_info_while = 0
        self.info_is = DISABLED_INFO
        self._reselect()

    def _age(self) -> None:
        self.info_is = AGED
        self._reselect()

    def _reselect(self) -> None:
        self.reselect, self.selected = True, False

    def _update(self) -> None:
        """More than the standard: a port that has become worse, or speaks of another root, carries
        nothing until the other side agrees.  The other may be nearer to the root by now, and this
        bridge behind it: frames went round while news of a root that is gone chased itself."""
        new, old = self.designated_priority, self.port_priority
        self.proposing = self.proposed = False
        same = self.info_is == MINE and new <= old and new.root == old.root
        self.agreed = self.agreed and same
        self.synced = self.synced and self.agreed
        self.sync |= self.info_is == MINE and not same and self.send_rstp
        self.unsaid |= not same
        self.port_priority = new
        self.port_times = self.designated_times
        self.updt_info = False
        self.info_is = MINE
        self.new_info = True

    def _take(self, message: Bpdu) -> None:
        if message.kind == bpdu.TCN:
            self.rcvd_tcn = True
            return
        vector = Vector(message.root, message.cost, message.bridge, message.port)
        times = _times_of(message)
        kept = self.port_priority
        if message.role != bpdu.ROLE_DESIGNATED:
            if message.role in (bpdu.ROLE_ROOT, bpdu.ROLE_ALTERNATE) and vector >= kept:
                self._record_agreement(message)
                self._record_change(message)
        elif vector == kept and times == self.port_times and self.info_is == RECEIVED:
            self._record_proposal(message)
            self._record_change(message)
            self._keep_for_a_while()
        elif vector <= kept or _same_sender(vector, kept):
            self._supersede(message, vector, times)
        elif message.kind == bpdu.RST and message.flags & bpdu.LEARNING:
            self.disputed, self.agreed = True, False

    def _supersede(self, message: Bpdu, vector: Vector, times: Times) -> None:
        """SUPERIOR_DESIGNATED."""
        self.agreed = self.proposing = False
        self._record_proposal(message)
        self._record_change(message)
        same = self.info_is == RECEIVED and vector <= self.port_priority
        self.agree = self.agree and same
        self.port_priority = vector
        self.port_times = times
        self._keep_for_a_while()
        self.info_is = RECEIVED
        self._reselect()

    def _record_proposal(self, message: Bpdu) -> None:
        if message.flags & bpdu.PROPOSAL and message.kind == bpdu.RST:
            self.proposed = True

    def _record_agreement(self, message: Bpdu) -> None:
        self.agreed = bool(
            self.bridge.rstp_version
            and self.settings.point_to_point
            and message.flags & bpdu.AGREEMENT
            # Else it answers what was said before:
            and message.root == self.port_priority.root
            and not self.unsaid
        )
        if self.agreed:
            self.proposing = False

    def _record_change(self, message: Bpdu) -> None:
        """setTcFlags()."""
        self.rcvd_tc |= bool(message.flags & bpdu.TC)
        self.rcvd_tc_ack |= bool(message.kind == bpdu.CONFIG and message.flags & bpdu.TC_ACK)

    def _keep_for_a_while(self) -> None:
        times = self.port_times
        fresh = times.age + 1 <= times.max_age
        self.rcvd_info_while = 3 * times.hello_time if fresh else 0

    # --- role transitions (17.29)

    def role_transition(self) -> bool:
        if not self._ready:
            return False
        if self.role != self.selected_role:
            self._take_role()
            return True
        return _ROLE_MACHINES[self.role](self)

    def _take_role(self) -> None:
        self.role = self.selected_role
        if self.role == ROOT:
            self.rr_while = self.designated_times.forward_delay
        elif self.role != DESIGNATED:
            self.learn = self.forward = False

    def _disabled_port(self) -> bool:
        if self.learning or self.forwarding:
            return False
        return self._rest(self.designated_times.max_age)

    def _alternate_port(self) -> bool:
        if self.learning or self.forwarding:
            return False
        if self.role == BACKUP and self.rb_while != 2 * self.designated_times.hello_time:
            self.rb_while = 2 * self.designated_times.hello_time
        if self.proposed and not self.agree:
            self.bridge.set_sync()
            self.proposed = False
            return True
        if (self.proposed and self.agree) or (not self.agree and self.bridge.all_synced()):
            self.proposed, self.agree, self.new_info = False, True, True
            return True
        return self._rest(self._forward_delay)

    def _rest(self, fd_while: int) -> bool:
        """Of a port that carries nothing: it is in step with whatever the others wait for."""
        changed = self.sync or self.re_root or not self.synced or bool(self.rr_while)
        self.fd_while = fd_while
        self.synced, self.rr_while, self.sync, self.re_root = True, 0, False, False
        return changed

    def _root_port(self) -> bool:
        self.rr_while = self.designated_times.forward_delay
        if self.proposed and not self.agree:
            self.bridge.set_sync()
            self.proposed = False
        elif (self.proposed and self.agree) or (not self.agree and self.bridge.all_synced()):
            self.proposed = self.sync = False
            self.agree = self.new_info = True
        elif not self.forward and not self.re_root:
            self.bridge.set_re_root()
        elif self.re_root and self.forward:
            self.re_root = False
        elif self.forward or not self._root_may_go_on():
            return False
        elif self.learn:
            self.fd_while, self.forward = 0, True
        else:
            self.fd_while, self.learn = self._forward_delay, True
        return True

    def _root_may_go_on(self) -> bool:
        if not self.fd_while:
            return True
        return self.bridge.rstp_version and not self.rb_while and self._re_rooted()

    def _designated_port(self) -> bool:
        if not (self.forward or self.agreed or self.proposing or self.oper_edge):
            self.proposing = True
            self.edge_delay_while = self._edge_delay
            self.new_info = True
        elif self._may_be_synced():
            self.rr_while, self.synced, self.sync = 0, True, False
        elif not self.rr_while and self.re_root:
            self.re_root = False
        elif self._must_discard():
            self.learn = self.forward = self.disputed = False
            self.fd_while = self._forward_delay
        elif self.forward or not self._designated_may_go_on():
            return False
        elif self.learn:
            self.forward, self.fd_while = True, 0
            self.agreed = self.send_rstp
        else:
            self.learn, self.fd_while = True, self._forward_delay
        return True

    def _may_be_synced(self) -> bool:
        if self.synced:
            return self.sync
        return self.agreed or self.oper_edge or not (self.learning or self.forwarding)

    def _must_discard(self) -> bool:
        wanted = (self.sync and not self.synced) or (self.re_root and self.rr_while)
        return bool(
            (wanted or self.disputed) and not self.oper_edge and (self.learn or self.forward)
        )

    def _designated_may_go_on(self) -> bool:
        ready = not self.fd_while or self.agreed or self.oper_edge
        return ready and not (self.rr_while and self.re_root) and not self.sync

    # --- state transitions (17.30)

    def state_transition(self) -> bool:
        before = (self.learning, self.forwarding)
        self.forwarding = self.forward and self.learning
        self.learning = self.learn
        if before == (self.learning, self.forwarding):
            return False
        self.bridge.state_changed(self)
        return True

    # --- topology change (17.31)

    @property
    def _in_tree(self) -> bool:
        return self.role in (ROOT, DESIGNATED)

    def topology_change(self) -> bool:
        if self.active:
            return self._active_change()
        told = self.rcvd_tc or self.rcvd_tcn or self.rcvd_tc_ack or self.tc_prop
        if not self.tc_learning:  # INACTIVE
            self.tc_learning = self.learn
            if self.learn:
                self._forget_change()
            return self.learn
        if self._in_tree and self.forward and not self.oper_edge:
            self._new_tc_while()
            self.bridge.propagate_change(self)
            self.new_info = self.active = True
            return True
        if not (self._in_tree or self.learn or self.learning or told):
            self.tc_learning = False
            self.bridge.flush(self)
            self.tc_while, self.tc_ack = 0, False
            return True
        self._forget_change()
        return told

    def _forget_change(self) -> None:
        self.rcvd_tc = self.rcvd_tcn = self.rcvd_tc_ack = self.tc_prop = False

    def _active_change(self) -> bool:
        if not self._in_tree or self.oper_edge:
            self.active = False
            self._forget_change()
        elif self.rcvd_tcn or self.rcvd_tc:
            if self.rcvd_tcn:
                self._new_tc_while()
            self.rcvd_tcn = self.rcvd_tc = False
            self.tc_ack |= self.role == DESIGNATED
            self.bridge.propagate_change(self)
        elif self.tc_prop:
            self._new_tc_while()
            self.bridge.flush(self)
            self.tc_prop = False
        elif self.rcvd_tc_ack:
            self.tc_while, self.rcvd_tc_ack = 0, False
        else:
            return False
        return True

    def _new_tc_while(self) -> None:
        if self.tc_while:
            return
        if self.send_rstp:
            self.tc_while = self.designated_times.hello_time + 1
            self.new_info = True
        else:
            times = self.bridge.root_times
            self.tc_while = times.max_age + times.forward_delay

    # --- transmission (17.26)

    def transmit(self) -> bool:
        if not self.enabled:
            self.new_info, self.tx_count = True, 0
            return False
        if not self._ready:
            return False
        if not self.hello_when:
            self.new_info |= self.role == DESIGNATED or (self.role == ROOT and self.tc_while > 0)
            self.hello_when = self.designated_times.hello_time
        if not self.new_info or self.tx_count >= self.bridge.settings.transmit_hold_count:
            return False
        message = self._message()
        self.new_info = False
        if message is None:
            return False
        self.unsaid = False
        self.hello_when = self.designated_times.hello_time
        self.tx_count += 1
        self.tx += 1
        self.bridge.send(self, message)
        return True

    def _message(self) -> Bpdu | None:
        if self.send_rstp:
            self.tc_ack = False
            return self._rst() if self.role in _WIRE_ROLES else None
        if self.role == ROOT:
            return Bpdu(bpdu.TCN) if self.tc_while else None
        if self.role != DESIGNATED:
            return None
        flags = bpdu.TC * bool(self.tc_while) | bpdu.TC_ACK * self.tc_ack
        self.tc_ack = False
        return self._with_times(bpdu.CONFIG, flags)

    def _rst(self) -> Bpdu:
        flags = (
            bpdu.TC * bool(self.tc_while)
            | bpdu.PROPOSAL * self.proposing
            | _WIRE_ROLES[self.role] << bpdu.ROLE_SHIFT
            | bpdu.LEARNING * self.learning
            | bpdu.FORWARDING * self.forwarding
            | bpdu.AGREEMENT * self.agree
        )
        return self._with_times(bpdu.RST, flags)

    def _with_times(self, kind: int, flags: int) -> Bpdu:
        times = (each * bpdu.SECOND for each in self.designated_times)
        return Bpdu(kind, flags, *self.designated_priority, *times)


_ROLE_MACHINES: dict[int, Callable[[Port], bool]] = {
    DISABLED_PORT: Port._disabled_port,
    ALTERNATE: Port._alternate_port,
    BACKUP: Port._alternate_port,
    ROOT: Port._root_port,
    DESIGNATED: Port._designated_port,
}


def _same_sender(a: Vector, b: Vector) -> bool:
    """17.6: from the designated port that the port has heard."""
    return address_of(a.bridge) == address_of(b.bridge) and a.port & 0xFFF == b.port & 0xFFF


def _times_of(message: Bpdu) -> Times:
    """In the standard's ranges: nothing from outside stops or floods a timer."""
    second = bpdu.SECOND
    return Times(
        min(-(-message.age // second), 255),
        min(max(message.max_age // second, 6), 40),
        min(max(message.hello_time // second, 1), 10),
        min(max(message.forward_delay // second, 4), 30),
    )
