"""What libvirt and others type to plug machines and containers in, under Open vSwitch's names; a
TAP device as QEMU opens it."""

import json
import os
import re
import subprocess
import sys
import threading

import pytest

from tests.daemons import BIN, ROOT, wait_until

pytestmark = pytest.mark.system

MAC, IFACE = "52:54:00:12:34:56", "668033d2-06a4-4aaa-aca5-30cde245e477"
VM = "d7a730ca-3c28-49c3-8f26-4662b909fe8a"
# Arguments as libvirt hands them over, without a shell: the quotes are in them.
IDS = [f'external-ids:vm-id="{VM}"', 'external-ids:ifname="vnet0"']


@pytest.fixture
def vsctl(switch, tmp_path):
    """ovs-vsctl as these programs execute it: found by its name, told nothing of the database."""
    switch.host.run(str(BIN / "pyvs-ctl"), "ovs-names", str(tmp_path))
    environment = {**switch.environment, "OVS_RUNDIR": str(switch.directory)}

    def run(*words, check=True):
        program = str(tmp_path / "ovs-vsctl")
        return switch.host.run(program, *words, check=check, env=environment)

    run("add-br", "br0")
    switch.host.run("ip", "link", "add", "vnet0", "type", "veth", "peer", "name", "far0")
    switch.host.run("ip", "link", "add", "vnet1", "type", "veth", "peer", "name", "far1")
    return run


def plug(name, *vlan):
    """virNetDevOpenvswitchAddPort"""
    of = ("--", "set", "Interface", name)
    return (
        *("--timeout=5", "--", "--if-exists", "del-port", name, "--", "add-port", "br0", name),
        *vlan,
        *(*of, f'external-ids:attached-mac="{MAC}"', *of, f'external-ids:iface-id="{IFACE}"'),
        *(*of, f'external-ids:vm-id="{VM}"', *of, "external-ids:iface-status=active"),
    )


def plug_since_9(name, *vlan):
    """The same as libvirt 9.0 calls it: seen of `virsh start` and of libvirtd's own restart."""
    of = ("--", "set", "Interface", name)
    ids = (f'attached-mac="{MAC}"', f'iface-id="{IFACE}"', f'vm-id="{VM}"')
    more = ('port-profile="menial"', f'ifname="{name}"', "iface-status=active")
    words = [word for each in (*ids, *more) for word in (*of, f"external-ids:{each}")]
    return ("--timeout=5", "--", "--may-exist", "add-port", "br0", name, *vlan, *words)


VLANS = {
    (): "[] [] []",
    ("tag=5",): "5 [] []",
    ("trunk=10,20",): "[] [10, 20] []",
    ("vlan_mode=native-untagged", "tag=10", "trunk=10,20"): "10 [10, 20] native-untagged",
}


@pytest.mark.parametrize("call", [plug, plug_since_9], ids=["until-8", "since-9"])
@pytest.mark.parametrize("vlan", VLANS)
def test_libvirt_plugs(vsctl, switch, vlan, call):
    vsctl(*call("vnet0", *vlan))
    vsctl(*call("vnet0", *vlan))  # once more, as after a crash of libvirtd
    got = vsctl("get", "port", "vnet0", "tag", "trunks", "vlan_mode").split("\n")
    assert " ".join(got).strip() == VLANS[vlan]
    ids = vsctl("get", "Interface", "vnet0", "external_ids")
    for text in (f'attached-mac="{MAC}"', f"iface-id={IFACE}", f"vm-id={VM}"):
        assert text.replace('"', "") in ids.replace('"', "")
    assert int(vsctl("get", "Interface", "vnet0", "ofport")) > 0
    assert vsctl("--timeout=5", "iface-to-br", "vnet0") == "br0\n"


def test_libvirt_looks_moves_and_unplugs(vsctl, switch):
    vsctl(*plug("vnet0"))
    words = "--timeout=5 --if-exists --format=list --data=json --no-headings --columns=statistics"
    told = wait_until(
        lambda: (
            "rx_packets" in (text := vsctl(*words.split(), "list", "Interface", "vnet0")) and text
        ),
        what="statistics",
    )
    kind, pairs = json.loads(told.partition(":")[2] if told.startswith("statistics") else told)
    assert kind == "map" and {"rx_bytes", "tx_dropped"} <= set(dict(pairs))
    migrate = ("--timeout=5", "set", "Interface", "vnet0", "external_ids:PortData=some:data")
    get = ("--timeout=5", "--if-exists", "get", "Interface", "vnet0", "external_ids:PortData")
    assert vsctl(*get) == "\n"
    vsctl(*migrate)
    assert vsctl(*get) == '"some:data"\n'
    clear = ("--", "--if-exists", "clear", "Port", "vnet0")
    vsctl(
        *("--timeout=5", *clear, "tag", *clear, "trunk", *clear, "vlan_mode"),
        *("--", "--if-exists", "set", "Port", "vnet0", "tag=7"),
    )
    assert vsctl("get", "port", "vnet0", "tag") == "7\n"
    vsctl(
        *("--timeout=5", *clear, "tag", *clear, "trunk", *clear, "vlan_mode"),
        *("--", "--if-exists", "set", "Port", "vnet0"),
        *("vlan_mode=native-tagged", "tag=6", "trunk=5,6"),  # virsh update-device
    )
    got = vsctl("get", "port", "vnet0", "tag", "trunks", "vlan_mode").split("\n")
    assert " ".join(got) == "6 [5, 6] native-tagged "
    find = "--timeout=5 --no-headings --columns=name find Interface options:vhost-server-path=/x"
    assert vsctl(*find.split()) == ""
    for _ in range(2):
        vsctl("--timeout=5", "--", "--if-exists", "del-port", "vnet0")
    assert "vnet0" not in vsctl("list-ports", "br0")


def test_libvirt_limits(vsctl, switch):
    """<bandwidth>: virNetDevOpenvswitchInterfaceSetQos, and what takes it off again."""
    vsctl(*plug("vnet0"))
    find = ("--timeout=5", "--no-heading", "--columns=_uuid", "find")
    assert vsctl(*find, "queue", *IDS) == vsctl(*find, "qos", *IDS) == ""
    rates = ("other_config:min-rate=8000000", "other_config:max-rate=16000000")
    vsctl(
        *("--timeout=5", "set", "port", "vnet0", "qos=@qos1", "--", "--id=@qos1", "create", "qos"),
        *("type=linux-htb", *rates, "queues:0=@queue0", *IDS),
        *("--", "--id=@queue0", "create", "queue", *rates, *IDS),
    )
    vsctl("--timeout=5", "set", "Interface", "vnet0", "ingress_policing_rate=8000")
    wait_until(lambda: "htb" in switch.host.run("tc", "qdisc", "show", "dev", "vnet0"), what="htb")
    queue, qos = vsctl(*find, "queue", *IDS).strip(), vsctl(*find, "qos", *IDS).strip()
    assert re.fullmatch("[0-9a-f-]{36}", queue) and re.fullmatch("[0-9a-f-]{36}", qos)
    vsctl("--timeout=5", "set", "queue", queue, "other_config:max-rate=24000000")
    port = ("--timeout=5", "--no-heading", "--columns=_uuid", "--if-exists", "list", "port")
    assert vsctl(*port, "vnet0", "qos").strip()  # of a port that is there, or not
    assert vsctl(*port, "vnet9", "qos") == ""
    vsctl("--timeout=5", "remove", "port", "vnet0", "qos", qos)
    vsctl("--timeout=5", "destroy", "qos", qos)
    vsctl("--timeout=5", "destroy", "queue", queue)
    gone = lambda: "htb" not in switch.host.run("tc", "qdisc", "show", "dev", "vnet0")  # noqa: E731
    wait_until(gone, what="no htb")


def test_openstack(vsctl):
    """neutron's and os-vif's command lines (ovsdbapp's native ones are tested with ovsdbapp)."""
    base = ("--timeout=120", "--oneline", "--format=json", "--")
    bridge = ("--", "set", "Bridge", "br-int", "datapath_type=system")
    vsctl(*base, "--may-exist", "add-br", "br-int", *bridge)
    vsctl(
        *base, "--may-exist", "add-br", "br-int", *bridge, "--", "set-fail-mode", "br-int", "secure"
    )
    ids = (f"iface-id={IFACE}", "iface-status=active", f"attached-mac={MAC}", f"vm-uuid={VM}")
    vsctl(
        *(*base, "--if-exists", "del-port", "vnet0", "--", "add-port", "br-int", "vnet0", "--"),
        *("set", "Interface", "vnet0", *(f"external-ids:{each}" for each in ids)),
    )
    vsctl(*base, "set", "Interface", "vnet0", "mtu_request=1450")
    told = vsctl(*base, "--columns=name,external_ids,ofport", "list", "Interface", "vnet0")
    table = json.loads(told.replace("\\n", "\n") if told.startswith("{\\") else told)
    assert table["headings"] == ["name", "external_ids", "ofport"]
    assert ["iface-id", IFACE] in table["data"][0][1][1]
    assert vsctl(*base, "get-fail-mode", "br-int").strip() == "secure"
    patch = ("set", "Interface", "int-br0", "type=patch", "options:peer=phy-br0")
    vsctl(*base, "--may-exist", "add-port", "br-int", "int-br0", "--", *patch)
    vsctl(*base, "--if-exists", "del-port", "br-int", "vnet0")
    vsctl(*base, "--if-exists", "del-br", "br-int")


def test_proxmox_lxc_and_docker_scripts(vsctl):
    vsctl("add-port", "br0", "vnet0", "tag=5", "trunks=6,7", "vlan_mode=native-untagged",
          "--", "set", "Interface", "vnet0", "mtu_request=1500")  # fmt: skip
    assert vsctl("port-to-br", "vnet0") == "br0\n"
    vsctl("add-port", "br0", "fwln100o0", "--", "set", "Interface", "fwln100o0", "type=internal")
    vsctl("del-port", "br0", "vnet0")
    bond = ("--may-exist", "add-bond", "br0", "bond0", "vnet0", "vnet1")
    vsctl("--", *bond, "bond_mode=active-backup")
    vsctl("--", *bond, "bond_mode=active-backup")
    vsctl("--", "--if-exists", "del-port", "br0", "bond0")
    # LXC's and LXD's hooks.
    vsctl("--may-exist", "add-br", "br0")
    vsctl("--if-exists", "del-port", "br0", "vnet1")
    vsctl("add-port", "br0", "vnet1", "trunks=53")
    vsctl("--may-exist", "add-port", "br0", "vnet1")
    vsctl("set", "port", "vnet1", "tag=53", "vlan_mode=native-untagged")
    vsctl("--if-exists", "del-port", "br0", "vnet1")
    # ovs-docker's.
    ids = ("external_ids:container_id=web", "external_ids:container_iface=eth1")
    vsctl("--timeout=60", "--may-exist", "add-port", "br0", "vnet1", "--",
          "set", "interface", "vnet1", *ids)  # fmt: skip
    find = "--timeout=60 --data=bare --no-heading --columns=name find interface"
    assert vsctl(*find.split(), *ids) == "vnet1\n"


def test_a_vhost_user_port_says_that_there_is_none(vsctl, switch):
    switch.allow("could not open network device vhost0|vhost-server-path is not followed")
    words = "add-port br0 vhost0 -- set Interface vhost0 type=dpdkvhostuserclient"
    vsctl(*words.split(), "options:vhost-server-path=/tmp/vhost0")  # as there: the status is 0
    error = vsctl("get", "Interface", "vhost0", "error")
    assert "could not open network device vhost0 (Address family not supported" in error
    log = (switch.directory / "pyvs-vswitchd.log").read_text()
    assert "vhost0: interfaces of type dpdkvhostuserclient are not supported" in log


class Guest:
    """A namespace behind a TAP of the host, see tests.qemu_tap."""

    def __init__(self, switch, namespace, device):
        command = (sys.executable, "-u", "-m", "tests.qemu_tap", device, str(namespace.pid), MAC)
        self.process = switch.host.popen(
            *command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ
        )
        assert self.process.stdout.readline() == "ready\n"
        self.longest = (0, 0)  # to and from the guest
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self):
        for line in self.process.stdout:
            self.longest = tuple(map(int, line.split()))


def test_a_guest_of_qemu_with_its_offloads(vsctl, switch):
    """TCP both ways between a guest and a container, in segments that are longer than the MTU."""
    switch.allow("could not open network device vnet9")  # whose TAP goes with QEMU
    machine = switch.container("c2", None)  # a namespace; its own eth0 is not used
    machine.run("ip", "link", "set", "eth0", "name", "unused")
    guest = Guest(switch, machine, "vnet9")
    try:
        switch.host.run("ip", "link", "set", "vnet9", "up")
        vsctl(*plug("vnet9"))
        machine.run("ip", "address", "add", "10.0.0.2/24", "dev", "eth0")
        other = switch.container("c1", "10.0.0.1/24", "br0")
        assert machine.ping("10.0.0.1") == 3
        for receiver, sender, address in (
            (other, machine, "10.0.0.1"),
            (machine, other, "10.0.0.2"),
        ):
            words = (sys.executable, "-m", "demo.transfer", "receive", "5001")
            receiving = receiver.popen(*words, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            wait_until(lambda: ":5001" in receiver.run("ss", "-ltn"), what="the receiver")  # noqa: B023
            words = (sys.executable, "-m", "demo.transfer", "send", address, "5001", "1")
            sent = sender.run(*words, cwd=ROOT).strip().splitlines()[-1]
            assert receiving.communicate(timeout=30)[0].strip() == sent
        assert min(guest.longest) > 1514, guest.longest
    finally:
        guest.process.kill()
        guest.process.wait()
    vsctl("--timeout=5", "--", "--if-exists", "del-port", "vnet9")
