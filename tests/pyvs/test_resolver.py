"""Names are looked up beside the loop, and no more of them than there are threads for."""

import select
import socket
import threading

import pytest

from pyvs.streams import resolver
from pyvs.streams.resolver import Lookup


def wait(lookup):
    select.select([lookup.fileno()], [], [], 30)
    return lookup.addresses()


def test_addresses_are_known_at_once():
    for host in ("127.0.0.1", "::1"):
        lookup = Lookup(host, 7)
        assert lookup.fileno() == -1
        [(family, address)] = lookup.addresses()
        assert address[:2] == (host, 7) and family in (socket.AF_INET, socket.AF_INET6)


def test_a_slow_name_server_stops_nobody(monkeypatch):
    answer = threading.Event()
    real = socket.getaddrinfo

    def slow(host, port, **options):
        if options["flags"]:
            return real(host, port, **options)
        answer.wait(30)
        return real("127.0.0.1", port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    lookups = [Lookup("slow.example", 80) for _ in range(resolver.MOST)]
    assert all(each.addresses() is None for each in lookups)
    with pytest.raises(OSError):
        Lookup("slow.example", 80).addresses()
    answer.set()
    for each in lookups:
        assert wait(each) == [(socket.AF_INET, ("127.0.0.1", 80))]
        each.close()


@pytest.mark.parametrize("host", ["", "x" * 300, "a..b", "\0", "nosuch.invalid"])
def test_names_that_are_none(host, monkeypatch):
    real = socket.getaddrinfo

    def offline(host, port, **options):
        if host == "nosuch.invalid" and not options["flags"]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    lookup = Lookup(host, 80)
    with pytest.raises(OSError):
        if lookup.fileno() >= 0:
            wait(lookup)
        lookup.addresses()
    lookup.close()


def test_a_lookup_always_ends(monkeypatch):
    def resolve(_host, _port, flags):
        raise OSError("not an address") if flags else MemoryError

    monkeypatch.setattr(resolver, "_resolve", resolve)
    lookup = Lookup("name.example", 80)
    with pytest.raises(OSError):
        wait(lookup)
    lookup.close()
