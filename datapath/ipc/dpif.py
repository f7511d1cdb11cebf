"""The client of the datapath process; the way to it for everybody else.

Requests go over datapath.sock, and wait for their answer (connection.py).  Packets come up, and
flows with their first packets go down, by rings in shared memory (upcall_rings.pyx).
"""

import os
from collections.abc import Iterable

from datapath.ipc import protocol
from datapath.ipc.bond_requests import BondRequests
from datapath.ipc.connection import DpifError as DpifError
from datapath.ipc.connection import DpifStalled as DpifStalled
from datapath.ipc.flow_requests import FlowRequests
from datapath.ipc.meter_requests import MeterRequests
from datapath.ipc.perf_requests import PerfRequests
from datapath.ipc.port_requests import PortRequests
from datapath.ipc.tracking_requests import TrackingRequests
from datapath.ipc.upcall_rings import UpcallRings


class Dpif(
    UpcallRings,
    PortRequests,
    FlowRequests,
    MeterRequests,
    BondRequests,
    TrackingRequests,
    PerfRequests,
):
    """All that can be asked of the process, and the rings of the handler of upcalls."""

    def close(self) -> None:
        """End the connection; the datapath goes on.  Idempotent."""
        self.drop_rings()
        super().close()

    def alive(self) -> bool:
        """Whether the process is still there, and the rings are of use."""
        return super().alive() and not self.is_broken()

    def version(self) -> dict:
        """{"version": text, "layout": text, "pid": number, "workers": number}."""
        return self._request("version")[0]

    def stranger(self) -> int | None:
        """The process, by its pid, where it lays out keys, actions or records as another build
        of pyvs does: only version() is of use then.  None: it is one of ours."""
        body = self.version()
        return None if body.get("layout") == protocol.LAYOUT else body["pid"]

    # --- packets

    def execute(
        self,
        packet,
        actions,
        in_port=0,
        recirc_id=0,
        skb_priority=0,
        pkt_mark=0,
        packet_type=0,
        key=b"",
    ):
        """Run actions on a packet without offload state, an Ethernet frame if packet_type is 0.
        `key`: a flow key whose connection (ct_*) and tunnel are the packet's."""
        self._request(
            "execute",
            bytes(packet) + bytes(actions),
            packet_size=len(packet),
            in_port=in_port,
            recirc_id=recirc_id,
            skb_priority=skb_priority,
            pkt_mark=pkt_mark,
            packet_type=packet_type,
            key=key.hex(),
        )

    def set_clock(self, stopped, ahead):
        """Have the clock of packets and flows stand at `stopped` (ns; None: go), `ahead` ns
        before the kernel's."""
        self._request("clock", stopped=stopped, ahead=ahead)

    def set_tunnel_ports(self, first, last):
        """The range of UDP source ports of tunnels' outer headers."""
        self._request("tunnel_ports", first=first, last=last)

    def sync(self):
        """When it returns, the workers have done all that was put into their rings before."""
        self._request("sync")

    def stats(self) -> dict:
        """Counters: hits, misses, lost, n_flows, masks, drops {reason: n}, workers [{...}]."""
        return self._request("stats")[0]["stats"]

    # --- workers; those for no core were there from the start, and stay

    def workers_add(self, cores: Iterable[int], pinned: bool) -> list[int]:
        """Have a worker for each of these processor cores (`pinned`: it runs there only); their
        numbers.  The handler of upcalls gets theirs from then on."""
        fds, cores = [], list(cores)
        try:
            body, _ = self._request("workers_add", fds=fds, cores=cores, pinned=bool(pinned))
            if self.upcall_fd >= 0:
                self.add_rings(zip(body["workers"], cores, strict=False), fds)
        finally:
            for fd in fds:
                os.close(fd)
        return body["workers"]

    def workers_del(self, workers: Iterable[int]) -> None:
        """End some that workers_add() made; upcalls of theirs that were not taken are lost."""
        workers = list(workers)
        self._request("workers_del", workers=workers)
        self.drop_workers(workers)

    def queues_move(self, moves: Iterable[tuple[int, int, int]]) -> None:
        """Have receive queues polled by other workers: (port's number, queue, worker's number)."""
        self._request("queues_move", moves=list(moves))

    # --- upcalls

    def upcall_register(self, patience: float | None = None) -> None:
        """Become the handler of upcalls; `upcall_fd` is readable when there may be some.

        Whoever was it before gets none any more.  `patience`: for who can do with another
        connection when the answer comes later.
        """
        fds = []
        try:
            body, _ = self._request("upcall_register", fds=fds, patience=patience)
            if not fds:
                raise DpifError(5, "no descriptors")
            self.new_rings(fds[0])
            self.add_rings(body["workers"], fds[1:])
        finally:
            for fd in fds:
                os.close(fd)
