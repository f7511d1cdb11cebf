"""The datapath's timeout policies for tracked connections, as all bridges share them.

A zone's connections that a ct action commits get its policy.  Zones with the same timeouts have
one in the datapath, named by a number, as Open vSwitch names them.  A vswitchd that comes back
keeps the names that the datapath's policies have, since flows and connections refer to them.
"""

from collections.abc import Callable
from typing import Any

import ovs.vlog

from datapath.conntrack.policies import DEFAULTS
from datapath.ipc.dpif import DpifError

vlog = ovs.vlog.Vlog("dp_timeouts")

Timeouts = dict[str, int]  # as in CT_Timeout_Policy: tcp_syn_sent ..., in seconds


class TimeoutPolicies:
    """`names` (zone -> name) is what translation reads; it is changed in place.  `lost(error)` is
    called when the connection breaks; what attach() brings gets all of them again."""

    def __init__(self, lost: Callable[[OSError], None] = lambda error: None):
        self.names: dict[int, bytes] = {}
        self._policies: dict[str, Timeouts] = {}
        self._zones: dict[int, Timeouts] = {}
        self._dpif: Any = None
        self._lost = lost

    def attach(self, dpif: Any) -> None:
        """Bring a datapath process to what is wanted; names may change.  Raises OSError."""
        there = dict(dpif.ct_timeout_policies())
        self._dpif = dpif
        self._name_anew({**self._policies, **there})
        for name, timeouts in self._policies.items():
            if there.pop(name, None) != timeouts:
                self._request(dpif.ct_timeout_policy_set, name, timeouts)
        for name in there:
            self._request(dpif.ct_timeout_policy_del, name)

    def detach(self) -> None:
        """There is no datapath process for the moment."""
        self._dpif = None

    def set(self, zones: dict[int, Timeouts]) -> bool:
        """The policies of all zones that have one; whether anything changed, so that flows are to
        be translated again."""
        wanted = {zone: _whole(timeouts) for zone, timeouts in zones.items()}
        if wanted == self._zones:
            return False
        self._zones = wanted
        before = self._policies
        self._name_anew(before)
        if self._dpif is not None:
            try:
                for name in self._policies.keys() - before.keys():
                    self._request(self._dpif.ct_timeout_policy_set, name, self._policies[name])
                for name in before.keys() - self._policies.keys():
                    self._request(self._dpif.ct_timeout_policy_del, name)
            except OSError as error:
                self._lost(error)
        return True

    def _name_anew(self, known: dict[str, Timeouts]) -> None:
        """Have a name for what each zone wants: the one that it has, or the lowest that is free."""
        names = {_content(timeouts): name for name, timeouts in sorted(known.items())}
        taken = set(known)
        self._policies = {}
        self.names.clear()
        for zone, timeouts in sorted(self._zones.items()):
            content = _content(timeouts)
            if content not in names:
                names[content] = _first_free(taken)
                taken.add(names[content])
            self._policies[names[content]] = timeouts
            self.names[zone] = names[content].encode()

    @staticmethod
    def _request(function: Callable[..., Any], name: str, *rest: Any) -> None:
        try:
            function(name, *rest)
        except DpifError as error:
            vlog.warn(f"timeout policy {name}: the datapath refuses it ({error})")


def _whole(timeouts: Timeouts) -> Timeouts:
    """With the defaults, as the datapath tells it."""
    return {name: timeouts.get(name, default) for name, default in DEFAULTS.items()}


def _content(timeouts: Timeouts) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(timeouts.items()))


def _first_free(taken: set[str]) -> str:
    number = 1
    while str(number) in taken:
        number += 1
    return str(number)
