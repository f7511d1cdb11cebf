"""What is asked of the datapath process about flows, and how they are looked up: a part of Dpif."""

from collections.abc import Iterable, Iterator

from datapath.ipc import protocol
from datapath.ipc.connection import Connection, DpifStalled
from datapath.ipc.flow_records import FlowRecords
from datapath.ipc.protocol import FlowInfo
from datapath.key import flow
from datapath.key.flow import KEY_DP_SIZE

MANY = 256  # flows to delete in one request


class FlowRequests(Connection):
    n_installed = 0  # flows that were put into rings, where there are some: see UpcallRings

    def flow_put(self, key: bytes, mask: bytes, actions: bytes, ufid: bytes | None = None) -> bytes:
        """Add a flow, or give the one with that ufid other actions; returns the ufid."""
        key, mask = bytes(key[:KEY_DP_SIZE]), bytes(mask[:KEY_DP_SIZE])
        if len(key) != KEY_DP_SIZE or len(mask) != KEY_DP_SIZE:
            raise ValueError(f"key and mask have {KEY_DP_SIZE} bytes at least")
        ufid = flow.ufid(key, mask) if ufid is None else ufid
        record = protocol.FLOW.pack(ufid, 0, 0, 0, 0, 0, 0, 0, len(actions))
        self._request("flow_put", record + key + mask + actions)
        return ufid

    def flow_get(self, ufid: bytes) -> FlowInfo:
        """FlowInfo; DpifError ENOENT when there is none."""
        return next(protocol.flows(self._request("flow_get", bytes(ufid))[1]))

    def flow_del(self, ufid: bytes) -> FlowInfo | None:
        """Returns the flow as it was at its end, or None when there was none."""
        return next(protocol.flows(self._request("flow_del", bytes(ufid))[1]), None)

    def flow_del_many(self, ufids: Iterable[bytes]) -> FlowRecords:
        """Delete flows; terse records of those that were there, with their last counters.

        After DpifStalled it is to be called again for the same ones: it then returns as well what
        was deleted before.
        """
        gone, ufids = [], list(ufids)
        for at in range(0, len(ufids), MANY):
            try:
                _, data = self._request("flow_del_many", b"".join(ufids[at : at + MANY]))
            except DpifStalled:
                self._keep_late(protocol.terse_flows(b"".join(gone)))
                raise
            gone.append(data)
        if self.late:
            self._keep_late(protocol.terse_flows(b"".join(gone)))
            gone = [protocol.terse_record(info) for info in self.late.values()]
            self.late = {}
        return FlowRecords(b"".join(gone), terse=True)

    def flow_flush(self) -> None:
        """Delete all flows."""
        self._request("flow_flush")

    def flow_stats_sync(self, since: int = 0) -> dict[bytes, FlowInfo]:
        """What flows have counted by now: {ufid: FlowInfo}, without keys and actions.

        Exact: before anything is read, each worker has done all that this handler has put into
        its ring, and the frames that its ports had (a burst of each).  `since`, ms of
        CLOCK_MONOTONIC: only flows that had a packet then or later; with the time before the
        last call these are all that have changed.
        """
        return {info.ufid: info for info in self.flow_dump(True, since)}

    def flow_dump(
        self, terse: bool = False, since: int = 0, core: int | None = None
    ) -> Iterator[FlowInfo]:
        """Iterator of FlowInfo, as exact as flow_stats_sync() when it begins; flows may come and
        go meanwhile.  `terse`: without keys and actions, which are None.  `core`: only what the
        worker for that processor core has, -1: what those for none have."""
        for piece in self.flow_pieces(terse, since, core):
            yield from piece

    def flow_pieces(
        self, terse: bool = False, since: int = 0, core: int | None = None, keys: bool = True
    ) -> Iterator[FlowRecords]:
        """As flow_dump(), in pieces: each tells how things are when the iterator gives it, with all
        that this handler put into the rings before.  `keys` false: without keys and masks, which
        are None; they are most of a flow's bytes."""
        how = {"terse": terse, "keys": keys, "since": since, "core": core}
        cursor = None
        synced = 0
        while True:
            behind, synced = self.n_installed != synced, self.n_installed
            body, data = self._request("flow_dump", cursor=cursor, sync=behind, **how)
            yield FlowRecords(data, terse, keys)
            cursor = body["cursor"]
            if cursor is None:
                return

    def kernel_cache_set(self, wanted: bool) -> None:
        """Whether the kernel is to forward what it can by itself; stats() has what became of it."""
        self._request("kernel_cache_set", wanted=bool(wanted))

    def kernel_cache_hand_over(self) -> bool:
        """All ports are there, and upcalls are answered: what entries of a datapath process before
        this one do ends.  Whether there may have been some."""
        return self._request("kernel_cache_hand_over")[0]["done"]

    def lookup_set(self, inverse: int, signatures: bool) -> None:
        """One in `inverse` flows goes to the exact-match cache, 0: none; whether there is a
        signature match cache."""
        self._request("lookup_set", inverse=inverse, signatures=signatures)
