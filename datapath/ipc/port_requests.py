"""What is asked of the datapath process about ports: a part of Dpif."""

from collections import namedtuple

from datapath.ipc.connection import Connection, DpifError

# stats: the OpenFlow port counters by name; drops: discards by reason; dead: the interface is
# gone, so that only port_del is left; ifindex 0: not a device of the kernel, or one that was
# moved to another network namespace, and still is the port.  `queues`: of each receive queue
# (number of the worker that polls it, packets, cycles that these took).  `link`: of a dummy port
# with a cable, connected or disconnected; else "".
PortInfo = namedtuple(
    "PortInfo",
    "port_no name type ifindex dead stats drops options queues told link",
    defaults=("",),
)


class PortRequests(Connection):
    def port_add(
        self,
        name: str,
        type: str,
        port_no: int | None = None,
        options: dict | None = None,
        device: int | None = None,
        patient: bool = True,
    ) -> int:
        """Returns the port's number.  `device`: what port_device() had of another process.
        `patient`: a device that is somebody else's yet is waited for, a second or so."""
        self.sending = [] if device is None else [device]
        try:
            return self._request(
                "port_add",
                name=name,
                type=type,
                port_no=port_no,
                options=options or {},
                given=device is not None,
                patient=patient,
            )[0]["port_no"]
        finally:
            self.sending = []

    def port_device(self, port_no: int) -> int:
        """A descriptor of a port's TAP, to be closed by the caller: the device stays as long as
        there is one.  DpifError EOPNOTSUPP for other ports, EMFILE where none was free."""
        fds = []
        self._request("port_device", fds=fds, port_no=port_no)
        if len(fds) != 1:
            raise DpifError(24, "no descriptor came")
        return fds[0]

    def port_set(self, port_no: int, options: dict[str, str]) -> None:
        """Other files for the frames of a dummy port (pcap, rxq_pcap, tx_pcap).  DpifError
        EOPNOTSUPP for other ports."""
        self._request("port_set", port_no=port_no, options=options)

    def port_del(self, port_no: int) -> None:
        """DpifError ENODEV when there is none."""
        self._request("port_del", port_no=port_no)

    def port_dump(self) -> list[PortInfo]:
        """All ports by number."""
        ports, behind = [], 0
        while behind is not None:
            body = self._request("port_dump", behind=behind)[0]
            ports += [PortInfo(**port) for port in body["ports"]]
            behind = body["behind"]
        return ports

    def port_get(self, port_no: int) -> PortInfo | None:
        """The one port; None when there is none."""
        found = self._request("port_dump", behind=port_no - 1, count=1)[0]["ports"]
        return PortInfo(**found[0]) if found and found[0]["port_no"] == port_no else None

    def port_dead(self) -> list[int]:
        """Numbers of (some) ports whose interface went without its port; costs the datapath no
        look at its devices."""
        return self._request("port_dead")[0]["ports"]

    def port_inject(self, port_no: int, frame: bytes, queue: int = 0) -> None:
        """A frame as if the (dummy) port had received it, by one of its queues."""
        self._request("port_inject", bytes(frame), port_no=port_no, queue=queue)

    def port_drain(self, port_no: int) -> list[bytes]:
        """The frames that a dummy port sent since the last call."""
        body, data = self._request("port_drain", port_no=port_no)
        frames, at = [], 0
        for size in body["sizes"]:
            frames.append(data[at : at + size])
            at += size
        return frames
