"""What translation knows of a bond: which member carries what, and how much left by each bucket."""

from collections.abc import Iterable, Sequence
from typing import Any

BOND_ACTIVE_BACKUP: int
BOND_SLB: int
BOND_TCP: int

class XBond:
    active: Any  # XPort, or None
    buckets: tuple[Any, ...]  # the same
    basis: int
    lb_id: int  # under which the datapath chooses members by itself; 0: it does not
    def set(
        self,
        mode: int,
        active: Any,
        buckets: Sequence[Any] = (),
        basis: int = 0,
        all_members_active: bool = False,
        accepting: Iterable[Any] | None = None,
        lb_id: int = 0,
    ) -> None:
        """Takes over what the bond is to do now; who calls this calls XBridge.touch().

        `accepting`: of a bond that the other side knows as one, the members that packets may come
        in by.  None: nobody knows it, and packets that come twice or back are refused.
        """

    def loads(self) -> list[int]:
        """Bytes that left by each bucket, since ever."""

def bucket_of(mac: bytes, vlan: int, basis: int) -> int:
    """The bucket of a balance-slb bond that a station's packets leave by."""
