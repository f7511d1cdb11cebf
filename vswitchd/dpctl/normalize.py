"""Datapath actions sorted by the tags that a packet has when they are done, so that two lists with
the same effect read alike: ovs-dpctl(8), normalize-actions."""

from datapath.actions import odp
from datapath.actions.text import odp_text
from datapath.key import flow, key_text, whole

CFI = 0x1000
_OF_TAGS = {"eth_type", "vlan", "encap", "tunnel"}  # parts that are not of plain fields


class Tags:
    """The tags at the head of a packet, outermost first: VLANs, and labels behind them."""

    def __init__(self, key: bytes):
        self.vlans = [tci for tci in (_member(key, f"vlan{n}_tci") for n in (0, 1)) if tci & CFI]
        self.labels = [lse for lse in (_member(key, f"mpls_lse{n}") for n in range(3)) if lse]

    def take(self, kind: int, payload: bytes) -> bool:
        """Follow an action that changes the tags; False for another one."""
        if kind == odp.PUSH_VLAN:
            self.vlans.insert(0, int.from_bytes(payload[2:4], "big"))
        elif kind == odp.POP_VLAN:
            del self.vlans[:1]
        elif kind == odp.PUSH_MPLS:
            self.labels.insert(0, int.from_bytes(payload[:4], "big"))
        elif kind == odp.POP_MPLS:
            del self.labels[:1]
        else:
            return False
        return True

    def set(self, member: str, value: int, mask: int) -> bool:
        """Follow a set of a member; False where it is no tag."""
        for name, tags in (("vlan0_tci", self.vlans), ("mpls_lse0", self.labels)):
            if member == name and tags:
                tags[0] = tags[0] & ~mask | value & mask
                return True
        return False

    def __str__(self) -> str:
        vlans = [f"vlan(vid={tci & 0xFFF},pcp={tci >> 13})" for tci in self.vlans] or ["no vlan"]
        labels = [_label(lse) for lse in self.labels] or ["no mpls"]
        return ": ".join(vlans + labels)


def _label(lse: int) -> str:
    return f"mpls(label={lse >> 12},tc={lse >> 9 & 7},ttl={lse & 0xFF})"


def _member(key: bytes, name: str) -> int:
    offset, size = flow.MEMBERS[name]
    return int.from_bytes(key[offset : offset + size], "big")


def as_given(text: str, key: bytes) -> str:
    """The flow with all of each part that its text names."""
    names = {name for items in whole.levels_of(text) for name in items}
    members = {f.member for name in names - _OF_TAGS for f in key_text.fields_of(name, "")}
    if "eth_type" in names:
        members |= {"eth_type", "vlan0_tpid", "vlan1_tpid"}
    if "vlan" in names:
        members |= {"vlan0_tci", "vlan1_tci"}
    mask = bytearray(flow.KEY_SIZE)
    for offset, size in map(flow.MEMBERS.__getitem__, members):
        mask[offset : offset + size] = b"\xff" * size
    return key_text.format_key(key, bytes(mask))


def by_tags(key: bytes, actions: bytes) -> list[str]:
    """A line for each state of the tags in which something is done, in their order."""
    tags = Tags(key)
    done: dict[str, list[bytes]] = {}
    for kind, payload in odp_text.attributes(actions):
        if tags.take(kind, payload):
            continue
        if kind == odp.SET and tags.set(*odp_text.read_set(payload)):
            continue
        done.setdefault(str(tags), []).append(odp_text.attribute(kind, payload))
    return [f"{state}: {_text(list_)}" for state, list_ in sorted(done.items())]


def _text(actions: list[bytes]) -> str:
    """Neighbouring outputs go in the order of their ports."""
    runs: list[list[bytes]] = []
    for action in actions:
        is_output = action[:2] == odp_text.attribute(odp.OUTPUT)[:2]
        if is_output and runs and runs[-1][0][:2] == action[:2]:
            runs[-1].append(action)
        else:
            runs.append([action])
    return odp_text.format_actions(b"".join(b"".join(sorted(run)) for run in runs))
