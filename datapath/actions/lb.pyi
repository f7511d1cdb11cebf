"""Bonds whose members the datapath chooses by itself."""

BUCKETS: int
NONE: int  # as a member: none carries the bucket

class LbBonds:
    """Those of one datapath, by number."""

    def __len__(self) -> int: ...
    def set(self, id: int, basis: int, members: list[int]) -> None:
        """Make a bond, or change who carries its buckets.  ValueError."""

    def delete(self, id: int) -> None:
        """KeyError when it is not there."""

    def reclaim(self) -> None:
        """Free what was deleted; no worker may be in the midst of a packet since."""

    def dump(self, behind: int = -1, count: int | None = None) -> list[dict]:
        """`count` bonds with numbers above `behind`: bond, basis, and by bucket members, packets,
        bytes."""
