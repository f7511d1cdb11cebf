"""A connection to one of the datapaths that dpctl/add-dp made; see datapath/further.py."""

from typing import Any

from datapath.ipc.dpif import Dpif


class FurtherDpif(Dpif):
    """`name`: the datapath's, without its type."""

    def __init__(self, path: str, name: str, patience: float | None = None):
        super().__init__(path, patience)
        self.name = name

    def _request(self, op: str, data: bytes = b"", fds: Any = None, **words: Any) -> Any:
        return super()._request(op, data, fds, dp=self.name, **words)


def names(dpif: Any) -> list[str]:
    """TYPE@NAME of all."""
    return dpif._request("dp_dump")[0]["datapaths"]


def add(dpif: Any, name: str, kind: str) -> None:
    """DpifError EEXIST where there is one of that name."""
    dpif._request("dp_add", name=name, type=kind)


def remove(dpif: Any, name: str) -> None:
    """DpifError ENODEV."""
    dpif._request("dp_del", name=name)
