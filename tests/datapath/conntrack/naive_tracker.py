"""A tracker as one would write it who had a minute: a list, and a loop over it.

TCP's windows are not looked at.  Which port NAT chooses is not foreseen: `track` is told, and says
whether it may be.
"""

from dataclasses import dataclass, field

from datapath.conntrack.policies import DEFAULTS

NEW, EST, REL, RPL, INV, TRK, SNAT, DNAT = (1 << i for i in range(8))
FIN, SYN, RST, PSH, ACK, URG = (1 << i for i in range(6))
CLOSED, SYN_SENT, ESTABLISHED, CLOSING, FIN_WAIT_2, TIME_WAIT = range(6)


@dataclass(frozen=True)
class Packet:
    proto: int  # 1, 6 or 17
    src: str
    dst: str
    sport: int  # of ICMP: the id
    dport: int  # of ICMP: type * 256
    flags: int = 0

    @property
    def tuple(self):
        return (self.proto, self.src, self.dst, self.sport, self.dport)


QUESTION, ANSWER = 8 << 8, 0  # of ICMP


def reverse(t):
    if t[0] == 1:
        return (1, t[2], t[1], t[3], ANSWER if t[4] == QUESTION else QUESTION)
    return (t[0], t[2], t[1], t[4], t[3])


@dataclass(frozen=True)
class Action:
    zone: int = 0
    commit: bool = False
    force: bool = False
    nat: bool = False
    kind: str = ""  # "src" or "dst", of a range
    address: str = ""
    ports: range = range(0)
    mark: int | None = None


@dataclass
class Conn:
    zone: int
    ways: list
    nat: str = ""
    mark: int = 0
    expires: int = 0
    answered: bool = False
    peers: list = field(default_factory=lambda: [SYN_SENT, CLOSED])


def bad_flags(flags):
    if flags & SYN:
        if flags & (RST | FIN):
            return True
    elif not flags & (ACK | RST):
        return True
    return not flags & ACK and bool(flags & (FIN | PSH | URG))


class Tracker:
    def __init__(self):
        self.conns = []

    def find(self, zone, t, now):
        for c in self.conns:
            if c.zone == zone and t in c.ways and c.expires > now:
                return c, c.ways.index(t)
        return None, 0

    # --- states

    def update(self, c, way, p, now):
        if p.proto == 1:
            c.answered |= way == 1
            c.expires = now + DEFAULTS["icmp_reply" if c.answered else "icmp_first"] * 1000
            return "est" if c.answered else "new"
        if p.proto == 17:
            if way == 1:
                c.answered = True
            name = "udp_multiple" if c.answered else "udp_single"
            c.expires = now + DEFAULTS[name] * 1000
            return "est" if c.answered else "new"
        return self.update_tcp(c, way, p.flags, now)

    def update_tcp(self, c, way, flags, now):
        src, dst = c.peers[way], c.peers[1 - way]
        if bad_flags(flags):
            return "inv"
        if flags & SYN and not flags & ACK:
            if min(src, dst) >= FIN_WAIT_2:
                return "restart"
            if src <= SYN_SENT:
                c.peers[way] = SYN_SENT
                c.expires = now + DEFAULTS["tcp_syn_sent"] * 1000
                return "new"
        src = max(src, SYN_SENT)
        if flags & FIN:
            src = max(src, CLOSING)
        if flags & ACK:
            dst = {SYN_SENT: ESTABLISHED, CLOSING: FIN_WAIT_2}.get(dst, dst)
        if flags & RST:
            src = dst = TIME_WAIT
        c.peers[way], c.peers[1 - way] = src, dst
        c.expires = now + DEFAULTS[self.timeout(src, dst)] * 1000
        return "est"

    @staticmethod
    def timeout(src, dst):
        if min(src, dst) >= FIN_WAIT_2:
            return "tcp_close"
        if min(src, dst) >= CLOSING:
            return "tcp_time_wait"
        if min(src, dst) < ESTABLISHED:
            return "tcp_syn_recv"
        return "tcp_fin_wait" if max(src, dst) >= CLOSING else "tcp_established"

    # --- the whole

    def track(self, p, action, now, got):
        """(state, mark, tuple of the packet, lost); `got`: the tuple that the other one gave it."""
        c, way = self.find(action.zone, p.tuple, now)
        if c and action.force and way == 1:
            self.conns.remove(c)
            c = None
        state = 0
        if c:
            what = self.update(c, way, p, now)
            if what == "restart":
                self.conns.remove(c)
                c = None
            else:
                state = {"inv": INV, "new": NEW, "est": EST | (RPL if way else 0)}[what]
        if not c:
            if self.begins_nothing(p):
                return INV | TRK, 0, p.tuple, False
            state = NEW
            if not action.commit:
                return NEW | TRK, 0, p.tuple, False
            c, lost = self.commit(p, action, now, got)
            if lost:
                return None, 0, None, True
            way = 0
        if action.mark is not None:
            c.mark = action.mark
        out = p.tuple
        if action.nat and c.nat:
            out = reverse(c.ways[1 - way])
            state |= SNAT if (c.nat == "src") == (way == 0) else DNAT
        return state | TRK, c.mark, out, False

    @staticmethod
    def begins_nothing(p):
        if p.proto == 1:
            return p.dport != QUESTION
        return p.proto == 6 and (bad_flags(p.flags) or p.flags & (SYN | ACK) == (SYN | ACK))

    def commit(self, p, action, now, got):
        first = {1: "icmp_first", 6: "tcp_syn_sent", 17: "udp_first"}[p.proto]
        c = Conn(action.zone, [p.tuple, reverse(p.tuple)])
        c.expires = now + DEFAULTS[first] * 1000
        if not action.kind and self.taken(action.zone, p.tuple, now):
            return None, True  # its answers would be another one's
        if action.kind:
            c.nat = action.kind
            free = [t for t in self.choices(p, action) if not self.taken(action.zone, t, now)]
            if not free and action.kind == "dst" and p.proto != 1 and got:
                # Then the source port may be another one, of those like it.
                free = [t for t in self.others(p, got) if not self.taken(action.zone, t, now)]
            if got is None:
                assert not free, f"lost, though {free} are free"
                return None, True
            c.ways[1] = reverse(got)
            assert got in free, f"{got}: not of the range, or taken"
        self.conns.append(c)
        return c, False

    def taken(self, zone, out, now):
        return self.find(zone, reverse(out), now)[0] is not None

    @staticmethod
    def others(p, got):
        if (p.sport < 1024) == (got[3] < 1024):
            yield (p.proto, p.src, got[2], got[3], got[4])

    @staticmethod
    def choices(p, action):
        """What the packet's tuple may become."""
        if p.proto == 1:  # its id is nobody's choice
            src = action.address if action.kind == "src" else p.src
            yield (1, src, p.dst if action.kind == "src" else action.address, p.sport, p.dport)
            return
        for port in action.ports:
            if action.kind == "src":
                yield (p.proto, action.address, p.dst, port, p.dport)
            else:
                yield (p.proto, p.src, action.address, p.sport, port)
