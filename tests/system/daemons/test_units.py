"""systemd's units, and what is kept over a reboot."""

import configparser
import os
import shutil
import subprocess

import pytest

from pyvs_tools.units import texts
from tests.daemons import DAEMONS, DATAPATH, OVSDB_SERVER, VSWITCHD, CommandFailed, wait_until
from tests.system.daemons.test_ctl import ctl, pids, processes  # noqa: F401 (ctl is a fixture)

pytestmark = pytest.mark.system

BESIDE = ("pyvs-docker-driver", "pyvs-exporter")


def read_units(directory):
    """File name -> its sections."""
    found = {}
    for path in directory.iterdir():
        found[path.name] = unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str
        unit.read(path)
    return found


def confined(service, command):
    """The words that run a command of a unit with the capabilities that it leaves."""
    bits = [name.removeprefix("CAP_").lower() for name in service["CapabilityBoundingSet"].split()]
    allowed = ",".join(f"+{bit}" for bit in bits)
    return ["setpriv", "--no-new-privs", f"--bounding-set=-all,{allowed}", *command.split()]


def test_the_switch_runs_with_what_its_units_allow(ctl):  # noqa: F811
    switch = ctl.switch
    directory = switch.directory / "units"
    directory.mkdir()
    told = ctl(f"--units-dir={directory}", "--keep-state", "install-units")
    assert "systemctl enable --now pyvs pyvs-state" in told
    units = read_units(directory)
    assert units.keys() == {f"{name}.service" for name in (*DAEMONS, "pyvs", "pyvs-state", *BESIDE)}
    if shutil.which("systemd-analyze"):
        checked = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *map(str, directory.iterdir())],
            capture_output=True, text=True,
        )  # fmt: skip
        own = [line for line in checked.stderr.splitlines() if str(directory) in line]
        assert not own, checked.stderr
    default = texts(None)["pyvs-ovsdb-server.service"]
    assert "ConfigurationDirectory=pyvs\n" in default and "ReadWritePaths=-/run/pyvs " in default
    assert units["pyvs-vswitchd.service"]["Unit"]["Requires"] == "pyvs-ovsdb-server.service"
    for name in (OVSDB_SERVER, DATAPATH, VSWITCHD):
        service = units[f"{name}.service"]["Service"]
        switch.host.run(*confined(service, service["ExecStart"]), env=switch.environment)
        assert service["PIDFile"] == str(switch.directory.resolve() / f"{name}.pid")
        assert pids(ctl("status", check=False)).keys() >= {name}
        assert len(processes(switch, name)) == 1  # no monitor: systemd is the one
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    assert one.ping("10.0.0.2") == 3
    for name in (VSWITCHD, DATAPATH, OVSDB_SERVER):
        service = units[f"{name}.service"]["Service"]
        switch.host.run(*confined(service, service["ExecStop"]), env=switch.environment)
        assert not processes(switch, name)


def test_units_under_the_other_names_and_refusals(ctl, tmp_path):  # noqa: F811
    ctl("ovs-names", str(tmp_path))
    units = tmp_path / "units"
    with pytest.raises(CommandFailed, match="is not a directory"):
        ctl(f"--units-dir={units}", "install-units")
    units.mkdir()
    environment = {**os.environ, "OVS_RUNDIR": "/run/x"}
    run = ctl.switch.host.run
    run(str(tmp_path / "ovs-ctl"), f"--units-dir={units}", "install-units", env=environment)
    names = {"openvswitch-switch", "ovsdb-server", "ovs-vswitchd", "pyvs-datapath", *BESIDE}
    assert {path.name for path in units.iterdir()} == {f"{name}.service" for name in names}
    text = (units / "ovs-vswitchd.service").read_text()
    assert f"ExecStart={tmp_path}/ovs-ctl --rundir=/run/x " in text
    (units / "ovsdb-server.service.new").mkdir()
    with pytest.raises(CommandFailed, match=r"cannot write .*: Is a directory"):
        run(str(tmp_path / "ovs-ctl"), f"--units-dir={units}", "install-units", env=environment)
    with pytest.raises(CommandFailed, match="a unit cannot name"):
        ctl("--logdir=/tmp/a b", f"--units-dir={units}", "install-units")
    with pytest.raises(CommandFailed, match="a unit cannot name"):
        ctl("--state-dir=/x/100%", "--keep-state", f"--units-dir={units}", "install-units")


FLOWS = ("cookie=5,priority=7,tcp,actions=meter:1,group:1", "table=1,arp,actions=NORMAL")
ROUTES = (
    "10.8.0.0/16 via 10.9.0.2 dev in0 metric 7",
    "10.7.0.0/16 via 10.6.6.6 dev in0 onlink",
    "default via 10.5.0.1 dev in0",
    "10.5.0.1 dev in0 scope link",
)


def test_flows_and_addresses_come_back(ctl, tmp_path):  # noqa: F811
    switch = ctl.switch
    saved = tmp_path / "saved"
    assert "nothing was saved" in ctl("restore", str(saved))
    ctl("start")
    switch.vsctl("add-br", "br0", "--", "add-port", "br0", "in0",
                 "--", "set", "interface", "in0", "type=internal")  # fmt: skip
    # One of an old version, and one that vswitchd does not make: they keep nobody from it.
    switch.vsctl("add-br", "old", "--", "set", "bridge", "old", "protocols=OpenFlow10")
    switch.vsctl("--no-wait", "add-br", "no/such")
    switch.allow("ignoring bridge with invalid name")
    new = ("-OOpenFlow15",)
    meter = "meter=1,kbps,burst,bands=type=drop,rate=100,burst_size=9"
    switch.ofctl(*new, "add-meter", "br0", meter)
    switch.ofctl(*new, "add-group", "br0", "group_id=1,type=all,bucket=output:1,bucket=output:2")
    switch.ofctl("add-tlv-map", "br0", "{class=0xffff,type=3,len=4}->tun_metadata2")
    for flow in FLOWS:
        switch.ofctl(*new, "add-flow", "br0", flow)
    switch.ofctl("add-flow", "old", "priority=4,arp,actions=drop")
    ip = lambda *words: switch.host.run("ip", *words)  # noqa: E731
    ip("address", "add", "10.9.0.1/24", "brd", "10.9.0.255", "dev", "in0")
    ip("-6", "address", "add", "fd00::1/64", "dev", "in0", "nodad")
    ip("link", "set", "in0", "up")
    for route in reversed(ROUTES):
        ip("route", "add", *route.split())
    ip("-6", "route", "add", "default", "dev", "in0")

    def state():
        dumps = ("dump-flows --no-stats", "dump-groups", "dump-meters", "dump-tlv-map")
        flows = [
            sorted(switch.ofctl(*new, *words.split(), "br0").splitlines()[1:]) for words in dumps
        ]
        flows.append("priority=4,arp" in switch.ofctl("dump-flows", "old"))
        shown = ip("address", "show", "dev", "in0")
        network = ["10.9.0.1/24 brd 10.9.0.255" in shown, "fd00::1/64" in shown]
        return flows, network, ip("route", "show"), ip("-6", "route", "show", "default")

    before = state()
    assert all(before[1]) and before[2].count("in0") == 5 and "default" in before[3]
    ctl("save", str(saved))
    (saved / "thesis").write_text("mine")
    ctl("stop")
    ctl("start")
    wait_until(lambda: "in0" in ip("link", "show"), what="the internal port")
    assert state() != before
    ctl("restore", str(saved))
    assert state() == before
    switch.ofctl("add-flow", "br0", "priority=99,actions=drop")
    ctl("restore", str(saved))  # once more: nothing is there twice, nothing strange stays
    assert state() == before
    # What cannot be restored is told, and the rest is there.
    text = (saved / "state.json").read_text()
    (saved / "state.json").write_text(text.replace("10.9.0.1/24", "10.9.0.300/24", 1))
    with pytest.raises(CommandFailed, match=r"10\.9\.0\.300"):
        ctl("restore", str(saved))
    (saved / "state.json").write_text(text[:-9])
    with pytest.raises(CommandFailed, match="is damaged"):
        ctl("restore", str(saved))
    with pytest.raises(CommandFailed, match="is damaged"):
        ctl("save", str(saved))  # it says so, and writes a whole one
    ctl("restore", str(saved))
    assert state() == before and (saved / "thesis").read_text() == "mine"
