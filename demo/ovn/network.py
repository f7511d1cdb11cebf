"""The logical network that the demo and the tests have: what a cloud's tenant would order.

Two switches of virtual machines and a distributed router between them, whose gateway port leads
to the world outside on one of two hosts.  Each text is commands for ovn-nbctl, one in each line.
"""

import re
import shlex

from demo.ovn import places

MACHINES = {  # name: (host, MAC, address, gateway)
    "vm1": ("h1", "02:00:00:00:01:01", "10.0.1.1", "10.0.1.254"),
    "vm2": ("h2", "02:00:00:00:01:02", "10.0.1.2", "10.0.1.254"),
    "vm3": ("h1", "02:00:00:00:02:03", "10.0.2.3", "10.0.2.254"),
    "vm4": ("h2", "02:00:00:00:02:04", "10.0.2.4", "10.0.2.254"),
}
HOSTS = {"h1": "192.168.77.1", "h2": "192.168.77.2", "h3": "192.168.77.3"}
WORLD, OUTSIDE, FLOATING, VIP = "172.16.0.1", "172.16.0.100", "172.16.0.110", "10.0.9.9"

TROUBLE = re.compile(r"OpenFlow error|disconnect|\|(WARN|ERR|EMER)\||Traceback")
# ovn-controller's own: Debian's has no plug for cards' representors; it asks for br-int's socket
# before the switch can have it; and a second gateway was the first as long as it saw no other.
EXPECTED = re.compile(
    r"vif_plug_provider|br-int.mgmt: connection failed \(No such file"
    r"|release unknown interface cr-"
)
LEASE = """#!/bin/sh
# udhcpc says in the environment what it was told.
if [ "$1" = bound ]; then
  ip addr add $ip/$mask dev eth0
  ip route add default via $router
fi
"""

SWITCHES = """
    ls-add sw1
    ls-add sw2
    lr-add router
    lrp-add router to-sw1 02:00:00:00:01:fe 10.0.1.254/24
    lrp-add router to-sw2 02:00:00:00:02:fe 10.0.2.254/24
    lsp-add sw1 sw1-up
    lsp-set-type sw1-up router
    lsp-set-addresses sw1-up router
    lsp-set-options sw1-up router-port=to-sw1
    lsp-add sw2 sw2-up
    lsp-set-type sw2-up router
    lsp-set-addresses sw2-up router
    lsp-set-options sw2-up router-port=to-sw2
"""

GATEWAY = f"""
    ls-add public
    lsp-add public public-wire
    lsp-set-type public-wire localnet
    lsp-set-addresses public-wire unknown
    lsp-set-options public-wire network_name=public
    lrp-add router to-public 02:00:00:00:09:fe {OUTSIDE}/24
    lsp-add public public-up
    lsp-set-type public-up router
    lsp-set-addresses public-up router
    lsp-set-options public-up router-port=to-public
    lrp-set-gateway-chassis to-public h2 20
    lrp-set-gateway-chassis to-public h3 10
    lr-route-add router 0.0.0.0/0 {WORLD}
"""

# No rule for the way back: what belongs to a connection passes.
RULES = """
    acl-add sw2 to-lport 2000 "outport == \\"vm4\\" && icmp4" allow-related
    acl-add sw2 to-lport 2000 "outport == \\"vm4\\" && tcp.dst == 8080" allow-related
    acl-add sw2 to-lport 1000 "outport == \\"vm4\\" && ip" drop
"""

BALANCER = f"""
    lb-add web {VIP}:80 10.0.1.2:8080,10.0.2.4:8080 tcp
    ls-lb-add sw1 web
    ls-lb-add sw2 web
    lr-lb-add router web
"""

TRANSLATION = f"""
    lr-nat-add router snat {OUTSIDE} 10.0.1.0/24
    lr-nat-add router snat {OUTSIDE} 10.0.2.0/24
    lr-nat-add router dnat_and_snat {FLOATING} 10.0.1.1
"""


def port(name):
    """A machine's port, which may send by its own addresses only."""
    _, mac, address, _ = MACHINES[name]
    switch = f"sw{address.split('.')[2]}"
    return f"""
        lsp-add {switch} {name}
        lsp-set-addresses {name} "{mac} {address}"
        lsp-set-port-security {name} "{mac} {address}"
    """


def leases(name, central):
    """A machine gets its address and router by DHCP, and the router's address answers for names."""
    _, mac, address, gateway = MACHINES[name]
    options = f"lease_time=3600 router={gateway} server_id={gateway} server_mac={mac[:-2]}fe"
    central.run(f"ovn-nbctl dhcp-options-create {address.rpartition('.')[0]}.0/24")
    row = central.quiet("ovn-nbctl --bare --columns=_uuid find DHCP_Options").split()[-1]
    central.run(f"ovn-nbctl dhcp-options-set-options {row} {options} dns_server={gateway}")
    central.run(f"ovn-nbctl lsp-set-dhcpv4-options {name} {row}")
    names = " ".join(f'records:{each}.lab="{MACHINES[each][2]}"' for each in MACHINES)
    central.run(
        f"ovn-nbctl --id=@names create DNS {names} -- add Logical_Switch sw1 dns_records @names"
    )


class Network:
    """All of it on its hosts: `central`, `hosts` and `machines` by name, and `world` outside."""

    kinds = {}  # of hosts that are no places.Host, by name

    def __init__(self, shell, encap, central=places.Central):
        self.shell = shell
        self.encap = encap
        self.central = central(shell)
        self.hosts, self.machines = {}, {}
        self.world = None

    def add_hosts(self):
        for name, address in HOSTS.items():
            kind = self.kinds.get(name, places.Host)
            self.hosts[name] = kind(self.shell, name, address, self.central)
            self.hosts[name].start(self.encap)

    def add_machines(self):
        self.central.nbctl(SWITCHES + "".join(map(port, MACHINES)))
        for name, (host, mac, address, gateway) in MACHINES.items():
            machine = self.hosts[host].machine(name, name, mac, f"{address}/24", gateway)
            self.machines[name] = machine
        self.central.sync()

    def add_world(self):
        self.world = places.Place(self.shell, "world")
        places.plug(self.shell, "world", "eth0", "outside")
        self.world.quiet(f"ip addr add {WORLD}/24 dev eth0")
        self.central.nbctl(GATEWAY + TRANSLATION)
        self.central.sync()

    def serve(self, name, port):
        """A machine says its name to who connects."""
        self.machines[name].run(f"python -m demo.ovn.web serve {name} {port}")

    def ask(self, name, address, port, **options):
        """Who a machine is answered by."""
        web = f"python -m demo.ovn.web ask {address} {port}"
        return self.machines[name].run(web, **options).strip()

    def lease(self, name):
        """Have a machine forget its address and ask for one."""
        machine = self.machines[name]
        script = f"{places.LAB}/{name}/lease"
        self.shell.quiet(f"printf %s {shlex.quote(LEASE)} >{script} && chmod +x {script}")
        machine.quiet("ip addr flush dev eth0")
        machine.run(f"busybox udhcpc -n -q -i eth0 -s {script}")
        return machine.run("ip -4 -br addr show dev eth0")

    def complaints(self):
        """What any ovn-controller or vswitchd has to complain of."""
        found = []
        for host in self.hosts.values():
            lines = (host.log("ovn-controller") + host.log("ovs-vswitchd")).splitlines()
            found += [
                f"{host.name}: {line}"
                for line in lines
                if TROUBLE.search(line) and not EXPECTED.search(line)
            ]
        return found
