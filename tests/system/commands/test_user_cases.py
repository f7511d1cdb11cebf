"""What users of such switches reported, typed as they typed it."""

import json

import pytest

from tests.daemons import DATAPATH, VSWITCHD, CommandFailed, Namespace, wait_until

pytestmark = pytest.mark.system


def ofports(switch):
    """Interface name -> ofport."""
    table = json.loads(switch.vsctl("-f", "json", "--columns=name,ofport", "list", "Interface"))
    return dict(table["data"])


def internal(switch, bridge, *names):
    for name in names:
        switch.vsctl("add-port", bridge, name, "--", "set", "interface", name, "type=internal")


def link(namespace, name):
    """What `ip` tells of a device; None when there is none."""
    text = namespace.run("ip", "-json", "link", "show", "dev", name, check=False)
    return json.loads(text)[0] if text.strip() else None


def mtu(switch, name):
    found = link(switch.host, name)
    return found and found["mtu"]


@pytest.fixture
def namespace(switch):
    """A container without a veth."""
    made = Namespace(switch.host)
    yield made
    made.close()


def test_an_internal_port_is_moved_to_a_container(switch, namespace):
    host = switch.host
    switch.vsctl("add-br", "br0")
    internal(switch, "br0", "p1", "p2")
    host.run("ip", "link", "set", "p2", "up")
    host.run("ip", "addr", "add", "10.0.0.2/24", "dev", "p2")
    number = ofports(switch)["p1"]

    def arrive(where, name):
        where.run("ip", "link", "set", name, "up")
        where.run("ip", "addr", "add", "10.0.0.1/24", "dev", name)

    def ifindex(value):
        return lambda: switch.get("interface", "p1", "ifindex") == str(value)

    def works(at=number):
        assert ofports(switch)["p1"] == at
        assert switch.get("interface", "p1", "error") == "[]"
        assert namespace.ping("10.0.0.2", interval=0.05) == 3

    host.run("ip", "link", "set", "p1", "netns", str(namespace.pid))
    arrive(namespace, "p1")
    wait_until(ifindex(0), what="the port's departure")
    works()
    # Neither a reconfiguration nor another vswitchd takes it back, nor its name on the host, nor
    # somebody who asks for its number.
    internal(switch, "br0", "p3")
    works()
    switch.vsctl("set", "interface", "p3", f"ofport_request={number}")
    assert ofports(switch)["p3"] == number
    works(at=4)
    switch.vsctl("clear", "interface", "p3", "ofport_request")
    switch.vsctl("set", "interface", "p1", f"ofport_request={number}")
    works()
    switch.restart(VSWITCHD)
    works()
    host.run("ip", "link", "add", "p1", "type", "veth", "peer", "name", "p1x")
    namespace.run("ip", "link", "set", "p1", "down")
    namespace.run("ip", "link", "set", "p1", "name", "eth0", "up")
    arrive(namespace, "eth0") if not namespace.run("ip", "-4", "addr", "show", "eth0") else None
    works()
    host.run("ip", "link", "del", "p1")
    # It comes back under the other name, and is followed.
    namespace.run("ip", "link", "set", "eth0", "netns", str(host.pid))
    wait_until(lambda: not ifindex(0)(), what="the port's return")
    host.run("ip", "link", "set", "eth0", "mtu", "1400", "up")
    wait_until(lambda: switch.get("interface", "p1", "mtu") == "1400", what="the MTU")
    assert ofports(switch)["p1"] == number and link(host, "p1") is None
    host.run("ip", "link", "set", "eth0", "down")
    host.run("ip", "link", "set", "eth0", "name", "p1")
    before = link(host, "p1")["ifindex"]
    assert switch.get("interface", "p1", "ifindex") == str(before)
    # Its namespace ends, and the device with it: there is a new one on the host.
    host.run("ip", "link", "set", "p1", "netns", str(namespace.pid))
    wait_until(ifindex(0), what="the port's departure")
    namespace.close()
    wait_until(lambda: link(host, "p1"), what="a new device")
    found = link(host, "p1")["ifindex"]
    assert found != before
    wait_until(ifindex(found), what="the new device's ifindex")
    assert ofports(switch)["p1"] == number


def test_the_datapath_dies_while_an_internal_port_is_away(switch, namespace):
    switch.allow("lost the datapath process")
    switch.vsctl("add-br", "br0")
    internal(switch, "br0", "p1")
    number = ofports(switch)["p1"]
    switch.host.run("ip", "link", "set", "p1", "netns", str(namespace.pid))
    wait_until(lambda: switch.get("interface", "p1", "ifindex") == "0", what="the departure")
    died = switch.pid(DATAPATH)
    switch.kill(DATAPATH)
    wait_until(lambda: switch.pid(DATAPATH) not in (None, died), what="another datapath process")
    assert link(switch.host, "p1") is None and link(namespace, "p1")
    assert ofports(switch)["p1"] == number
    for where, name, address in ((switch.host, "br0", "10.0.0.1"), (namespace, "p1", "10.0.0.2")):
        where.run("ip", "addr", "add", f"{address}/24", "dev", name)
        where.run("ip", "link", "set", name, "up")
    ping = ("ping", "-c1", "-W1", "10.0.0.1")
    wait_until(lambda: "1 received" in namespace.run(*ping, check=False), what="a ping through it")


def test_who_asks_for_a_port_number_gets_it(switch):
    """Steps and results are those of Open vSwitch, where it is of one mind with itself."""
    switch.vsctl("add-br", "br0")
    internal(switch, "br0", "p1", "p2", "p3")
    assert ofports(switch) == {"br0": 65534, "p1": 1, "p2": 2, "p3": 3}

    def steps(words, **expected):
        switch.vsctl(*words.split())
        found = ofports(switch)
        assert {name: found[name] for name in expected} == expected, words
        assert len(set(found.values())) == len(found)

    steps("set interface p3 ofport_request=1", p1=4, p2=2, p3=1)
    steps("set interface p2 ofport_request=1", p1=4, p2=2, p3=1)
    add = "add-port br0 {0} -- set interface {0} type=internal ofport_request={1}"
    steps(add.format("p4", 1), p1=4, p2=2, p3=1)
    steps("del-port p3", p1=4, p2=1)
    steps("set interface p2 ofport_request=7", p1=4, p2=7, p4=1)
    steps(add.format("p5", 7), p2=7, p4=1)
    swap = "set interface p5 ofport_request=1 -- set interface p4 ofport_request=7"
    steps(f"{swap} -- clear interface p2 ofport_request", p5=1, p4=7)
    steps("clear interface p5 ofport_request", p5=1, p4=7)
    steps("set interface br0 ofport_request=5", br0=65534, p4=7)
    before = ofports(switch)
    steps(add.format("p6", 4), p6=4, p5=1, p4=7)
    assert ofports(switch)["p1"] not in before.values()
    # A device that is not there moves nobody; when it is, it is a new port.
    switch.allow("could not open network device v1")
    before = ofports(switch)["p1"]
    switch.vsctl(
        "add-port", "br0", "v1", "--", "set", "interface", "v1", f"ofport_request={before}"
    )
    assert ofports(switch)["p1"] == before and ofports(switch)["v1"] == -1
    switch.host.run("ip", "link", "add", "v1", "type", "veth", "peer", "name", "v1x")
    wait_until(lambda: ofports(switch)["v1"] == before, what="the port that asked")
    numbers = ofports(switch)
    assert numbers["p1"] not in (-1, before)
    switch.restart(VSWITCHD)
    assert ofports(switch) == numbers


def test_what_cannot_be_opened_uses_up_no_number(switch):
    switch.allow("network device")
    host = switch.host
    host.run("ip", "link", "add", "taken", "type", "veth", "peer", "name", "v1")
    switch.vsctl("add-br", "br0")
    internal(switch, "br0", "taken")
    for name in ("p1", "p2", "p3"):
        internal(switch, "br0", name)
        switch.vsctl("set", "bridge", "br0", "other_config:mac-aging-time=30")
    expected = {"br0": 65534, "p1": 1, "p2": 2, "p3": 3}
    assert ofports(switch) == {**expected, "taken": -1}
    host.run("ip", "link", "del", "taken")
    switch.vsctl("set", "bridge", "br0", "other_config:mac-aging-time=40")
    assert ofports(switch) == {**expected, "taken": 4}


def test_a_bridges_mtu(switch):
    host = switch.host
    for name in ("v1", "v2"):
        host.run(
            "ip", "link", "add", name, "mtu", "9000", "type", "veth", "peer", "name", f"{name}x"
        )
    switch.vsctl("add-br", "br0", "--", "add-port", "br0", "v1", "--", "add-port", "br0", "v2")
    internal(switch, "br0", "p1")

    def becomes(**expected):
        for name, value in expected.items():
            wait_until(lambda n=name, v=value: mtu(switch, n) == v, what=f"{name}'s MTU {value}")

    becomes(br0=9000, p1=9000)
    host.run("ip", "link", "set", "v1", "mtu", "1400")
    becomes(br0=1400, p1=1400)
    host.run("ip", "link", "set", "v1", "mtu", "2000")
    becomes(br0=2000, p1=2000)
    # What a person sets is kept as long as it is small enough.
    host.run("ip", "link", "set", "br0", "mtu", "1700")
    becomes(p1=2000)
    host.run("ip", "link", "set", "v1", "mtu", "1400")
    becomes(br0=1400, p1=1400)
    switch.vsctl("del-port", "v1")
    becomes(br0=1700, p1=9000)
    switch.restart(VSWITCHD)
    switch.vsctl("set", "bridge", "br0", "other_config:mac-aging-time=30")
    assert (mtu(switch, "br0"), mtu(switch, "p1")) == (1700, 9000)
    host.run("ip", "link", "set", "br0", "mtu", "9000")  # as the others: it follows again
    switch.vsctl("set", "interface", "p1", "mtu_request=1300")  # counts as the others' do
    becomes(p1=1300, br0=1300)
    switch.vsctl("clear", "interface", "p1", "mtu_request")
    becomes(p1=9000, br0=9000)
    switch.vsctl("del-port", "v2")
    becomes(br0=1500, p1=1500)


WRONG = [
    ("lo", "", "could not add network device lo to ofproto (Invalid argument)"),
    ("tun7", "", "could not add network device tun7 to ofproto (Invalid argument)"),
    ("nosuch", "", "could not open network device nosuch (No such device)"),
    ("nosuch", "type=system", "could not open network device nosuch (No such device)"),
    ("x1", "type=foo",
     "could not open network device x1 (Address family not supported by protocol)"),
    ("x3", "type=patch", "x3: patch type requires valid 'peer' argument"),
    ('x3', 'type=patch options:peer=""', "x3: patch type requires valid 'peer' argument"),
    ("x4", "type=patch options:peer=x4", "x4: patch peer must not be self"),
    ("x4", "type=patch options:peer=x4 options:key=5",
     "x4: patch type takes only a 'peer' argument"),
    ("a/b", "type=internal", "could not open network device a/b (Invalid argument)"),
    ("..", "type=internal", "could not open network device .. (Invalid argument)"),
    ("default", "type=internal", "could not open network device default (Invalid argument)"),
    ("v1", "type=internal", "could not open network device v1 (Invalid argument)"),
]  # fmt: skip


def test_the_error_column_tells_what_is_wrong(switch):
    switch.allow("network device|patch")
    host = switch.host
    host.run("ip", "link", "add", "v1", "type", "veth", "peer", "name", "v1x")
    host.run("ip", "tuntap", "add", "tun7", "mode", "tun", check=False)
    switch.vsctl("add-br", "br0")
    for name, settings, expected in WRONG:
        if name == "tun7" and link(host, name) is None:
            continue  # TUNs cannot be had here
        words = ["--", "set", "interface", name, *settings.split()] if settings else []
        switch.vsctl("add-port", "br0", name, *words)
        assert switch.get("interface", name, "ofport") == "-1", name
        assert switch.get("interface", name, "error") == expected
        switch.vsctl("del-port", name)
    # Only a bad name was wrong: the same device works under its own.
    switch.vsctl("add-port", "br0", "v1")
    assert switch.get("interface", "v1", "error") == "[]"
    # A patch port waits for its peer, whichever bridge that will be of.
    patch = "add-port {0} {1} -- set interface {1} type=patch options:peer={2}"
    switch.vsctl("add-br", "br1")
    switch.vsctl(*patch.format("br0", "pa", "pb").split())

    def error(name):
        return switch.get("interface", name, "error")

    alone = "No usable peer '{}' exists in 'system' datapath."
    assert error("pa") == alone.format("pb") and ofports(switch)["pa"] > 0
    switch.vsctl(*patch.format("br1", "pb", "other").split())
    assert error("pa") == alone.format("pb") and error("pb") == alone.format("other")
    switch.vsctl("set", "interface", "pb", "options:peer=pa")
    assert error("pa") == error("pb") == "[]"
    switch.vsctl("del-br", "br1")
    wait_until(lambda: error("pa") == alone.format("pb"), what="the peer's end")


def test_protected_ports(switch):
    """Nothing passes between them, by flood, by a learned address or by OpenFlow."""
    switch.vsctl("add-br", "br0")
    one, two, three = (switch.container(f"c{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2, 3))

    def reached():
        answers = one.ping("10.0.0.2", 1), one.ping("10.0.0.3", 1), three.ping("10.0.0.2", 1)
        return tuple(map(bool, answers))

    assert reached() == (True, True, True)
    switch.vsctl("set", "port", "c1", "protected=true", "--", "set", "port", "c2", "protected=true")
    assert reached() == (False, True, True)
    switch.ofctl("add-flow", "br0", "priority=9,in_port=1,actions=2,3")
    assert reached() == (False, True, True)
    switch.restart(VSWITCHD)
    assert reached() == (False, True, True)
    switch.vsctl("set", "port", "c2", "protected=false")
    assert reached() == (True, True, True)
    del two


BOND = """\
---- bond0 ----
bond_mode: active-backup
bond may use recirculation: no, Recirc-ID : -1
bond-hash-basis: 0
lb_output action: disabled, bond-id: -1
updelay: 0 ms
downdelay: 0 ms
lacp_status: off
lacp_fallback_ab: false
active-backup primary: <none>
active member mac: {mac}(e1)

member e1: enabled
  active member
  may_enable: true

member e2: enabled
  may_enable: true

"""


def test_bond_commands(switch):
    host = switch.host
    for name in ("e1", "e2"):
        host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}x")
        host.run("ip", "link", "set", name, "up")
        host.run("ip", "link", "set", f"{name}x", "up")
    macs = {name: link(host, name)["address"] for name in ("e1", "e2")}
    switch.vsctl("add-br", "br0")
    switch.vsctl("add-bond", "br0", "bond0", "e1", "e2", "bond_mode=active-backup")

    def active(name):
        shown = f"active member mac: {macs[name]}({name})\n" in switch.appctl("bond/show")
        return shown and switch.get("port", "bond0", "bond_active_slave") == macs[name]

    def becomes(name):
        wait_until(lambda: active(name), what=f"{name} as the active member")

    def refused(*words):
        with pytest.raises(CommandFailed) as error:
            switch.appctl(*words)
        return str(error.value).splitlines()[1]

    assert switch.appctl("bond/show") == switch.appctl("bond/show", "bond0")
    assert switch.appctl("bond/show") == BOND.format(mac=macs["e1"])
    header = "bond\ttype\trecircID\tmembers\n"
    assert switch.appctl("bond/list") == f"{header}bond0\tactive-backup\t0\te1, e2\n"
    becomes("e1")
    assert switch.appctl("bond/set-active-member", "bond0", "e1") == "no change\n"
    assert switch.appctl("bond/set-active-slave", "bond0", "e2") == "done\n"
    becomes("e2")
    switch.restart(VSWITCHD)
    becomes("e2")
    host.run("ip", "link", "set", "e2", "down")
    becomes("e1")
    assert refused("bond/set-active-member", "bond0", "e2") == "cannot make disabled member active"
    host.run("ip", "link", "set", "e2", "up")
    wait_until(lambda: "e2: enabled" in switch.appctl("bond/show"), what="the link")
    assert active("e1")
    switch.vsctl("set", "port", "bond0", "other_config:bond-primary=e2")
    becomes("e2")
    host.run("ip", "link", "set", "e2", "down")
    becomes("e1")
    host.run("ip", "link", "set", "e2", "up")
    becomes("e2")
    assert switch.appctl("bond/disable-member", "bond0", "e2") == "disabled\n"
    becomes("e1")
    assert switch.appctl("bond/enable-slave", "bond0", "e2") == "enabled\n"
    becomes("e2")
    switch.vsctl("set", "port", "bond0", "other_config:bond-primary=nosuch")
    assert "active-backup primary: nosuch (no such member)\n" in switch.appctl("bond/show")
    # A delay counts, unless it would leave the bond without a member.
    switch.vsctl("set", "port", "bond0", "bond_updelay=600000")
    host.run("ip", "link", "set", "e1", "down")
    wait_until(lambda: "e1: disabled" in switch.appctl("bond/show"), what="the link's end")
    host.run("ip", "link", "set", "e1", "up")
    wait_until(lambda: "updelay expires in" in switch.appctl("bond/show"), what="the delay")
    assert active("e2")
    host.run("ip", "link", "set", "e2", "down")
    becomes("e1")
    # Wrong and missing names.
    assert refused("bond/show", "br0") == refused("bond/set-active-member", "x", "e1")
    assert refused("bond/set-active-member", "x", "e1") == "no such bond"
    assert refused("bond/set-active-member", "bond0", "e9") == "no such member"
    assert refused("bond/disable-slave", "bond0", "bond0") == "no such member"
    assert refused("bond/hash", "x") == "invalid mac"
    # As Open vSwitch has it.
    mac = "02:00:00:00:00:01"
    for words, expected in (((mac,), 38), ((mac, "5"), 37), ((mac, "5", "7"), 18)):
        assert switch.appctl("bond/hash", *words) == f"{expected}\n"
    switch.vsctl("del-port", "bond0")
    assert switch.appctl("bond/list") == header and switch.appctl("bond/show") == ""


def test_names_longer_than_a_device_may_have(switch, namespace):
    """The device has what fits of the name; of two with the same beginning the first one has it."""
    host = switch.host
    long, same = "br-abcdefghijklmnop", "br-abcdefghijklZZ"
    device = long[:15]

    def told(name, column):
        return switch.get("interface", name, column)

    switch.vsctl("add-br", long)
    internal(switch, long, "port-of-a-container")
    assert ofports(switch) == {long: 65534, "port-of-a-container": 1}
    shown = switch.ofctl("dump-ports-desc", long)
    assert f"LOCAL({device})" in shown and "1(port-of-a-conta)" in shown
    assert f"{long} 65534/1: (tap)" in switch.appctl("dpif/show")
    switch.allow("Device or resource busy")
    switch.vsctl("add-br", same)
    assert "(Device or resource busy)" in told(same, "error")
    host.run("ip", "link", "set", "port-of-a-conta", "netns", str(namespace.pid))
    for where, name, number in ((namespace, "port-of-a-conta", 1), (host, device, 2)):
        where.run("ip", "link", "set", name, "up")
        where.run("ip", "addr", "add", f"10.0.0.{number}/24", "dev", name)
    wait_until(lambda: told(long, "admin_state") == "up", what="the device that is up")
    assert namespace.ping("10.0.0.2", interval=0.05) == 3
    switch.restart(VSWITCHD)
    assert namespace.ping("10.0.0.2", interval=0.05) == 3
    host.run("ip", "link", "set", device, "mtu", "1400")
    wait_until(lambda: told(long, "mtu") == "1400", what="the device's MTU")
    host.run("ip", "link", "set", device, "down")
    wait_until(lambda: told(long, "admin_state") == "down", what="the device that is down")
    switch.vsctl("del-br", long)
    wait_until(lambda: ofports(switch) == {same: 65534}, what="the other one's device")
    switch.vsctl("del-br", same)
    assert link(host, device) is None
