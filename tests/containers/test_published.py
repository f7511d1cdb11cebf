"""Ports of the host for published ports: which meet, which are free."""

import errno
import socket

import pytest

from containers.driver import published
from containers.driver.published import ANY, Place, place_of, with_host_ports
from containers.errors import BadRequest, Fault


@pytest.mark.parametrize(
    "one, other, meet",
    [
        (("tcp", "", 53), ("tcp", "", 53), True),
        (("tcp", "", 53), ("udp", "", 53), False),
        (("tcp", "", 53), ("tcp", "", 54), False),
        (("tcp", "", 53), ("tcp", "127.0.0.1", 53), True),
        (("tcp", "0.0.0.0", 53), ("tcp", "127.0.0.1", 53), True),
        (("tcp", "0.0.0.0", 53), ("tcp", "::", 53), False),
        (("tcp", "::", 53), ("tcp", "::1", 53), True),
        (("tcp", "0.0.0.0", 53), ("tcp", "::1", 53), False),
        (("tcp", "127.0.0.1", 53), ("tcp", "127.0.0.2", 53), False),
        (("tcp", "fd00::1", 53), ("tcp", "fd00:0::1", 53), True),
    ],
)
def test_what_meets(one, other, meet):
    assert Place(*one).meets(Place(*other)) == Place(*other).meets(Place(*one)) == meet


def binding(port=80, **changes):
    return {"Port": port, "Proto": 6, "HostIP": "127.0.0.1", **changes}


def host_ports(*bindings, taken=()):
    return [each["HostPort"] for each in with_host_ports(list(bindings), list(taken))]


@pytest.fixture
def occupied():
    """A port that a program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_first_that_is_free(occupied):
    found = host_ports(binding(), binding())
    assert len({*found}) == 2 and all(port in ANY for port in found)
    several = {"HostPort": occupied, "HostPortEnd": occupied + 9}
    first = host_ports(binding(**several))[0]
    assert occupied < first <= occupied + 9
    taken = [Place("tcp", "", first)]
    assert host_ports(binding(**several), taken=taken)[0] not in (occupied, first)
    with pytest.raises(Fault, match="Address already in use"):
        host_ports(binding(HostPort=occupied, HostPortEnd=occupied))
    assert host_ports(binding(HostPort=occupied, Proto=17)) == [occupied]
    with pytest.raises(Fault, match="Cannot assign requested address"):
        host_ports(binding(HostPort=occupied, HostIP="198.51.100.1"))
    with pytest.raises(Fault, match="published already"):
        host_ports(*[binding(HostPort=occupied, Proto=17)] * 2)


def test_thousands_of_ports(monkeypatch):
    """Each place is looked at once, whoever asks; where all are gone is said so."""
    looks = []
    monkeypatch.setattr(published, "_occupied", lambda place: looks.append(place) or 0)
    most = binding(HostPort=20000, HostPortEnd=23999)
    taken = [Place("tcp", "", 20000 + number) for number in range(1000)]
    assert host_ports(*[most] * 3000, taken=taken) == [*range(21000, 24000)]
    assert len(looks) == 3000
    with pytest.raises(Fault, match="no port of 20000 to 23999 is free"):
        host_ports(*[most] * 3001, taken=taken)


def test_a_number_that_is_forbidden_to_this_process(monkeypatch):
    """Whether it is free cannot be told; what cannot be told is no refusal."""

    def bind(_probe, _place):
        raise PermissionError(errno.EACCES, "")

    monkeypatch.setattr(published, "_bind", bind)
    assert host_ports(binding(HostPort=80)) == [80]


@pytest.mark.parametrize(
    "changes",
    [
        {"Port": 0},
        {"Port": 65536},
        {"HostPort": 70000},
        {"HostPort": 9, "HostPortEnd": 8},
        {"HostPort": -1},
        {"HostIP": "x"},
        {"Proto": 1},
    ],
)
def test_what_cannot_be(changes):
    with pytest.raises(BadRequest):
        host_ports(binding(**changes))


def test_kept_bindings_have_a_place():
    assert place_of({"Port": 80, "HostIP": None}, 8080) == Place("tcp", "", 8080)
