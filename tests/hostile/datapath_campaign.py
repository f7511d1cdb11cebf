"""datapath.sock: requests of protocol.py that are bent, and a handler whose ring records are.

Each request is right at first; then its JSON, its bytes (flows' keys, masks, actions, packets) and
its header's sizes change.  The daemon lives in a network namespace of its own, as ports are opened
by name.
"""

import contextlib
import errno
import json
import socket
import struct
import time

from datapath.actions.text import odp_text
from datapath.ipc import further, protocol
from datapath.ipc.dpif import Dpif, DpifError
from datapath.ipc.upcall_rings import push_down
from datapath.key import flow, key_text
from datapath.main import MAX_WORKERS
from tests import daemons
from tests.datapath.dp_process import Process
from tests.datapath.sample_frames import frames
from tests.hostile.campaign import Campaign
from tests.hostile.json_values import COUNTS, mutate, text
from tests.hostile.oracle import BOUND
from tests.hostile.ovsdb_campaign import converse

NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 16, 0x7FFF, 0x8000, 0xFFFC, 0xFFFF)
SIZES = (0, 1, 11, 12, 13, 1 << 16, protocol.MAX_REQUEST, protocol.MAX_MESSAGE, 2**31, 2**32 - 1)
MATCHES = (
    "in_port(1)",
    "in_port(2),eth_type(0x0800),ipv4(proto=17),udp(dst=53)",
    "in_port(1),eth_type(0x86dd)",
)
_OUTER = "eth(dst=aa:55:aa:55:00:00,src=aa:55:aa:55:00:01,dl_type=0x0800),"
_OUTER += "ipv4(src=1.1.2.88,dst=1.1.2.92,proto={},tos=0,ttl=64,frag=0x4000)"
HEADERS = (
    f"size=50,type=4,{_OUTER.format(17)},udp(src=0,dst=4789,csum=0xffff),vxlan(flags=0x8000000,vni=0x7b)",
    f"size=58,type=5,{_OUTER.format(17)},udp(src=0,dst=6081,csum=0x0),"
    "geneve(crit,vni=0x7b,options({class=0xffff,type=0x80,len=4,0xa}))",
    f"size=46,type=3,{_OUTER.format(47)},gre((flags=0xa000,proto=0x6558),csum=0x0,key=0x1e241)",
    f"size=54,type=107,{_OUTER.format(47)},erspan(ver=2,sid=0x7b,dir=1,hwid=0x7)",
    f"size=54,type=110,{_OUTER.format(17)},udp(src=0,dst=2152,csum=0x0),gtpu(flags=0x34,msgtype=255,teid=0x7b)",
)
_INNER = bytes(frames()["tcp"]) if "tcp" in frames() else next(iter(frames().values()))
TUNNELLED = tuple(
    bytes.fromhex("aa55aa550000aa55aa5500010800" + "45000000000040004011000001010258" + "0101025c")
    + struct.pack("!HHHH", 5, port, 8 + len(body) + len(_INNER), 0)
    + body
    + _INNER
    for port, body in (
        (4789, bytes.fromhex("0800000000007b00")),
        (6081, bytes.fromhex("0200655800007b00ffff80010000000a")),
        (2152, bytes.fromhex("34ff00500000007b0000000101020300")),
    )
)
ACTIONS = tuple(
    odp_text.parse_actions(each)
    for each in (
        "1,2,3",
        "push_vlan(vid=9,pcp=2),2,pop_vlan,1",
        "set(udp(dst=53)),set(ipv4(ttl=3)),1",
        "sample(sample=50.0%,actions(1,clone(2,3))),3",
        "clone(pop_vlan,1),2",
        "userspace(pid=0,reason=4,userdata(00ff))",
        "trunc(100),1",
        "meter(5),1",
        "recirc(7)",
        "ct(commit,zone=3,mark=0x1/0xf,helper=ftp,nat(src=10.0.0.1-10.0.0.9:5-9)),2",
        "ct(force_commit,helper=tftp,nat(dst=fd00::1)),ct_clear,ct,recirc(7)",
        "1,drop(3)",
        *(f"tnl_push(tnl_port(9),header({header}),out_port(1)),2" for header in HEADERS),
        "tnl_pop(9)",
        "tnl_defrag(out_port(1),udp(4789,tnl_pop(9)),udp(6081,tnl_pop(8)),ip(47,tnl_pop(7)))",
        "clone(tnl_pop(8)),tnl_pop(7),1",
    )
)
FRAMES = (*frames().values(), *TUNNELLED)
UFIDS = tuple(bytes([n]) * 16 for n in range(8))


def actions(rng):
    """A list of actions, most of them no more what they were."""
    data = bytearray(b"".join(rng.choice(ACTIONS) for _ in range(rng.choice((0, 1, 1, 2, 5)))))
    if rng.random() < 0.1 and data:
        data *= rng.choice((2, 100, 60_000 // len(data)))
    for _ in range(rng.choice((0, 0, 1, 2, 4))):
        at = rng.randrange(max(1, len(data) // 2)) * 2
        data[at : at + 2] = rng.choice(NUMBERS).to_bytes(2, "little")
    if rng.random() < 0.1:
        for _ in range(rng.choice((1, 16, 17, 500))):  # in each other, of any type
            if len(data) + 4 > 0xFFFF:
                break
            data[:0] = struct.pack("=HH", rng.randrange(24), len(data) + 4)
    if rng.random() < 0.1:
        del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


def key_and_mask(rng):
    kind = rng.random()
    if kind < 0.4:
        key, mask = key_text.parse_key(rng.choice(MATCHES))
    elif kind < 0.7:
        key, mask = flow.extract(rng.choice(FRAMES)), b"\xff" * flow.KEY_DP_SIZE
    else:
        key, mask = (rng.randbytes(flow.KEY_DP_SIZE) for _ in range(2))
    data = bytearray(bytes(key[: flow.KEY_DP_SIZE]) + bytes(mask[: flow.KEY_DP_SIZE]))
    for _ in range(rng.choice((0, 0, 1, 5))):
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x80, 0xFF))
    return bytes(data)


def a_flow(rng):
    words = actions(rng)
    size = rng.choice((len(words), len(words), len(words), *SIZES[:4], 2**32 - 1))
    head = protocol.FLOW.pack(rng.choice(UFIDS), *(rng.choice((0, 2**64 - 1)),) * 5, 0, 0, size)
    return head + key_and_mask(rng) + words


def _ufids(rng):
    return b"".join(rng.choice(UFIDS) for _ in range(rng.choice((0, 1, 1, 8, 1000))))


def _execute(rng):
    packet = rng.choice(FRAMES)
    words = {"in_port": 1, "recirc_id": 0, "skb_priority": 0, "pkt_mark": 0}
    return {"packet_size": len(packet), **words}, packet + actions(rng)


def _port(rng):
    tunnels = ("vxlan", "geneve", "gre", "erspan", "gtpu", "srv6")
    kind = rng.choice((*("dummy",) * 8, "internal", "tap", "system", "nosuch", *tunnels))
    number = rng.choice((None, 1, 2, 3, 4, 7, 8, 9, 65535))
    options = rng.choice((None, {}, {"a": "b"}))
    name = f"h{rng.randrange(6)}"
    return {"name": name, "type": kind, "port_no": number, "options": options}, b""


def _meter(rng):
    bands = [[rng.choice((0, 1, 2**32 - 1)), 0] for _ in range(rng.choice((0, 1, 1, 2, 100)))]
    flags = rng.choice((1, 1, 5, 2, 13, rng.randrange(32)))
    return {"meter": rng.choice((0, 5, 5, 5, 2**32)), "flags": flags, "bands": bands}


CT_SETTINGS = ("maxconns", "tcp_seq_chk", "sweep_interval")
CT_MATCHES = (
    {}, {"zone": 3}, {"zone": 65536}, {"orig": {"src": "10.0.0.1"}}, {"reply": {"src": "x"}},
    {"mark": [1]}, {"mark": [2**40, 1]}, {"label": ["zz", "1"]}, 5, {"orig": {"type": 8, "id": 1}},
)  # fmt: skip

# op -> a function of the generator that gives the request's words and bytes
REQUESTS = {
    "version": lambda rng: ({}, b""),
    "port_add": _port,
    "port_set": lambda rng: (
        {
            "port_no": rng.choice((1, 2, 3, 9, "x")),
            "options": rng.choice(
                (
                    None,
                    {},
                    5,
                    {"a": 5},
                    {"tx_pcap": "/dev/null"},
                    {"pcap": "/nosuch/x"},
                    {"pcap": 7},
                )
            ),
        },
        b"",
    ),
    "port_del": lambda rng: ({"port_no": rng.choice((3, 4, 5, 0, -1))}, b""),
    "port_dump": lambda rng: ({"behind": 0, "count": rng.choice((0, 1, 256, -1))}, b""),
    "port_dead": lambda rng: ({}, b""),
    "lookup_set": lambda rng: (
        {
            "inverse": rng.choice((0, 1, 100, -1, 1 << 32, "x", None)),
            "signatures": rng.choice((True, 7)),
        },
        b"",
    ),
    "perf_set": lambda rng: ({"wanted": rng.choice((True, False, 7, "x", None, []))}, b""),
    "perf_get": lambda rng: (
        {
            "worker": rng.choice((0, 0, 1, -1, "x", None)),
            "iterations": rng.choice((0, 3, 1024, 1 << 70, -1, "x", True)),
            "ms": rng.choice((0, 3, 1 << 70, -1, None)),
        },
        b"",
    ),
    "perf_log_set": lambda rng: (
        {
            "given": {
                rng.choice(("on", "before", "us", "extend", "x")): rng.choice(
                    (True, 0, 7, 1 << 40, -1, "x", None)
                )
            }
        },
        b"",
    ),
    "perf_clear": lambda rng: ({"workers": rng.choice(([0], [0, 0, 7], [], [-1], "x", 7))}, b""),
    "kernel_cache_set": lambda rng: ({"wanted": rng.choice((True, False, 7, "x", None, []))}, b""),
    "kernel_cache_hand_over": lambda rng: ({}, b""),
    "port_inject": lambda rng: (
        {"port_no": rng.choice((1, 2, 3)), "queue": rng.choice((0, 0, 0, 1, -1, "x"))},
        rng.choice(FRAMES),
    ),
    "dp_add": lambda rng: (
        {
            "name": rng.choice(("x", "y", "", "a@b", 5, None)),
            "type": rng.choice(("dummy", "no", 1)),
        },
        b"",
    ),
    "dp_del": lambda rng: ({"name": rng.choice(("x", "y", "z", 7, []))}, b""),
    "dp_dump": lambda rng: ({}, b""),
    "workers_add": lambda rng: (
        {"cores": rng.choice(([1], [2, 3], [1, 1], [-1], [2**40], "x", [])), "pinned": False},
        b"",
    ),
    "workers_del": lambda rng: (
        {"workers": rng.choice(([1], [2], [1, 2, 3], [0], [5, 5], [2**70], 7, []))},
        b"",
    ),
    "queues_move": lambda rng: (
        {"moves": rng.choice(([[1, 0, 1]], [[2, 0, 0]], [[1, 1, 0]], [[9, 0, 0]], [[1]], [5], 3))},
        b"",
    ),
    "port_drain": lambda rng: ({"port_no": rng.choice((1, 2, 3))}, b""),
    "flow_put": lambda rng: ({}, a_flow(rng)),
    "flow_get": lambda rng: ({}, rng.choice(UFIDS)),
    "flow_del": lambda rng: ({}, rng.choice(UFIDS)),
    "flow_del_many": lambda rng: ({}, _ufids(rng)),
    "flow_flush": lambda rng: ({}, b""),
    "flow_dump": lambda rng: ({"cursor": rng.choice((None, 0, 1, 2**32)), "terse": True}, b""),
    "bond_set": lambda rng: (
        {
            "bond": rng.choice((1, 1, 2, 2**32, -1, None)),
            "basis": rng.choice((0, 5, "x")),
            "members": rng.choice(([1] * 256, [2, 2**32 - 1] * 128, [1] * 255, ["x"] * 256, 9)),
        },
        b"",
    ),
    "bond_del": lambda rng: ({"bond": rng.choice((1, 2, 3, -1, "x"))}, b""),
    "bond_dump": lambda rng: ({"behind": rng.choice((-1, 1, 2**40))}, b""),
    "meter_features": lambda rng: ({}, b""),
    "meter_set": lambda rng: (_meter(rng), b""),
    "meter_get": lambda rng: ({"meter": rng.choice((5, 5, 262143))}, b""),
    "meter_del": lambda rng: ({"meter": rng.choice((5, 5, 262143))}, b""),
    "meter_dump": lambda rng: ({"behind": -1}, b""),
    "ct_dump": lambda rng: ({"cursor": rng.choice((0, 1, 2**32, None)), "zone": 3}, b""),
    "ct_flush": lambda rng: ({"cursor": 0, "match": rng.choice(CT_MATCHES)}, b""),
    "ct_stats": lambda rng: ({}, b""),
    "ct_buckets": lambda rng: ({}, b""),
    "ct_get": lambda rng: ({}, b""),
    "ct_set": lambda rng: ({rng.choice(CT_SETTINGS): rng.choice((0, 1, 2**22, 2**40, -1))}, b""),
    "ct_limits": lambda rng: ({"zones": rng.choice((None, [3], [65536], 3))}, b""),
    "ct_limits_set": lambda rng: ({"limits": [[rng.choice((None, 3, -1)), 5]]}, b""),
    "ct_limits_del": lambda rng: ({"zones": [rng.choice((3, 65536))]}, b""),
    "ct_policy_set": lambda rng: ({"name": rng.choice(("", "a", "x" * 40)), "timeouts": {}}, b""),
    "ct_policy_del": lambda rng: ({"name": rng.choice(("", "a"))}, b""),
    "ct_policy_dump": lambda rng: ({}, b""),
    "ct_memory": lambda rng: ({}, b""),
    "ct_adopt": lambda rng: ({}, b""),
    "ipf_get": lambda rng: ({}, b""),
    "ipf_list": lambda rng: ({}, b""),
    "ipf_set": lambda rng: ({rng.choice(("v4", "min_v6", "most")): rng.choice((0, 500))}, b""),
    "clock": lambda rng: ({"stopped": rng.choice((None, time.monotonic_ns())), "ahead": 0}, b""),
    "sync": lambda rng: ({}, b""),
    "execute": _execute,
    "stats": lambda rng: ({}, b""),
    "upcall_register": lambda rng: ({}, b""),
}
OFTEN = ("flow_put", "flow_put", "port_inject", "execute", "flow_dump", "port_add", "meter_set")


def request(rng, number):
    """One message, right or not."""
    op = rng.choice((*REQUESTS, *OFTEN))
    words, data = REQUESTS[op](rng)
    body = {"op": op, **words}
    if rng.random() < 0.4:
        # A copy, as what is changed in place is not ours alone; "op" is among what may change.
        raw = text(rng, mutate(rng, json.loads(json.dumps(body))))
    else:
        raw = json.dumps(body).encode()
    if rng.random() < 0.1:
        data = rng.choice(
            (b"", data[: rng.randrange(len(data) + 1)], data * rng.choice(COUNTS[:4]))
        )
    sizes = [protocol.HEADER.size + len(raw) + len(data), len(raw)]
    if rng.random() < 0.1:
        which = rng.randrange(2)
        near = sizes[which] + rng.choice((-12, -1, 1, 12))
        sizes[which] = rng.choice((*SIZES, max(0, near)))
    return protocol.HEADER.pack(*sizes, number) + raw + data


def record(rng):
    """What a handler puts into a down ring."""
    packet, words = rng.choice(FRAMES), actions(rng)
    sizes = [len(packet), len(words)]
    if rng.random() < 0.4:
        sizes[rng.randrange(2)] = rng.choice(SIZES)
    lengths = (rng.choice(NUMBERS) for _ in range(4))
    vnet = protocol.VNET.pack(rng.choice((0, 1, 255)), rng.choice((0, 1, 3, 4, 5, 255)), *lengths)
    what = rng.choice((1, 2, 3, 3, 0, 0xFFFF))
    head = struct.pack("=IIH", *sizes, what) + vnet + bytes(4) + rng.choice(UFIDS)
    made = head + key_and_mask(rng)[: flow.KEY_DP_SIZE * (1 + (what & 1))]
    made += words + bytes(-len(words) % 8) + packet
    if rng.random() < 0.2:
        made = made[: rng.randrange(len(made))]
    return made


def _forget_workers(dpif):
    """Those of the command line stay.  A handler that has just left may still be there."""
    deadline = time.monotonic() + BOUND
    for worker in range(2, MAX_WORKERS):
        while True:
            try:
                dpif.workers_del([worker])
            except DpifError as error:
                if error.errno == errno.EBUSY and time.monotonic() < deadline:
                    time.sleep(0.01)
                    continue
            break


class DatapathCampaign(Campaign):
    """pyvs-datapath with dummy ports and nobody's vswitchd."""

    name = "datapath-sock"

    def __enter__(self):
        self._host = daemons.Namespace()
        try:
            self._process = Process("--workers=2", host=self._host)
        except BaseException:
            self._host.close()
            raise
        self.tidy()
        return self

    def __exit__(self, *exc):
        try:
            self._process.close()
        finally:
            self._host.close()

    def tidy(self):
        """What later conversations need, as a good client: nothing of the old, three ports.

        A refusal is no failure: requests of those who left are still being done.
        """
        dpif = self._process.dpif
        try:
            dpif.set_clock(None, 0)
            dpif.kernel_cache_set(False)
            dpif.flow_flush()
            for name in further.names(dpif):
                with contextlib.suppress(DpifError):
                    further.remove(dpif, name.partition("@")[2])
            _forget_workers(dpif)
            for meter in dpif.meter_dump():
                with contextlib.suppress(DpifError):
                    dpif.meter_del(meter.meter)
            for port in dpif.port_dump():
                with contextlib.suppress(DpifError):
                    dpif.port_del(port.port_no)
            for number in (1, 2, 3):
                with contextlib.suppress(DpifError):
                    dpif.port_add(f"d{number}", "dummy", number)
        except OSError as error:
            raise AssertionError(f"a good client was not served: {error!r}") from error

    def pids(self):
        return {"pyvs-datapath": self._process.pid}

    def logs(self):
        return self._process.log()

    def bystander(self):
        client = self._process.client()

        def probe():
            assert client.version()["pid"] == self._process.pid
            client.sync()

        return probe

    def attack(self, rng):
        if rng.random() < 0.1:
            self.tidy()
        if rng.random() < 0.15:
            self._mad_handler(rng)
            return
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)  # who does not read its answers is not read from either
            sock.connect(str(self._process.path))
            messages = [request(rng, number) for number in range(rng.choice((1, 2, 5, 20)))]
            if rng.random() < 0.1:
                messages = messages[:1] * min(rng.choice(COUNTS), (1 << 20) // len(messages[0]))
            if rng.random() < 0.1:
                for byte in b"".join(messages)[:2000]:
                    sock.sendall(bytes([byte]))
                return
            converse(rng, sock, messages)

    def _mad_handler(self, rng):
        handler = Dpif(self._process.path)
        with contextlib.closing(handler):
            handler.upcall_register()
            for _ in range(rng.choice((1, 5, 50))):
                push_down(handler, rng.randrange(2), record(rng))
            handler.sync()
