"""dpif/show-dp-features, dpif/set-dp-features: what the datapath can do, and what of that
translation makes use of."""

from typing import TYPE_CHECKING

from datapath.actions import odp
from pyvs.process.daemon import CommandError
from vswitchd.database.datapaths import CAPABILITIES

if TYPE_CHECKING:
    from vswitchd.switch import Switch

NATIVE = "tnl_push_pop"
_BOOLEANS = {"true": True, "false": False}
_WORDS = {"true": "Yes", "false": "No"}

# As Open vSwitch prints them, in its order; capabilities as Datapath rows name them.
_SHOWN = (
    ("Masked set action", "masked_set_action"),
    ("Tunnel push pop", NATIVE),
    ("Ufid", "ufid"),
    ("Truncate action", "trunc"),
    ("Clone action", "clone"),
    ("Sample nesting", "sample_nesting"),
    ("Conntrack eventmask", "ct_eventmask"),
    ("Conntrack clear", "ct_clear"),
    ("Max dp_hash algorithm", "max_hash_alg"),
    ("Check pkt length action", "check_pkt_len"),
    ("Conntrack timeout policy", "ct_timeout"),
    ("Explicit Drop action", "explicit_drop_action"),
    ("Optimized Balance TCP mode", "lb_output_action"),
    ("Conntrack all-zero IP SNAT", "ct_zero_snat"),
    ("MPLS Label add", "add_mpls"),
    ("Max VLAN headers", "max_vlan_headers"),
    ("Max MPLS depth", "max_mpls_depth"),
    ("Recirc", "recirc"),
    ("CT state", "ct_state"),
    ("CT zone", "ct_zone"),
    ("CT mark", "ct_mark"),
    ("CT label", "ct_label"),
    ("CT state NAT", "ct_state_nat"),
    ("CT orig tuple", "ct_orig_tuple"),
    ("CT orig tuple for IPv6", "ct_orig_tuple6"),
    ("IPv6 ND Extension", "nd_ext"),
)


def _check_bridge(switch: "Switch", name: str) -> None:
    if name not in switch.bridges:
        raise CommandError("no such bridge")


def show_features(switch: "Switch", args: list[str]) -> str:
    _check_bridge(switch, args[0])
    native = "true" if switch.ways.underlay.native else "false"
    known = CAPABILITIES | {NATIVE: native, "sample_nesting": str(odp.NESTING)}
    return "".join(f"{label}: {_WORDS.get(known[name], known[name])}\n" for label, name in _SHOWN)


def set_features(switch: "Switch", args: list[str]) -> str:
    """What of the datapath translation makes use of; for tests."""
    _check_bridge(switch, args[0])
    underlay = switch.ways.underlay
    if len(args) == 1:
        return f"{NATIVE}: {'true' if underlay.native else 'false'}\n"
    if args[1] != NATIVE:
        raise CommandError(f"{args[1]}: cannot be set")
    if len(args) != 3 or args[2] not in _BOOLEANS:
        raise CommandError(f"{args[1]}: true or false")
    underlay.native = _BOOLEANS[args[2]]
    underlay.told()
    return ""


# name, usage, least and most arguments, function
COMMANDS = [
    ("dpif/set-dp-features", "bridge [feature [value]]", 1, 3, set_features),
    ("dpif/show-dp-features", "bridge", 1, 1, show_features),
]
