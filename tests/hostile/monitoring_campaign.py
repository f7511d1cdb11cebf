"""Rows that nobody should write: exporters, mirrors, QoS and policing; and frames for them.

Collectors are closed, full, unreachable or no addresses; each packet is sampled; mirrors point
at ports that are down, gone or nowhere; numbers are as large as columns take them, or larger.
"""

import contextlib
import subprocess
import sys

from datapath.ipc.dpif import Dpif, DpifError
from tests import daemons
from tests.datapath.dp_process import frame
from tests.hostile.campaign import SwitchCampaign, frames_and_answers
from tests.hostile.frames_campaign import SAMPLES, bend

# Listens, and never reads.
FULL = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
s.bind(("127.0.0.1", 4739))
print("ready", flush=True)
sys.stdin.read()
"""
TARGETS = (
    *("127.0.0.1:4739", "127.0.0.1:1", "192.0.2.1:4739", "[::1]:4739", "127.0.0.1", "::1"),
    *(
        "no.such.host.invalid:4739",
        "localhost:6343",
        "[fe80::1%nowhere]:1",
        "[::1",
        "255.255.255.255",
    ),
    *("127.0.0.1:0", "127.0.0.1:-1", "127.0.0.1:65536", "127.0.0.1:99999999999999999", ":", "x"),
)
NUMBERS = (
    *(0, 1, 2, 7, 8, 14, 63, 64, 400, 4095, 4096, 4200, 12_000, 65535, 65536, 1_000_000),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, -1, -5, -(2**63)),
)
TEXTS = (*map(str, NUMBERS), "", "x", "1e9", "9" * 30, "9" * 5000, "\u0663", "1 2", "0x10")
QOS = {
    "linux-htb": ("max-rate",),
    "linux-hfsc": ("max-rate",),
    "linux-sfq": ("perturb", "quantum"),
    "linux-codel": ("limit", "target", "interval"),
    "linux-fq_codel": ("limit", "flows", "target", "interval", "quantum"),
    "linux-netem": ("latency", "jitter", "limit", "loss"),
    "egress-policer": ("cir", "cbs"),
    "linux-noop": (),
    "nonsense": (),
}
QUEUES = (0, 1, 5, 0xEFFF, 0xF000, 0xFFFD, 0xFFFE, 0xFFFF, 2**32 - 1)
POLICING = ("rate", "burst", "kpkts_rate", "kpkts_burst")


def _columns(rng, names):
    """Settings of some of these columns."""
    return [f"{name}={rng.choice(NUMBERS)}" for name in names if rng.random() < 0.6]


def _options(rng, names):
    return [f'other_config:{name}="{rng.choice(TEXTS)}"' for name in names if rng.random() < 0.8]


def _targets(rng):
    some = rng.sample(TARGETS, rng.choice((1, 1, 2, 5)))
    some += [f"127.0.0.1:{n}" for n in range(1, rng.choice((1, 1, 1, 200)))]
    return "targets=" + ",".join(f'"{each}"' for each in some)


def _ipfix_columns(rng):
    columns = ["sampling=1"] if rng.random() < 0.5 else _columns(rng, ("sampling",))
    names = ("obs_domain_id", "obs_point_id", "cache_active_timeout", "cache_max_flows")
    return columns + _columns(rng, names)


class MonitoringCampaign(SwitchCampaign):
    """A switch: br0 is looked on at, br1 is the bystander's.  q0 is a device of the kernel."""

    name = "monitoring"

    def __enter__(self):
        self._switch = daemons.Switch()
        try:
            self._switch.start(vswitchd=["--enable-dummy"])
            self._configure()
            path = self._switch.directory / "datapath.sock"
            self._attacker, self._good = Dpif(path), Dpif(path)
            self._ports = {port.name: port.port_no for port in self._good.port_dump()}
        except BaseException:
            self._switch.close()
            raise
        return self

    def _configure(self):
        host = self._switch.host
        self._full = host.popen(
            sys.executable, "-c", FULL, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._full.stdout.readline() == b"ready\n"
        host.run("ip", "link", "add", "q0", "type", "veth", "peer", "name", "q1")
        words = ["add-br", "br0", "--", "add-br", "br1", "--", "add-port", "br0", "q0"]
        for port in "abcdxy":
            words += ["--", "add-port", "br0" if port < "x" else "br1", port]
            words += ["--", "set", "interface", port, "type=dummy"]
        self._switch.vsctl(*words)
        self._bridge = self._switch.get("bridge", "br0", "_uuid")
        # The library for QoS is imported with the first, which takes longer than a turn should.
        row = ("--", "--id=@q", "create", "qos", "type=linux-htb")
        self._switch.vsctl("--", "set", "port", "q0", "qos=@q", *row)
        self._switch.vsctl("clear", "port", "q0", "qos")

    def __exit__(self, *exc):
        for client in (self._attacker, self._good):
            client.close()
        self._full.kill()
        self._full.communicate()
        self._switch.close()

    def bystander(self):
        return frames_and_answers(self._switch, "br1", self._good, self._ports, frame())

    def attack(self, rng):
        for _ in range(rng.choice((1, 1, 2))):
            rng.choice(ATTACKS)(self, rng)
        for _ in range(rng.choice((1, 30, 300))):
            with contextlib.suppress(DpifError):
                self._attacker.port_inject(
                    self._ports[rng.choice("abc")], bend(rng, rng.choice(SAMPLES))
                )
        with contextlib.suppress(DpifError):
            self._attacker.port_drain(self._ports[rng.choice("abcd")])
        # Each collector has a descriptor as long as its row is there.
        self._set(
            *("--", "clear", "bridge", "br0", "ipfix", "sflow"),
            *("--", "--all", "destroy", "Flow_Sample_Collector_Set"),
        )

    def _set(self, *words):
        """What the schema refuses is no row."""
        self._switch.vsctl("--timeout=5", "--no-wait", *words, check=False)

    def _ipfix(self, rng):
        columns = [_targets(rng), *_ipfix_columns(rng)]
        row = ("--", "--id=@i", "create", "ipfix", *columns)
        self._set("--", "set", "bridge", "br0", "ipfix=@i", *row)

    def _collector_sets(self, rng):
        words = ["--", "--all", "destroy", "Flow_Sample_Collector_Set"]
        for number in range(rng.choice((0, 1, 3))):
            target = [_targets(rng)] if rng.random() < 0.7 else []
            words += ["--", f"--id=@i{number}", "create", "ipfix", *target, *_ipfix_columns(rng)]
            words += ["--", "create", "Flow_Sample_Collector_Set", f"id={number}"]
            words += [f"bridge={self._bridge}", f"ipfix=@i{number}"]
        self._set(*words)
        sample = (
            f"sample(probability={rng.choice((1, 65535))},collector_set_id={rng.choice((0, 1))})"
        )
        self._switch.ofctl("add-flow", "br0", f"actions={sample},NORMAL", check=False)

    def _sflow(self, rng):
        agent = [f"agent={each}" for each in rng.sample(("lo", "q0", "1.2.3.4", "no-such"), 1)]
        columns = ["sampling=1"] if rng.random() < 0.5 else _columns(rng, ("sampling",))
        columns += _columns(rng, ("polling", "header")) + agent * rng.choice((0, 1))
        row = ("--", "--id=@i", "create", "sflow", _targets(rng), *columns)
        self._set("--", "set", "bridge", "br0", "sflow=@i", *row)

    def _ifindex(self, rng):
        self._set("set", "interface", rng.choice("abc"), f'options:ifindex="{rng.choice(TEXTS)}"')

    def _mirrors(self, rng):
        words = ["--", "clear", "bridge", "br0", "mirrors"]
        for number in range(rng.choice((0, 1, 3, 40))):
            port = rng.choice((*"abcd", "q0", "br0"))
            ends = (["output_port=@p"], [f"output_vlan={rng.choice(NUMBERS[1:11])}"], [])
            columns = rng.choice(ends) + rng.choice((["select_all=true"], ["select_dst_port=@p"]))
            columns += _columns(rng, ("snaplen", "select_vlan")) if rng.random() < 0.2 else []
            words += ["--", "--id=@p", "get", "port", port] if number == 0 else []
            words += ["--", f"--id=@m{number}", "create", "mirror", f"name=m{number}", *columns]
            words += ["--", "add", "bridge", "br0", "mirrors", f"@m{number}"]
        self._set(*words)

    def _port_goes(self, rng):
        """Of a mirror perhaps, and back again; or its device is down."""
        port = rng.choice(("d", "q0"))
        kind = ["--", "set", "interface", port, "type=dummy"] if port == "d" else []
        self._set("del-port", port)
        self._set("add-port", "br0", port, *kind)
        self._switch.host.run("ip", "link", "set", "q0", rng.choice(("up", "down")))

    def _qos(self, rng):
        kind = rng.choice(tuple(QOS))
        words = ["--", "set", "port", rng.choice(("q0", "q0", "a")), "qos=@q"]
        words += ["--", "--id=@q", "create", "qos", f"type={kind}", *_options(rng, QOS[kind])]
        numbers = rng.sample(QUEUES, rng.choice((0, 1, 4)))
        numbers += range(10, rng.choice((10, 10, 10, 1000)))
        words += [f"queues:{number}=@e" for number in numbers]
        queue = _options(rng, ("min-rate", "max-rate", "burst", "priority"))
        words += ["--", "--id=@e", "create", "queue", *_columns(rng, ("dscp",)), *queue]
        self._set(*words)
        queue = rng.choice(QUEUES)
        self._switch.ofctl("add-flow", "br0", f"actions=set_queue:{queue},NORMAL", check=False)

    def _policing(self, rng):
        columns = _columns(rng, [f"ingress_policing_{each}" for each in POLICING])
        self._set("--", "set", "interface", rng.choice(("q0", "a")), *columns or ["mac=[]"])

    def _away(self, rng):
        self._set("--", "clear", "bridge", "br0", "ipfix", "sflow", "mirrors")
        self._set("--", "clear", "port", "q0", "qos")


ATTACKS = (
    *(MonitoringCampaign._ipfix, MonitoringCampaign._collector_sets, MonitoringCampaign._sflow),
    *(MonitoringCampaign._ifindex, MonitoringCampaign._mirrors, MonitoringCampaign._port_goes),
    *(MonitoringCampaign._qos, MonitoringCampaign._policing, MonitoringCampaign._away),
)
