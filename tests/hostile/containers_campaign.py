"""Docker's network driver: requests that Docker never says, on connections that stall.

Networks are of mode l2 but for a few, whose rules nft has to read.
"""

import contextlib
import copy
import socket

from containers.database import Database
from containers.driver import state
from tests import daemons
from tests.containers.test_driver_requests import REQUESTS
from tests.containers.test_driver_socket import HALVES, peer, say
from tests.hostile.campaign import SwitchCampaign
from tests.hostile.json_values import COUNTS, hostile_value, mutate, text

DRIVER = "pyvs-docker-driver"
CALL = "/NetworkDriver."
GOOD = {"NetworkID": "f" * 64, "EndpointID": "f" * 64}
IDENTITIES = ("a" * 64, "b" * 64, "a", "../x", "é" * 40)
OPTIONS = ("1", "5", "4096", "1400", "99999", "nat", "l2", "flat", "br0", "br9", "1gbit", "x", "",
           "9" * 5000, "²")  # fmt: skip
ADDRESSES = ("10.5.0.0/24", "10.5.0.2/24", "fd05::/64", "0.0.0.0/0", "::/0", "10.5.0.2", "x/24",
             "10.5.0.2/33", "255.255.255.255/32", "127.0.0.1/8", "fd05::1/129")  # fmt: skip
MOST_CONNECTIONS = 200  # above what the driver takes


def _vary(rng, value, key=""):
    """Changes, in place, values that Docker's user chooses."""
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, (dict, list)):
            _vary(rng, inner, name)
        elif name in ("NetworkID", "EndpointID"):
            value[name] = rng.choice(IDENTITIES if rng.random() < 0.2 else IDENTITIES[:1])
        elif rng.random() < 0.15:
            value[name] = rng.choice(OPTIONS if key == state.GENERIC else ADDRESSES)
    return value


def _body(rng, name):
    asked = _vary(rng, copy.deepcopy(REQUESTS[name]))
    options = asked.get("Options", {}).get(state.GENERIC)
    if isinstance(options, dict) and rng.random() < 0.9:
        options["mode"] = "l2"
    if rng.random() < 0.5:
        asked = mutate(rng, asked)
    return text(rng, asked if rng.random() < 0.95 else hostile_value(rng))


def _request(rng, name):
    """Bytes of a request whose frame is mostly right."""
    body = _body(rng, name)
    length = len(body) if rng.random() < 0.9 else rng.choice((0, 1, -1, len(body) + 9, 2**40, "²"))
    head = f"POST {CALL}{name} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
    if rng.random() < 0.1:
        head += "X-Y: z\r\n" * rng.choice(COUNTS)
    return head.encode() + b"\r\n" + body


def _converse(rng, path):
    """Some requests on one connection, and the answers that come."""
    names = rng.choices(list(REQUESTS), k=rng.choice((1, 1, 2, 3)))
    if rng.random() < 0.3:
        names = ["CreateNetwork", "CreateEndpoint", "Join", *names]
    with peer(path) as sock:
        for name in names:
            sock.sendall(_request(rng, name))
        if rng.random() < 0.9:
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1 << 16):
                pass


def _crowd(rng, path):
    """Many at once that say half of a request, or nothing."""
    with contextlib.ExitStack() as peers:
        for _ in range(rng.choice((1, 9, MOST_CONNECTIONS))):
            peers.enter_context(peer(path, rng.choice(HALVES)))


class ContainersCampaign(SwitchCampaign):
    """A switch with the driver, which has a network and an endpoint of the bystander's."""

    name = "containers"

    def __enter__(self):
        self._switch = daemons.Switch()
        try:
            self._switch.start()
            self._switch.vsctl("add-br", "br0")
            directory = self._switch.directory
            self._path, self._remote = f"{directory}/docker.sock", f"unix:{directory}/db.sock"
            options = (f"--socket={self._path}", f"--docker={directory}/none")
            self._switch.start_daemon(DRIVER, *options)
            create = copy.deepcopy(REQUESTS["CreateNetwork"])
            create["Options"][state.GENERIC] = {"bridge": "br0", "mode": "l2"}
            for name, asked in (("CreateNetwork", create), ("CreateEndpoint", {})):
                status, answer = say(self._path, CALL + name, **{**asked, **GOOD})
                assert status == 200, answer
        except BaseException:
            self._switch.close()
            raise
        return self

    def __exit__(self, *exc):
        self._switch.close()

    def pids(self):
        return {**super().pids(), DRIVER: self._switch.pid(DRIVER)}

    def bystander(self):
        def probe():
            assert say(self._path, f"{CALL}EndpointOperInfo", **GOOD)[0] == 200

        return probe

    def tidy(self):
        """Endpoints and networks that were made."""
        with Database(self._remote) as database:
            kept = state.all_endpoints(database), state.networks(database)
        for what, items in zip(("Endpoint", "Network"), kept, strict=True):
            for each in items:
                if each.id not in GOOD.values():
                    assert (
                        say(self._path, f"{CALL}Delete{what}", **{f"{what}ID": each.id})[0] == 200
                    )

    def attack(self, rng):
        if rng.random() < 0.05:
            _crowd(rng, self._path)
        else:
            _converse(rng, self._path)
