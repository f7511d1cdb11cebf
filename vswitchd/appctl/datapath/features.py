"""dpif/show-dp-features, dpif/set-dp-features: what the datapath can do, and what of that
translation makes use of."""

from typing import TYPE_CHECKING

from datapath.actions import odp
from pyvs import digits
from pyvs.process.daemon import CommandError
from vswitchd.appctl.datapath.dpif import Ufids
from vswitchd.database.datapaths import CAPABILITIES

if TYPE_CHECKING:
    from vswitchd.switch import Switch

NATIVE, UFID = "tnl_push_pop", "ufid"
_BOOLEANS = {"true": True, "false": False}
_WORDS = {"true": "Yes", "false": "No"}

# As Open vSwitch prints them, in its order; capabilities as Datapath rows name them.
_SHOWN = (
    ("Masked set action", "masked_set_action"),
    ("Tunnel push pop", NATIVE),
    ("Ufid", UFID),
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


# What translation can be told not to make use of: an attribute of Features
_USED = ("clone", "ct_clear", "trunc", "check_pkt_len", "add_mpls", "sample_nesting")


def _check_bridge(switch: "Switch", name: str) -> None:
    if name not in switch.bridges:
        raise CommandError("no such bridge")


def _boot_time() -> dict[str, str]:
    return CAPABILITIES | {NATIVE: "true", "sample_nesting": str(odp.NESTING)}


def _run_time(switch: "Switch") -> dict[str, str]:
    features = switch.backer.flows.features
    used = {name: getattr(features, name) for name in _USED}
    used |= {NATIVE: switch.ways.underlay.native, UFID: Ufids.feature}
    return _boot_time() | {name: str(value).lower() for name, value in used.items()}


def show_features(switch: "Switch", args: list[str]) -> str:
    _check_bridge(switch, args[0])
    known = _run_time(switch)
    return "".join(f"{label}: {_WORDS.get(known[name], known[name])}\n" for label, name in _SHOWN)


def set_features(switch: "Switch", args: list[str]) -> str:
    """What of the datapath translation makes use of; for tests."""
    _check_bridge(switch, args[0])
    wanted = args[1:2]
    if len(args) == 3:
        return _set(switch, *args[1:])
    now, before = _run_time(switch), _boot_time()
    shown = [row for row in _SHOWN if not wanted or row[1] in wanted]
    if not shown:
        return "Unexpected support field\n"
    return "".join(
        f"{name} ({label}) : [run time]:{now[name]}, [boot time]:{before[name]}\n"
        for label, name in shown
    )


def _set(switch: "Switch", name: str, word: str) -> str:
    """What is wrong with a value is no error of the command, as of Open vSwitch's."""
    known = _boot_time().get(name)
    if known is None:
        return "Unexpected support field\n"
    if known in _BOOLEANS:
        if word not in _BOOLEANS:
            return "Boolean value expected\n"
        value = _BOOLEANS[word]
        beyond = value and known == "false"
    else:
        value = digits.number(word)
        if value is None:
            return "Integer number expected\n"
        beyond = value > int(known)
    if beyond:
        return "Can not set value beyond the datapath capability\n"
    if name == NATIVE:
        switch.ways.underlay.native = value
    elif name == UFID:
        Ufids.feature = bool(value)
    elif name in _USED:
        setattr(switch.backer.flows.features, name, value)
    elif str(value).lower() != known:
        raise CommandError(f"{name}: not supported: it cannot be set aside")
    switch.ways.underlay.told()
    return ""


# name, usage, least and most arguments, function
COMMANDS = [
    ("dpif/set-dp-features", "bridge [feature [value]]", 1, 3, set_features),
    ("dpif/show-dp-features", "bridge", 1, 1, show_features),
]
