"""Faults in vswitchd's rounds and in what it makes of the configuration: contained and counted,
the others' turns come, and what was not realised is neither claimed nor forgotten."""

import pytest

from pyvs import containment
from tests.vswitchd.test_reconcile import bench  # noqa: F401  (a fixture)
from vswitchd import switch as switch_module
from vswitchd.bridge import Bridge
from vswitchd.database import config, config_reader
from vswitchd.qos import tc


class Injected(Exception):
    pass


def fail(*_args, **_more):
    raise Injected


@pytest.fixture
def faults():
    """How many there have been since the test began."""
    before = containment.FAULTS.count
    return lambda: containment.FAULTS.count - before


@pytest.fixture
def pair(bench, monkeypatch):  # noqa: F811
    """Bridges br0 and br1, each with a port."""
    monkeypatch.setattr(switch_module, "RETRY_FAULT_MS", 100)
    for name in ("p0", "p1"):
        bench.links.add(name)
    for number in "01":
        bench.vsctl("add-br", f"br{number}", "--", "add-port", f"br{number}", f"p{number}")
    return bench


def cfg(bench, which):  # noqa: F811
    return int(bench.vsctl("get", "Open_vSwitch", ".", which, wait=False))


@pytest.mark.parametrize(
    "part",
    ["_connect_datapath", "_follow", "_run_bridge", "_write_status", "idl.run", "links.run",
     "backer.run"],
)  # fmt: skip
def test_in_a_part_of_a_round(pair, monkeypatch, faults, part):
    """The other parts have their turns, and all is well once it is over."""
    owner, name = pair.switch, part
    if "." in part:
        owner, name = getattr(owner, part.split(".")[0]), "run"
    turns = []
    for other in {"_follow", "_write_status"} - {part}:
        real = getattr(pair.switch, other)
        monkeypatch.setattr(
            pair.switch, other, lambda now, real=real, other=other: turns.append(other) or real(now)
        )
    monkeypatch.setattr(owner, name, fail)
    pair.rounds(5)
    assert faults() >= 5 and len(turns) >= 5
    monkeypatch.undo()
    pair.vsctl("set", "port", "p1", "tag=9")
    assert pair.ofproto("br1").bundles["p1"][2] == 9


STEPS = ("remove_unwanted", "add_wanted", "configure", "update_devices", "follow_patches")


@pytest.mark.parametrize("step", STEPS)
def test_with_one_bridges_configuration(pair, monkeypatch, faults, step):
    """The others' is realised; this one's is tried again, and reported when it is there."""
    real = getattr(Bridge, step)

    def broken(bridge, *args):
        if bridge.config.name == "br1":
            raise Injected
        return real(bridge, *args)

    done = cfg(pair, "cur_cfg")
    monkeypatch.setattr(Bridge, step, broken)
    pair.vsctl("set", "port", "p0", "tag=5", "--", "set", "port", "p1", "tag=6", wait=False)
    pair.vsctl("set", "bridge", "br1", "fail_mode=secure", wait=False)
    pair.vsctl("--", "set", "Open_vSwitch", ".", f"next_cfg={done + 5}", wait=False)
    pair.run_until(lambda: faults() >= 3 and pair.ofproto("br0").bundles["p0"][2] == 5)
    pair.rounds(10)
    assert cfg(pair, "cur_cfg") == done
    monkeypatch.setattr(Bridge, step, real)
    pair.run_until(lambda: cfg(pair, "cur_cfg") == done + 5)
    assert pair.ofproto("br1").bundles["p1"][2] == 6
    seen = faults()
    pair.rounds(10)
    assert faults() == seen and not pair.switch._faulty


def test_a_bridge_that_cannot_be_made_at_first(pair, monkeypatch, faults):
    real = pair.switch._make_bridge
    monkeypatch.setattr(pair.switch, "_make_bridge", fail)
    pair.vsctl("add-br", "br2", "--", "set", "port", "p0", "tag=4", wait=False)
    pair.run_until(lambda: faults() and pair.ofproto("br0").bundles["p0"][2] == 4)
    assert "br2" not in pair.switch.bridges
    monkeypatch.setattr(pair.switch, "_make_bridge", real)
    pair.run_until(lambda: "br2" in pair.switch.bridges)
    pair.vsctl("set", "bridge", "br2", "external_ids:a=b")  # which waits for it


def test_with_what_is_not_of_one_bridge(pair, monkeypatch, faults):
    monkeypatch.setattr(pair.switch, "_tune_flows", fail)
    pair.vsctl("set", "port", "p0", "tag=3", wait=False)
    pair.run_until(lambda: faults() >= 2)
    monkeypatch.undo()
    pair.run_until(lambda: pair.ofproto("br0").bundles["p0"][2] == 3)


def told(bench, name):  # noqa: F811
    return bench.vsctl("get", "interface", name, "error", wait=False).strip()


@pytest.mark.parametrize("step", ["_take_interface", "_attach", "_set_bundle", "_set_qos"])
def test_with_one_port(pair, monkeypatch, faults, step):
    """The others of its bridge are configured, its `error` tells it, and it is tried again."""
    pair.links.add("p2")
    real = getattr(Bridge, step)

    def broken(bridge, what, *args):
        if getattr(what, "name", what) == "p2":
            raise Injected
        return real(bridge, what, *args)

    monkeypatch.setattr(Bridge, step, broken)
    new = ("--", "add-port", "br1", "p2", "tag=7", "--", "set", "port", "br1", "tag=8")
    pair.vsctl("set", "port", "p1", "tag=6", *new)  # which waits for cur_cfg
    assert faults()
    bundles = pair.ofproto("br1").bundles
    assert (bundles["p1"][2], bundles["br1"][2]) == (6, 8)
    if step != "_take_interface":  # which would have made it
        pair.run_until(lambda: "internal error" in told(pair, "p2"))
    monkeypatch.setattr(Bridge, step, real)
    pair.run_until(lambda: "p2" in bundles and bundles["p2"][2] == 7 and told(pair, "p2") == "[]")
    seen = faults()
    pair.rounds(10)
    assert faults() == seen and not pair.switch._faulty


@pytest.mark.parametrize(
    "function, table", [("_interface_config", "Interface"), ("port_config", "Port")]
)
def test_with_reading_one_row(pair, monkeypatch, faults, function, table):
    module = config if function == "_interface_config" else config_reader
    real = getattr(module, function)

    def broken(row):
        if row.name == "p1":
            raise Injected
        return real(row)

    monkeypatch.setattr(module, function, broken)
    change = "other_config:a=b" if table == "Interface" else "tag=3"
    pair.vsctl("set", table, "p1", change, "--", "set", "port", "p0", "tag=5")
    assert faults() == 1 and pair.ofproto("br0").bundles["p0"][2] == 5
    pair.run_until(lambda: "internal error" in told(pair, "p1"))
    monkeypatch.undo()
    pair.vsctl("set", "port", "p1", "tag=9")
    pair.run_until(lambda: told(pair, "p1") == "[]")
    assert pair.ofproto("br1").bundles["p1"][2] == 9


def test_with_a_ports_qos(pair, monkeypatch, faults):
    """Reading its row, and making its discipline: the port is one, `error` tells it, what was known
    stays, and the next change is followed."""
    make = ("--", "--id=@q", "create", "qos", "type=linux-sfq", "other_config:perturb=1")
    ran = []

    def replace(device, kind, options, queues):
        if options.get("perturb") == "3":
            raise Injected
        ran.append(options.get("perturb"))
        yield

    monkeypatch.setattr(tc, "replace", replace)
    monkeypatch.setattr(tc, "is_ready", lambda: True)
    real = config._qos
    monkeypatch.setattr(config, "_qos", fail)
    pair.vsctl("set", "port", "p1", "tag=3", "qos=@q", *make)
    assert faults() == 1 and pair.ofproto("br1").bundles["p1"][2] == 3 and not ran
    pair.run_until(lambda: "internal error" in told(pair, "p1"))
    monkeypatch.setattr(config, "_qos", real)
    qos = pair.vsctl("get", "port", "p1", "qos")
    pair.vsctl("set", "qos", qos, "other_config:perturb=2")
    pair.run_until(lambda: ran == ["2"] and told(pair, "p1") == "[]")
    monkeypatch.setattr(config, "_qos", fail)
    pair.vsctl("set", "qos", qos, "other_config:perturb=4", "--", "set", "port", "p1", "tag=4")
    pair.run_until(lambda: "internal error" in told(pair, "p1"))
    assert pair.switch.bridges["br1"].qos.given("p1")[1] == {"perturb": "2"}
    monkeypatch.setattr(config, "_qos", real)
    seen = faults()
    pair.vsctl("set", "qos", qos, "other_config:perturb=3")
    pair.run_until(lambda: faults() == seen + 1 and "internal error" in told(pair, "p1"))
    pair.vsctl("set", "port", "p0", "tag=7")  # which is no reason to try it again
    pair.rounds(10)
    assert faults() == seen + 1 and "internal error" in told(pair, "p1")
    pair.vsctl("set", "qos", qos, "other_config:perturb=5")
    pair.run_until(lambda: ran == ["2", "5"] and told(pair, "p1") == "[]")
    assert faults() == seen + 1 and not pair.switch._faulty


@pytest.mark.parametrize("patience", [switch_module.DISCIPLINES_MS, 0])
def test_with_a_discipline_that_is_late(pair, monkeypatch, patience):
    """Who asked for it waits until the kernel has it, but not for ever."""
    ready, ran = [], []

    def replace(*_args):
        yield
        ran.append("made")

    monkeypatch.setattr(switch_module, "DISCIPLINES_MS", patience)
    monkeypatch.setattr(tc, "replace", replace)
    monkeypatch.setattr(tc, "is_ready", lambda: bool(ready))
    done = cfg(pair, "cur_cfg")
    make = ("--", "--id=@q", "create", "qos", "type=linux-sfq")
    more = ("--", "set", "Open_vSwitch", ".", f"next_cfg={done + 5}")
    pair.vsctl("set", "port", "p1", "tag=3", "qos=@q", *make, *more, wait=False)
    pair.run_until(lambda: pair.ofproto("br1").bundles["p1"][2] == 3)
    pair.rounds(10)
    assert not ran and cfg(pair, "cur_cfg") == (done if patience else done + 5)
    ready.append(True)
    pair.run_until(lambda: cfg(pair, "cur_cfg") == done + 5 and ran)


@pytest.mark.parametrize("function", ["_controller", "_mirror", "bridge_config", "switch_config"])
def test_with_reading_a_row_of_a_bridge(pair, monkeypatch, faults, function):
    """All else that a transaction asks for is done."""
    module = config if function.startswith("_") else config_reader
    real = getattr(module, function)
    monkeypatch.setattr(module, function, fail)
    mirror = ("--id=@m", "create", "mirror", "name=m", "--", "set", "bridge", "br0", "mirrors=@m")
    pair.vsctl(
        *("set-controller", "br1", "tcp:127.0.0.1:1", "--", *mirror),
        *("--", "set", "port", "p0", "tag=5", "--", "add-br", "br2"),
        wait=False,
    )
    pair.run_until(lambda: faults() and pair.ofproto("br0").bundles["p0"][2] == 5)
    monkeypatch.setattr(module, function, real)
    pair.vsctl("set", "bridge", "br1", "fail_mode=secure", "--", "set-fail-mode", "br2", "secure")
    assert pair.switch.bridges["br2"].config.fail_mode == "secure"


@pytest.mark.parametrize("function", ["_set_parts", "_has_usable_name"])
def test_with_the_reading_itself(pair, monkeypatch, faults, function):
    """What it did not see is read with the next change, or, where none comes, a little later, each
    time twice as late; until then nobody is told that it is done."""
    real = getattr(config_reader.Reader, function)
    monkeypatch.setattr(pair.switch, "_reread_pause", 100)
    done = cfg(pair, "cur_cfg")
    monkeypatch.setattr(config_reader.Reader, function, fail)
    pair.vsctl("set", "port", "p0", "tag=5", "--", "add-br", "br2", wait=False)
    pair.vsctl("--", "set", "Open_vSwitch", ".", f"next_cfg={done + 5}", wait=False)
    pair.run_until(faults)
    first = faults()
    pair.rounds(10)  # which take no time
    assert faults() <= first + 1
    pair.run_until(lambda: pair.switch._reread_pause >= 800)
    assert cfg(pair, "cur_cfg") == done
    monkeypatch.setattr(config_reader.Reader, function, real)
    pair.run_until(lambda: cfg(pair, "cur_cfg") == done + 5)
    assert pair.ofproto("br0").bundles["p0"][2] == 5 and "br2" in pair.switch.bridges
    assert pair.switch._reread_pause == switch_module.RETRY_FAULT_MS
    seen = faults()
    monkeypatch.setattr(config_reader.Reader, function, fail)
    pair.vsctl("set", "port", "p0", "tag=6", "--", "add-br", "br3", wait=False)
    pair.run_until(lambda: faults() > seen)
    monkeypatch.setattr(config_reader.Reader, function, real)
    pair.vsctl("set", "port", "p1", "tag=9")
    assert pair.ofproto("br0").bundles["p0"][2] == 6
    assert pair.ofproto("br1").bundles["p1"][2] == 9 and "br3" in pair.switch.bridges
