"""What the driver keeps in the database, where others can write, too."""

import json

import pytest

from containers.driver import calls, state

NETWORK = state.Network("n1", "br0", "flat", subnets=["10.0.0.0/24"], gateways=["10.0.0.1/24"])
BINDING = {"Port": 80, "HostPort": 8080, "HostPortEnd": 8080, "HostIP": "", "Proto": 6}
ENDPOINT = state.Endpoint("e1", "n1", ["10.0.0.2/24"], "02:42:0a:00:00:02", port_map=[BINDING])


class Rows:
    """A database with one bridge."""

    def __init__(self, ids):
        self._ids = ["map", [list(pair) for pair in ids.items()]]

    def select(self, table, _where, _columns):
        return [{"name": "br0", "external_ids": self._ids}] if table == "Bridge" else []


@pytest.mark.parametrize(
    ("item", "wrong"),
    [
        (NETWORK, {"id": 5, "mode": "nat"}),
        (NETWORK, {"subnets": "x"}),
        (NETWORK, {"subnets": ["x"]}),
        (NETWORK, {"gateways": [1]}),
        (NETWORK, {"vlan": "a"}),
        (ENDPOINT, {"addresses": ["x"]}),
        (ENDPOINT, {"addresses": None}),
        (ENDPOINT, {"port_map": [{"Port": 80}]}),
        (ENDPOINT, {"port_map": ["x"]}),
        (ENDPOINT, {"port_map": [{**BINDING, "HostIP": "x"}]}),
        (ENDPOINT, {"network": ["n1"]}),
    ],
)
def test_a_wrong_row_is_nobody_elses(item, wrong):
    """It kept the driver from starting, and others' ports from being published."""
    ids = {**state.as_ids(NETWORK), **state.as_ids(ENDPOINT)}
    ((key, text),) = state.as_ids(item).items()
    ids[f"{key}x"] = json.dumps({**json.loads(text), **wrong})
    ids[f"{key}y"] = "[" * 100_000
    database = Rows(ids)
    calls.restore_networks(database)
    assert state.networks(database) == [NETWORK] and state.all_endpoints(database) == [ENDPOINT]
    assert [place.port for place in calls._published(database, "another")] == [8080]
