"""The rules of a Kubernetes network: services with session affinity, policies and hairpin.

As the agents of such networks write them: named tables, register marks with masks, conjunctions,
select groups that come back, learned flows, tracking in two zones, NAT of both kinds.  The same
rules run on Open vSwitch's userspace datapath, where it is installed, with the same outcome.
"""

import contextlib
import re

import pytest

from tests.ovs_userspace import OvsSwitch
from tests.ovs_userspace import missing as no_peer
from tests.system.networks.test_stateful_rules import SERVER, connections

pytestmark = pytest.mark.system

TABLES = (
    *("Root", "ArpGuard", "ArpAnswer", "IpGuard", "UnSnat", "Track", "State", "Affinity"),
    *("Service", "Endpoint", "Egress", "Route", "SnatMark", "Snat", "Forward", "Ingress"),
    *("Commit", "Output"),
)
GATEWAY, GATEWAY_MAC = "10.10.0.1", "aa:bb:cc:dd:ee:ff"
PODS = {"client": 26, "web": 24, "db": 25, "web2": 27}  # name: last byte of address and MAC
SERVICE, LONELY, EMPTY = "10.96.0.10", "10.96.0.12", "10.96.0.11"
GROUPS = """\
group_id=9,type=select,bucket=bucket_id:0,weight:100,actions=set_field:0x4000/0x4000->reg0,\
resubmit(,Endpoint)
group_id=10,type=select,\
bucket=bucket_id:0,weight:100,actions=set_field:0xa0a0018->reg3,set_field:0x1f90/0xffff->reg4,\
resubmit(,Service),\
bucket=bucket_id:1,weight:100,actions=set_field:0xa0a001b->reg3,set_field:0x1f90/0xffff->reg4,\
resubmit(,Service)
group_id=12,type=select,bucket=bucket_id:0,weight:100,actions=set_field:0xa0a0018->reg3,\
set_field:0x1f90/0xffff->reg4,resubmit(,Endpoint)
"""
RULES = f"""\
table=Root,priority=200,arp,actions=goto_table:ArpGuard
table=Root,priority=200,ip,actions=goto_table:IpGuard
table=Root,priority=0,actions=drop
table=ArpAnswer,priority=200,arp,arp_tpa={GATEWAY},arp_op=1,actions=\
move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:{GATEWAY_MAC}->eth_src,set_field:2->arp_op,\
move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:{GATEWAY_MAC}->arp_sha,\
move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:{GATEWAY}->arp_spa,IN_PORT
table=ArpAnswer,priority=190,arp,actions=NORMAL
table=UnSnat,priority=200,ip,nw_dst={GATEWAY},actions=ct(table=Track,zone=65521,nat)
table=UnSnat,priority=0,actions=goto_table:Track
table=Track,priority=200,ip,actions=ct(table=State,zone=65520,nat)
table=State,priority=210,ct_state=+inv+trk,ip,actions=drop
table=State,priority=200,ct_state=-new+trk,ct_mark=0x10/0x10,ip,actions=\
set_field:0x200/0x200->reg0,goto_table:Egress
table=State,priority=190,ct_state=-new+trk,ip,actions=goto_table:Egress
table=State,priority=0,actions=resubmit(,Affinity),resubmit(,Service)
table=Affinity,priority=0,actions=set_field:0x10000/0x70000->reg4
table=Service,priority=200,tcp,reg4=0x10000/0x70000,nw_dst={SERVICE},tp_dst=80,actions=\
set_field:0x200/0x200->reg0,set_field:0x30000/0x70000->reg4,set_field:0xa->reg7,group:10
table=Service,priority=200,tcp,reg4=0x10000/0x70000,nw_dst={LONELY},tp_dst=80,actions=\
set_field:0x200/0x200->reg0,set_field:0x20000/0x70000->reg4,set_field:0xc->reg7,group:12
table=Service,priority=200,tcp,reg4=0x10000/0x70000,nw_dst={EMPTY},tp_dst=80,actions=\
set_field:0x20000/0x70000->reg4,group:9
table=Service,priority=190,tcp,reg4=0x30000/0x70000,nw_dst={SERVICE},tp_dst=80,actions=\
learn(table=Affinity,hard_timeout=300,priority=200,delete_learned,cookie=0x203,eth_type=0x800,\
nw_proto=6,NXM_OF_TCP_DST[],NXM_OF_IP_DST[],NXM_OF_IP_SRC[],\
load:NXM_NX_REG4[0..15]->NXM_NX_REG4[0..15],load:NXM_NX_REG4[26]->NXM_NX_REG4[26],\
load:NXM_NX_REG3[]->NXM_NX_REG3[],load:0x2->NXM_NX_REG4[16..18],load:0x1->NXM_NX_REG0[9]),\
set_field:0x20000/0x70000->reg4,goto_table:Endpoint
table=Service,priority=0,actions=goto_table:Endpoint
table=Endpoint,priority=200,reg0=0x4000/0x4000,actions=\
controller(reason=no_match,id=62373,userdata=04)
table=Endpoint,priority=200,tcp,reg3=0xa0a0018,reg4=0x21f90/0x7ffff,actions=\
ct(commit,table=Egress,zone=65520,nat(dst=10.10.0.24:8080),\
exec(set_field:0x10/0x10->ct_mark,move:NXM_NX_REG0[0..3]->NXM_NX_CT_MARK[0..3]))
table=Endpoint,priority=200,tcp,reg3=0xa0a001b,reg4=0x21f90/0x7ffff,actions=\
ct(commit,table=Egress,zone=65520,nat(dst=10.10.0.27:8080),\
exec(set_field:0x10/0x10->ct_mark,move:NXM_NX_REG0[0..3]->NXM_NX_CT_MARK[0..3]))
table=Endpoint,priority=0,actions=goto_table:Egress
table=Egress,priority=64990,ct_state=-new+est,ip,actions=goto_table:Route
table=Egress,priority=64990,ct_state=-new+rel,ip,actions=goto_table:Route
table=Egress,priority=14500,ip,nw_src=10.10.0.24,actions=conjunction(7,1/3)
table=Egress,priority=14500,ip,nw_dst=10.10.0.24,actions=conjunction(7,2/3)
table=Egress,priority=14500,ip,nw_dst=10.10.0.25,actions=conjunction(7,2/3)
table=Egress,priority=14500,tcp,tp_dst=3306,actions=conjunction(7,3/3)
table=Egress,priority=14500,tcp,tp_dst=8080,actions=conjunction(7,3/3)
table=Egress,priority=14500,conj_id=7,ip,actions=set_field:0x7->reg5,\
ct(commit,table=Route,zone=65520,exec(set_field:0x700000000/0xffffffff00000000->ct_label))
table=Egress,priority=14499,ip,nw_src=10.10.0.24,actions=conjunction(5,1/2)
table=Egress,priority=14499,ip,actions=conjunction(5,2/2)
table=Egress,priority=14499,conj_id=5,actions=set_field:0x5->reg3
table=Egress,priority=0,actions=goto_table:Route
table=Route,priority=0,actions=goto_table:SnatMark
table=SnatMark,priority=190,ct_state=+new+trk,ip,nw_src=10.10.0.24,nw_dst=10.10.0.24,actions=\
ct(commit,table=Snat,zone=65520,exec(set_field:0x20/0x20->ct_mark,set_field:0x40/0x40->ct_mark))
table=SnatMark,priority=0,actions=goto_table:Snat
table=Snat,priority=200,ct_state=+new+trk,ct_mark=0x40/0x40,ip,actions=\
ct(commit,table=Forward,zone=65521,nat(src={GATEWAY}),\
exec(set_field:0x10/0x10->ct_mark,set_field:0x40/0x40->ct_mark))
table=Snat,priority=200,ct_state=-new-rpl+trk,ct_mark=0x20/0x20,ip,actions=\
ct(table=Forward,zone=65521,nat)
table=Snat,priority=0,actions=goto_table:Forward
table=Forward,priority=0,actions=goto_table:Ingress
table=Ingress,priority=64990,ct_state=-new+est,ip,actions=goto_table:Commit
table=Ingress,priority=64990,ct_state=-new+rel,ip,actions=goto_table:Commit
table=Ingress,priority=20000,ct_mark=0x40/0x40,actions=goto_table:Commit
table=Ingress,priority=14600,ip,nw_src=10.10.0.26,actions=conjunction(6,1/3)
table=Ingress,priority=14600,reg1=2,actions=conjunction(6,2/3)
table=Ingress,priority=14600,reg1=4,actions=conjunction(6,2/3)
table=Ingress,priority=14600,tcp,tp_dst=8080,actions=conjunction(6,3/3)
table=Ingress,priority=14600,conj_id=6,ip,actions=set_field:0x6->reg6,\
ct(commit,table=Commit,zone=65520,exec(set_field:0x6/0xffffffff->ct_label))
table=Ingress,priority=14599,ip,reg1=2,actions=drop
table=Ingress,priority=14599,ip,reg1=4,actions=drop
table=Ingress,priority=0,actions=goto_table:Commit
table=Commit,priority=200,ct_state=+new+trk,ct_mark=0/0x10,ip,actions=\
ct(commit,table=Output,zone=65520,exec(move:NXM_NX_REG0[0..3]->NXM_NX_CT_MARK[0..3]))
table=Commit,priority=0,actions=goto_table:Output
table=Output,priority=210,ct_mark=0x40/0x40,ip,actions=IN_PORT
table=Output,priority=200,reg0=0x200000/0x600000,actions=output:NXM_NX_REG1[]
"""
# Of each pod, whose port has its name.
OF_POD = """\
table=ArpGuard,priority=200,arp,in_port={name},arp_spa={address},arp_sha={mac},actions=\
goto_table:ArpAnswer
table=IpGuard,priority=200,ip,in_port={name},dl_src={mac},nw_src={address},actions=\
set_field:0x3/0xf->reg0,goto_table:UnSnat
table=Route,priority=200,ip,reg0=0x200/0x200,nw_dst={address},actions=\
set_field:{gateway_mac}->eth_src,set_field:{mac}->eth_dst,dec_ttl,goto_table:SnatMark
table=Forward,priority=200,dl_dst={mac},actions=\
set_field:{number}->reg1,set_field:0x200000/0x600000->reg0,goto_table:Ingress
"""


class Cluster:
    """A bridge with the rules, and its pods."""

    def __init__(self, switch, *bridge):
        self.switch = switch
        self.servers, self.pods = [], {}
        switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure", *bridge)
        for number, name in enumerate(TABLES):
            self.switch.vsctl(
                *("--id=@t", "create", "flow_table", f"name={name}"),
                *("--", "set", "bridge", "br0", f"flow_tables:{number}=@t"),
            )
        rules = RULES
        for number, name in enumerate(PODS, 1):
            rules += self._pod(number, name)
        self._add("groups", GROUPS)
        self._add("flows", rules)

    def _pod(self, number, name):
        """Its rules."""
        address, mac = f"10.10.0.{PODS[name]}", f"02:00:00:00:00:{PODS[name]}"
        made = self.pods[name] = self.switch.container(name)
        made.run("ip", "link", "set", "eth0", "address", mac)
        made.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        made.run("ip", "route", "add", "default", "via", GATEWAY)
        self.switch.vsctl(
            "add-port", "br0", name, "--", "set", "interface", name, f"ofport_request={number}"
        )
        return OF_POD.format(
            name=name, address=address, mac=mac, number=number, gateway_mac=GATEWAY_MAC
        )

    def _add(self, what, text):
        path = self.switch.directory / what
        path.write_text(text)
        self.switch.ofctl("-O", "OpenFlow15", f"add-{what}", "br0", str(path))

    def serve(self, name, port):
        child = self.pods[name].popen("python3", "-c", SERVER, str(port), stdout=-1, text=True)
        assert child.stdout.readline() == "ready\n"
        self.servers.append(child)

    def get(self, name, address):
        """Who the server saw, when all came; None: nothing did."""
        done = self.pods[name].run(
            *("curl", "-s", "--noproxy", "*", "-m", "3", f"http://{address}/"),
            check=False,
            timeout=10,
        )
        head, _, body = done.partition("\n")
        assert not body or body == "x" * 200000
        return head or None

    def affinities(self):
        """The learned flows, without what is chance: the endpoint, and times."""
        found = self.switch.ofctl("--no-stats", "dump-flows", "br0", "cookie=0x203/-1")
        lines = [line.strip() for line in found.splitlines() if "cookie=0x203" in line]
        return [re.sub(r"load:0xa0a00(18|1b)->", "load:ENDPOINT->", line) for line in lines]

    def rules(self):
        """What is there besides, in the switch's order."""
        dumped = self.switch.ofctl("--no-stats", "dump-flows", "br0").splitlines()
        groups = self.switch.ofctl("-O", "OpenFlow15", "dump-groups", "br0").splitlines()
        lines = [line for line in dumped if "cookie=0x203" not in line]
        return sorted(re.sub(r"xid=\w+", "", line.strip()) for line in lines + groups)

    def close(self):
        for child in self.servers:
            child.kill()
            child.wait()


def scenario(cluster):
    """[(what, outcome)]; see RULES."""
    for name, port in (("web", 8080), ("web2", 8080), ("db", 3306), ("client", 9)):
        cluster.serve(name, port)
    pods = cluster.pods
    seen = [
        ("ping", pods["client"].ping("10.10.0.25", 2)),
        ("ping a web server", pods["client"].ping("10.10.0.24", 1, wait=1)),
        ("ping the service", pods["client"].ping(SERVICE, 1, wait=1)),
        *(("service", cluster.get("client", SERVICE)) for _ in range(4)),
        ("service of one", cluster.get("client", LONELY)),
        ("service of none", cluster.get("client", EMPTY)),
        ("allowed", cluster.get("client", "10.10.0.24:8080")),
        ("from another", cluster.get("db", "10.10.0.24:8080")),
        ("service from another", cluster.get("db", SERVICE)),
        ("out", cluster.get("web", "10.10.0.25:3306")),
        ("out elsewhere", cluster.get("web", "10.10.0.26:9")),
        ("itself", cluster.get("web", LONELY)),
    ]
    return seen


EXPECTED = [
    ("ping", 2),
    ("ping a web server", 0),
    ("ping the service", 0),
    *[("service", "10.10.0.26")] * 4,
    ("service of one", "10.10.0.26"),
    ("service of none", None),
    ("allowed", "10.10.0.26"),
    ("from another", None),
    ("service from another", None),
    ("out", "10.10.0.24"),
    ("out elsewhere", None),
    ("itself", GATEWAY),
]


def _without_choice(connection):
    """Which server a group chose is chance."""
    chosen = f"dst={SERVICE}," in connection
    return re.sub(r"src=10\.10\.0\.2[47],", "src=WEB,", connection) if chosen else connection


def all_of(cluster):
    """(outcomes, learned flows, rules, connections)."""
    return (
        scenario(cluster),
        cluster.affinities(),
        cluster.rules(),
        sorted(_without_choice(line) for line in connections(cluster.switch)),
    )


def test_services_and_policies(switch):
    with contextlib.closing(Cluster(switch)) as cluster:
        ours = all_of(cluster)
        assert ours[0] == EXPECTED
        assert len(ours[1]) == 2  # the client's, and who asked without being allowed
    if no_peer():
        return
    with contextlib.closing(OvsSwitch()) as peer:
        peer.start()
        with contextlib.closing(Cluster(peer, "datapath_type=netdev")) as cluster:
            theirs = all_of(cluster)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == other
