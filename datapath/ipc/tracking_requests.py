"""What is asked of the datapath process about tracked connections and fragments: a part of Dpif.

Rows and tuples are as connections.pyi has them.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from datapath.ipc.connection import Connection, DpifError


class TrackingRequests(Connection):
    def ct_dump(self, zone: int | None = None) -> Iterator[dict[str, Any]]:
        """Iterator of connections, dictionaries; some may come and go meanwhile."""
        cursor = 0
        while cursor is not None:
            body = self._request("ct_dump", cursor=cursor, zone=zone)[0]
            yield from body["connections"]
            cursor = body["cursor"]

    def ct_flush(self, **which: Any) -> int:
        """Remove connections; how many.  See ct_flush_pieces()."""
        return sum(self.ct_flush_pieces(**which))

    def ct_flush_pieces(
        self,
        zone: int | None = None,
        orig: dict[str, Any] | None = None,
        reply: dict[str, Any] | None = None,
        mark: tuple[int, int] | None = None,
        label: tuple[str, str] | None = None,
    ) -> Iterator[int]:
        """Remove connections, a piece of the table at each step, which gives how many.  orig,
        reply: some members of a tuple; mark, label: value and mask (label in hexadecimal)."""
        match = {"zone": zone, "orig": orig, "reply": reply, "mark": mark, "label": label}
        cursor = 0
        while cursor is not None:
            body = self._request("ct_flush", cursor=cursor, match=match)[0]
            cursor = body["cursor"]
            yield body["count"]

    def ct_stats(self) -> dict[str, int]:
        """Counters: connections, and what became of others."""
        return self._request("ct_stats")[0]["stats"]

    def ct_buckets(self) -> list[int]:
        """How many are in each part of the hash."""
        return self._request("ct_buckets")[0]["buckets"]

    def ct_get(self) -> dict[str, Any]:
        """{"maxconns", "capacity" (room for connections), "tcp_seq_chk", "sweep_interval" (ms)}."""
        return self._request("ct_get")[0]

    def ct_set(self, **settings: int | bool) -> None:
        """Change some of what ct_get() tells.  DpifError EINVAL."""
        self._request("ct_set", **settings)

    def ct_limits(self, zones: list[int] | None = None) -> tuple[int, list[tuple[int, int, int]]]:
        """(default, [(zone, limit, connections)]) of zones that have a limit, or of these."""
        body = self._request("ct_limits", zones=zones)[0]
        return body["default"], [tuple(row) for row in body["limits"]]

    def ct_limits_set(self, limits: list[tuple[int | None, int]]) -> None:
        """[(zone, limit)]; zone None: the default; limit 0: none."""
        self._request("ct_limits_set", limits=limits)

    def ct_limits_del(self, zones: Iterable[int]) -> None:
        """These zones have the default's again."""
        self._request("ct_limits_del", zones=list(zones))

    def ct_timeout_policy_set(self, name: str, timeouts: dict[str, int]) -> None:
        """Make or replace a policy: {name as in CT_Timeout_Policy: seconds}; name "": what holds
        without one."""
        self._request("ct_policy_set", name=name, timeouts=timeouts)

    def ct_timeout_policy_del(self, name: str) -> None:
        """DpifError ENOENT when there is none."""
        self._request("ct_policy_del", name=name)

    def ct_timeout_policies(self) -> dict[str, dict[str, int]]:
        """{name: {timeout's name: seconds}}."""
        return self._request("ct_policy_dump")[0]["policies"]

    def ct_memory(self) -> int:
        """A descriptor of the memory with all connections, to be closed by the caller: whoever
        keeps it has them when the datapath process dies."""
        fds = []
        self._request("ct_memory", fds=fds)
        if len(fds) != 1:
            raise DpifError(5, f"{len(fds)} descriptors")
        return fds[0]

    def ct_adopt(self, fd: int) -> int:
        """Have a new datapath process go on with that memory; how many connections it has.

        DpifError EEXIST where it has connections of its own, EINVAL where it is of another build.
        """
        self.sending = [fd]
        try:
            return self._request("ct_adopt")[0]["count"]
        finally:
            self.sending = []

    def ipf_get(self) -> dict[str, Any]:
        """Settings (v4, v6, min_v4, min_v6, most), fragments waiting, counters {name: [v4, v6]}."""
        return self._request("ipf_get")[0]["status"]

    def ipf_list(self) -> list[dict[str, Any]]:
        """Packets of which fragments are missing, as dicts: src, dst, id, proto, zone,
        recirc_id, fragments (how many are there), first, last (whether these are)."""
        return self._request("ipf_list")[0]["packets"]

    def ipf_set(self, **settings: int | bool) -> None:
        """Change some of the settings.  DpifError EINVAL."""
        self._request("ipf_set", **settings)
