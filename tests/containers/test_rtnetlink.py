"""Answers of the kernel's rtnetlink that are not the usual ones."""

import errno
import struct

import pytest

from containers import rtnetlink as nl


class Kernel:
    """A socket whose answers are given: lists of (type, flags, body)."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    def send(self, data):
        self.sequence = nl._HEADER.unpack_from(data)[3]
        self.asked += 1

    def recv(self, _size):
        found = b""
        for kind, flags, body in self.answers.pop(0) if self.answers else [CHANGED, DONE]:
            size = nl._HEADER.size + len(body)
            found += nl._HEADER.pack(size, kind, flags, self.sequence, 0) + body + bytes(-size % 4)
        return found


def link(name):
    body = nl._IFINFO.pack(0, 0, 1, 0, 0) + nl._text(nl.IFLA_IFNAME, name)
    return nl.RTM_NEWLINK, 2, body + nl._number(nl.IFLA_GROUP, 7)


DONE = nl.NLMSG_DONE, 2, struct.pack("=i", 0)
CHANGED = nl.RTM_NEWLINK, nl.NLM_F_DUMP_INTR, link("x")[2]


@pytest.fixture
def host():
    with nl.Rtnetlink() as made:
        yield made


def asked(host, *answers):
    host._sock.close()
    host._sock = Kernel(*answers)
    host._sock.close = lambda: None
    return host.group(7)


def test_a_dump_in_whose_midst_something_changed(host):
    """It lacks devices that were there all the time."""
    assert asked(host, [link("a"), CHANGED, DONE], [link("a"), link("b"), DONE]) == dict.fromkeys(
        "ab", ""
    )
    assert asked(host, [link("a"), (nl.NLMSG_DONE, 0x12, DONE[2])], [link("b"), DONE]) == {"b": ""}
    with pytest.raises(OSError) as caught:
        asked(host)
    assert caught.value.errno == errno.EBUSY and host._sock.asked == nl.DUMPS


@pytest.mark.parametrize("kind", [nl.NLMSG_ERROR, nl.NLMSG_DONE])
def test_a_dump_that_is_refused(host, kind):
    """An empty list would say that there is nothing."""
    with pytest.raises(OSError) as caught:
        asked(host, [link("a"), (kind, 0, struct.pack("=i", -errno.ENOBUFS))])
    assert (caught.value.errno, caught.value.filename) == (errno.ENOBUFS, "devices")


def test_real_dumps(host):
    assert "lo" in host.group(0)
    assert "127.0.0.1/8" in host.addresses(host.link("lo"))
