"""What Docker, or somebody else at its socket, asks of the driver: each key with a value of any
type; and rows of the database that somebody else wrote."""

import contextlib
import errno
import json
import queue

import pytest

from containers.database import as_map
from containers.driver import calls, gateway, nat, server, state, watch
from containers.errors import BadRequest, Fault
from tests.containers.test_cni import TYPES, places, with_other
from tests.containers.test_driver_socket import Docker, say

NETWORK, ENDPOINT = {"NetworkID": "n" * 64}, {"NetworkID": "n" * 64, "EndpointID": "e" * 64}
BINDING = {"Proto": 17, "HostIP": "127.0.0.1", "HostPort": 40000, "HostPortEnd": 40009, "Port": 53}
CREATE = {
    **NETWORK,
    "Options": {
        state.GENERIC: {
            "bridge": "br0",
            "vlan": "5",
            "mode": "nat",
            "mtu": "1400",
            "rate": "1gbit",
        },
        state.INTERNAL: False,
    },
    "IPv4Data": [{"Pool": "10.5.0.0/24", "Gateway": "10.5.0.1/24"}],
    "IPv6Data": [{"Pool": "fd05::/64", "Gateway": "fd05::1/64"}],
}
ADDRESSES = {"Address": "10.5.0.2/24", "AddressIPv6": "fd05::2/64", "MacAddress": ""}
# In the order in which Docker says them.
REQUESTS = {
    "CreateNetwork": CREATE,
    "CreateEndpoint": {**ENDPOINT, "Interface": ADDRESSES},
    "Join": {**ENDPOINT, "SandboxKey": "/run/x", "Options": {}},
    "ProgramExternalConnectivity": {**ENDPOINT, "Options": {state.PORT_MAP: [BINDING]}},
    "EndpointOperInfo": ENDPOINT,
    "RevokeExternalConnectivity": ENDPOINT,
    "Leave": ENDPOINT,
    "DeleteEndpoint": ENDPOINT,
    "DeleteNetwork": NETWORK,
}


class Memory:
    """A database whose bridge br0 has external_ids, and nothing else."""

    ids: dict = {}

    def __init__(self, *_remote):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def has_bridge(self, name):
        return name == "br0"

    def add_bridge(self, _name, ids):
        self.ids.update(ids)

    def delete_bridge(self, _name):
        self.ids.clear()

    def add_port(self, *_port):
        pass

    def select(self, table, _where, _columns):
        row = {"name": "br0", "external_ids": as_map(self.ids)}
        return [row] if table == "Bridge" else []

    def change_external_ids(self, _table, _name, add=None, remove=()):
        for key in remove:
            self.ids.pop(key, None)
        self.ids.update(add or {})


class NoHost(contextlib.nullcontext):
    """A host whose devices are whatever is asked for."""

    def __enter__(self):
        return self

    def __getattr__(self, _name):
        return lambda *_words, **_more: True


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """The path of the socket of a driver without switch and host."""
    nothing = lambda *_words, **_more: None  # noqa: E731
    monkeypatch.setattr(server, "Database", Memory)
    monkeypatch.setattr(Memory, "ids", {})
    for module, names in (
        (gateway, ("ensure", "remove", "route_loopback")),
        (nat, ("_run",)),
        (calls, ("make_deaf",)),
        (calls.endpoints, ("detach", "check_taken")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, nothing)
    monkeypatch.setattr(calls, "Rtnetlink", NoHost)
    made = server.Server(str(tmp_path / "pyvs.sock"), None)
    yield made.path
    made.close()


def converse(docker, name, asked):
    """All calls of a life, in one of which is something else; returns (status, its answer)."""
    for each, usual in REQUESTS.items():
        found = docker.say(f"/NetworkDriver.{each}", **(asked if each == name else usual))
        if each == name:
            answer = found
    return answer


@pytest.mark.parametrize("name", REQUESTS)
def test_a_key_of_any_type(driver, name):
    with contextlib.closing(Docker(driver)) as docker:
        assert converse(docker, name, REQUESTS[name])[0] == 200
        assert Memory.ids == {}
        for path in places(REQUESTS[name]):
            for other in TYPES:
                asked = with_other(REQUESTS[name], path, other)
                status, said = converse(docker, name, asked)
                assert status in (200, 400, 500) and "internal error" not in said.get("Err", ""), (
                    asked
                )
                assert "\n" not in said.get("Err", "")
                Memory.ids.clear()


def test_an_endpoint_that_is_deleted_while_it_is_joined(driver, monkeypatch):
    """Its port stayed: who deleted it had looked for one before it was made."""
    detached = []
    monkeypatch.setattr(calls.endpoints, "detach", lambda _database, *names: detached.extend(names))
    with contextlib.closing(Docker(driver)) as docker:
        for each in ("CreateNetwork", "CreateEndpoint"):
            assert docker.say(f"/NetworkDriver.{each}", **REQUESTS[each])[0] == 200

        def add_port(_database, _bridge, port):
            detached.clear()
            for key in [key for key in Memory.ids if ENDPOINT["EndpointID"] in key]:
                del Memory.ids[key]

        monkeypatch.setattr(Memory, "add_port", add_port)
        assert docker.say("/NetworkDriver.Join", **REQUESTS["Join"])[0] == 500
        assert detached == [calls._device(ENDPOINT["EndpointID"])]


def test_an_endpoint_of_a_network_that_is_gone(driver, monkeypatch):
    """Its row stayed for ever, and each look for what Docker has forgotten told of it."""
    keep = state.keep

    def keep_late(database, bridge, item):
        if isinstance(item, state.Endpoint):
            calls.delete_network(database, NETWORK)
        keep(database, bridge, item)

    with contextlib.closing(Docker(driver)) as docker:
        assert docker.say("/NetworkDriver.CreateNetwork", **CREATE)[0] == 200
        monkeypatch.setattr(state, "keep", keep_late)
        asked = REQUESTS["CreateEndpoint"]
        assert docker.say("/NetworkDriver.CreateEndpoint", **asked)[0] == 500
        assert Memory.ids == {}
        monkeypatch.setattr(state, "keep", keep)
        for each in ("CreateNetwork", "CreateEndpoint"):
            assert docker.say(f"/NetworkDriver.{each}", **REQUESTS[each])[0] == 200
        del Memory.ids[state.NETWORK + NETWORK["NetworkID"]]
        assert docker.say("/NetworkDriver.DeleteEndpoint", **ENDPOINT)[0] == 200
        assert Memory.ids == {}


def test_an_endpoint_is_in_one_network(driver, monkeypatch):
    """Another that was deleted took its port with it."""
    detached = []
    monkeypatch.setattr(calls.endpoints, "detach", lambda _database, *names: detached.extend(names))
    other = {"NetworkID": "o" * 64}
    with contextlib.closing(Docker(driver)) as docker:
        for each in ("CreateNetwork", "CreateEndpoint"):
            assert docker.say(f"/NetworkDriver.{each}", **REQUESTS[each])[0] == 200
        assert docker.say("/NetworkDriver.CreateNetwork", **{**CREATE, **other})[0] == 200
        asked = {**REQUESTS["CreateEndpoint"], **other}
        status, said = docker.say("/NetworkDriver.CreateEndpoint", **asked)
        assert status == 500 and "in another network" in said["Err"]
        own = state.ENDPOINT + ENDPOINT["EndpointID"]
        Memory.ids[state.ENDPOINT + "x"] = json.dumps(
            {**json.loads(Memory.ids[own]), "network": other["NetworkID"]}
        )
        assert docker.say("/NetworkDriver.DeleteNetwork", **other)[0] == 200
        assert detached == [] and own in Memory.ids


def test_what_is_wrong_is_said(driver):
    asked = with_other(CREATE, ("IPv4Data", 0, "Pool"), 5)
    said = "IPv4Data[0].Pool: not a string"
    assert say(driver, "/NetworkDriver.CreateNetwork", **asked) == (400, {"Err": said})
    assert say(driver, "/NetworkDriver.Join")[1] == {"Err": "NetworkID: missing"}


RUBBISH = ("", "7", "{", "{}", '{"id": 5}', '{"colour": "red"}', "[" * 100_000, '"\\ud800"')


@pytest.mark.parametrize("text", RUBBISH, ids=range(len(RUBBISH)))
def test_rows_that_somebody_else_wrote(driver, text):
    """What stands beside them goes on."""
    Memory.ids.update({f"{state.NETWORK}x": text, f"{state.ENDPOINT}y": text})
    with contextlib.closing(Docker(driver)) as docker:
        assert docker.say("/NetworkDriver.CreateNetwork", **CREATE)[0] == 200
        assert docker.say("/NetworkDriver.CreateEndpoint", **REQUESTS["CreateEndpoint"])[0] == 200
    with Memory() as database:
        assert [each.id for each in state.networks(database)] == ["n" * 64]
        assert state.endpoint_networks(database) == {"e" * 64: "n" * 64}
        calls.restore_networks(database)


@pytest.mark.parametrize("key", ["Pool", "Gateway"])
def test_a_network_is_checked_before_it_is_kept(key):
    for mode in state.MODES:
        asked = json.loads(json.dumps(CREATE))
        asked["Options"][state.GENERIC]["mode"] = mode
        with pytest.raises(BadRequest, match="does not appear to be"):
            state.network_of(with_other(asked, ("IPv4Data", 0, key), "10.5.0.x"))


def _refuse(monkeypatch):
    def run(_commands):
        raise Fault("nft: no")

    monkeypatch.setattr(nat, "_run", run)


def test_a_network_that_is_asked_for_again_in_vain_stays(driver, monkeypatch):
    """Its bridge and endpoints are in use."""
    deleted = []
    monkeypatch.setattr(Memory, "has_bridge", lambda _self, _name: bool(Memory.ids))
    monkeypatch.setattr(Memory, "delete_bridge", lambda _self, name: deleted.append(name))
    own = json.loads(json.dumps(CREATE))
    del own["Options"][state.GENERIC]["bridge"]
    for asked in (CREATE, own):
        Memory.ids.clear()
        Memory.ids["other"] = "x"
        with Memory() as database:
            monkeypatch.setattr(nat, "_run", lambda _commands: None)
            calls.create_network(database, asked)
            calls.create_endpoint(database, REQUESTS["CreateEndpoint"])
            before = dict(Memory.ids)
            _refuse(monkeypatch)
            with pytest.raises(Fault, match="nft: no"):
                calls.create_network(database, with_other(asked, ("IPv4Data",), []))
            assert (Memory.ids, deleted) == (before, [])


@pytest.mark.parametrize("own", [True, False])
def test_a_network_that_cannot_be_leaves_nothing(driver, monkeypatch, own):
    """Though what is to take it away fails, too; a bridge that was there stays."""
    deleted = []
    monkeypatch.setattr(Memory, "has_bridge", lambda _self, name: not own)
    monkeypatch.setattr(Memory, "delete_bridge", lambda _self, name: deleted.append(name))
    asked = json.loads(json.dumps(CREATE))
    if own:
        del asked["Options"][state.GENERIC]["bridge"]
    _refuse(monkeypatch)
    with Memory() as database, pytest.raises(Fault, match="nft: no"):
        calls.create_network(database, asked)
    assert deleted == ["pb" + "n" * state.ID_CHARACTERS] if own else Memory.ids == {}


def test_the_watch_goes_on(monkeypatch):
    """Also when the kernel's socket fails; what changed meanwhile is looked at."""
    seen, sockets = queue.SimpleQueue(), []

    def downs():
        sockets.append(None)
        yield None
        yield f"pg{len(sockets)}"
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(watch, "downs", downs)
    monkeypatch.setattr(watch, "LATER", 0.01)
    monkeypatch.setattr(watch, "Database", Memory)
    monkeypatch.setattr(calls, "restore_networks", lambda _database, device: seen.put(device))
    watch.start(None)
    assert [seen.get(timeout=10) for _ in range(4)] == [None, "pg1", None, "pg2"]
    monkeypatch.setattr(watch, "LATER", 1e6)


@pytest.mark.parametrize("option", ["vlan", "mtu", "rate"])
@pytest.mark.parametrize("text", ["9" * 5000, "9" * 400 + "gbit", "²"])
def test_numbers_that_are_none(driver, option, text):
    """int() takes no more than 4300 digits, and of some that are digits nothing."""
    asked = with_other(CREATE, ("Options", state.GENERIC, option), text)
    status, said = say(driver, "/NetworkDriver.CreateNetwork", **asked)
    assert status == 400 and option in said["Err"].lower()
