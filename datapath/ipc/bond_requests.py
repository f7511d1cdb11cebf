"""What is asked of the datapath process about bonds whose members it chooses: a part of Dpif."""

from collections import namedtuple

from datapath.ipc.connection import Connection

# `members`: ports of the datapath by bucket; packets and bytes by bucket, since it was made.
BondInfo = namedtuple("BondInfo", "bond basis members packets bytes")


class BondRequests(Connection):
    def bond_set(self, bond: int, basis: int, members: list[int]) -> None:
        """Make a bond, or change who carries its buckets."""
        self._request("bond_set", bond=bond, basis=basis, members=members)

    def bond_del(self, bond: int) -> None:
        """DpifError ENOENT when there is none."""
        self._request("bond_del", bond=bond)

    def bond_dump(self) -> list[BondInfo]:
        """All bonds by number."""
        bonds, behind = [], -1
        while behind is not None:
            body = self._request("bond_dump", behind=behind)[0]
            bonds += [BondInfo(**each) for each in body["bonds"]]
            behind = body["behind"]
        return bonds
