"""A network that is deleted while containers are joined to it, which Docker never asks for."""

import copy

import pytest

from containers.driver import state
from tests.containers.test_driver_requests import REQUESTS
from tests.containers.test_driver_socket import say
from tests.hostile.containers_campaign import CALL, ContainersCampaign

NETWORK = {"NetworkID": "c" * 64}
ENDPOINTS = [{**NETWORK, "EndpointID": letter * 64} for letter in "de"]


@pytest.mark.system
@pytest.mark.parametrize("bridge", ["br0", None], ids=["given", "own"])
def test_nothing_of_it_stays(bridge):
    """Its rows were forgotten, and its ports and their devices stayed for ever."""
    create = copy.deepcopy(REQUESTS["CreateNetwork"])
    create["Options"][state.GENERIC] = {"mode": "l2", **({"bridge": bridge} if bridge else {})}
    with ContainersCampaign() as campaign:
        switch = campaign._switch

        def call(name, **asked):
            status, answer = say(campaign._path, CALL + name, **asked)
            assert status == 200, answer

        def there():
            found = [switch.vsctl("--columns=name", "find", "Interface"), switch.vsctl("list-br")]
            return *found, switch.host.run("ls", "/sys/class/net")

        before = there()
        call("CreateNetwork", **{**create, **NETWORK})
        for endpoint in ENDPOINTS:
            call("CreateEndpoint", **endpoint)
            call("Join", **endpoint)
        assert switch.vsctl("find", "Interface", 'type=""').count("_uuid") == len(ENDPOINTS)
        call("DeleteNetwork", **NETWORK)
        assert there() == before
        switch.allow("No such device")  # vswitchd may see a device go before its port
        assert switch.trouble() == []
