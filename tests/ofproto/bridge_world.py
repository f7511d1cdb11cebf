"""A bridge's Ofproto in the test's own process, on a real datapath process with dummy ports."""

import contextlib
import os
import socket
import traceback

from datapath.ipc.dpif import Dpif
from ofproto.codec import messages as m
from ofproto.flows.backer import Backer
from ofproto.ofproto import Ofproto
from ofproto.peers.controller import ControllerConfig
from ofproto.text import flow_text
from pyvs import clock, containment
from tests.daemons import wait_until
from tests.datapath.dp_process import Process, frame
from tests.of_client import Client

DATAPATH_ID = 0x1234


class World:
    """`bridge` is the Ofproto, with ports p1 .. p3 under the numbers 1 .. 3."""

    def __init__(self):
        self.process = Process()
        self._before = os.environ.get("PYVS_RUNDIR")
        os.environ["PYVS_RUNDIR"] = str(self.process.directory)
        self.clients = []
        self._configs = []
        self.bugs = []
        self._contained = containment.caught
        containment.caught = self._bug
        self.start()

    def start(self):
        """As a vswitchd that was started, for the second time, too."""
        self.backer = Backer(Dpif(self.process.path), lambda: Dpif(self.process.path))
        self.bridge = Ofproto("br0", self.backer, DATAPATH_ID)
        for number in (1, 2, 3):
            self.add_port(f"p{number}", number)
        self.backer.first_reconcile_done()

    def _bug(self, place, whose=""):
        """The switch lives on after an exception of a handler's; a test does not."""
        self.bugs.append(f"{place} {whose}\n{traceback.format_exc()}")

    def stop(self, delete=False):
        for client in self.clients:
            client.close()
        self.clients.clear()
        self.bridge.destroy(delete)
        self.backer.close()

    def add_port(self, name, number):
        got = self.bridge.port_add(name, "dummy", number)
        self.bridge.port_update(
            name,
            mac=bytes([2, 0, 0, 0, 0, got]),
            admin_up=True,
            link_up=True,
            speed=10000,
            mtu=1500,
        )
        self.bridge.bundle_set(name, name, [got])
        return got

    def turn(self):
        """One round of the daemon's main loop."""
        now = clock.msec()
        self.backer.run(now)
        self.bridge.run(now)
        assert not self.bugs, self.bugs

    def until(self, condition, what="condition"):
        def turned():
            self.turn()
            return condition()

        return wait_until(turned, what=what)

    def client(self, version=4, path=None):
        """A tool's connection, after the handshake."""
        path = path or self.process.directory / "br0.mgmt"
        client = Client.unix(path, version, self.turn)
        self.clients.append(client)
        client.hello()
        return client

    def controller(self, version=4, name="c", **settings):
        """A controller that is connected; its SET_CONFIG is the default."""
        listener = socket.socket(socket.AF_UNIX)
        path = f"{self.process.directory}/{name}.sock"
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        self._configs.append(ControllerConfig(f"unix:{path}", **settings))
        self.bridge.set_controllers(self._configs)

        def accepted():
            with contextlib.suppress(BlockingIOError):
                return listener.accept()[0]

        client = Client(self.until(accepted, "a connection"), version, self.turn)
        listener.close()
        self.clients.append(client)
        client.hello()
        client.barrier()
        return client

    # --- packets

    def send(self, number, packet):
        """A frame comes in by a port."""
        self.backer.dpif.port_inject(self.bridge.ports[number].odp_port, packet)

    def received(self, number):
        """What a port has sent since the last call."""
        return self.backer.dpif.port_drain(self.bridge.ports[number].odp_port)

    def expect(self, wanted):
        """Waits until the ports have sent these frames, {port: [frame, ...]}, and no others."""
        seen = {number: [] for number in self.bridge.ports}

        def all_there():
            for number, frames in seen.items():
                frames += self.received(number)
            return all(len(seen[n]) >= len(frames) for n, frames in wanted.items())

        self.until(all_there, f"frames at {sorted(wanted)}")
        assert {number: frames for number, frames in seen.items() if frames} == wanted

    def close(self):
        try:
            self.stop()
        finally:
            containment.caught = self._contained
            if self._before is None:
                del os.environ["PYVS_RUNDIR"]
            else:
                os.environ["PYVS_RUNDIR"] = self._before
            self.process.close()


def flow(text, command=m.ADD, **more):
    """A FLOW_MOD of a flow's text."""
    mod = flow_text.parse_flow(text, command)
    if mod.table_id is None and command < m.DELETE:
        mod.table_id = 0
    for name, value in more.items():
        setattr(mod, name, value)
    return mod


def dump(client, text="", **form):
    """The flows that a client sees, as text without counters, sorted."""
    request = flow_text.parse_flow_request(text)
    request.nxm = form.pop("nxm", False)
    reply = client.ask(request)
    assert isinstance(reply, m.FlowStatsReply), reply
    return sorted(flow_text.format_flow(each, stats=False).strip() for each in reply.flows)


__all__ = ["DATAPATH_ID", "World", "dump", "flow", "frame"]
