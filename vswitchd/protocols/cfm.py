"""Connectivity fault management of a bridge's interfaces: columns cfm_*."""

import random
from typing import Any

import ovs.vlog

from datapath.actions import odp
from datapath.base.protocols import ETH_CFM
from ofproto.protocols.cfm import (
    ADDRESS,
    EXTENDED_ADDRESS,
    MaintenancePoint,
    Settings,
)
from pyvs.once import Once
from vswitchd.database.settings import within
from vswitchd.devices.iface import Iface
from vswitchd.protocols.frames import ethernet, payload_of
from vswitchd.protocols.per_interface import PerInterface

vlog = ovs.vlog.Vlog("cfm")

MAX_MPID = 8191  # of the standard's


class Cfm(PerInterface):
    name = "cfm"
    slow = odp.CFM
    kept_for = 10_000
    NOTHING = {
        "cfm_fault": [],
        "cfm_fault_status": [],
        "cfm_flap_count": [],
        "cfm_health": [],
        "cfm_remote_mpids": [],
        "cfm_remote_opstate": [],
    }

    def __init__(self, ofproto: Any):
        super().__init__(ofproto)
        self._warned = Once()

    def wants(self, iface: Iface) -> bool:
        mpid = iface.config.cfm_mpid
        if mpid is None:
            return False
        usable = mpid > 0 and (mpid <= MAX_MPID or _is_extended(iface))
        if not usable:
            text = (
                f"{iface.name}: no CFM: cfm_mpid {mpid} is not from 1 to {MAX_MPID}"
                " (other_config:cfm_extended=true takes larger ones)"
            )
            if self._warned.is_new(text):
                vlog.warn(text)
        return usable

    def begin(self, iface: Iface, now: int) -> MaintenancePoint:
        return MaintenancePoint(_settings(iface), now)

    def configure_session(self, session: MaintenancePoint, iface: Iface, now: int) -> None:
        session.configure(_settings(iface), now)

    def listening(self, iface: Iface) -> dict[str, Any]:
        address = EXTENDED_ADDRESS if _is_extended(iface) else ADDRESS
        return {"dst": address, "checks_key": _takes_any_key(iface)}

    def receive(self, session: MaintenancePoint, frame: bytes, now: int) -> None:
        session.receive(payload_of(frame), now)

    def frame(self, session: MaintenancePoint, iface: Iface, payload: bytes) -> bytes:
        address = EXTENDED_ADDRESS if _is_extended(iface) else ADDRESS
        return ethernet(address, self.mac(iface), ETH_CFM, payload, _tci(iface))

    def is_live(self, session: MaintenancePoint, now: int) -> bool:
        return not session.is_faulty

    def counts_data(self, session: MaintenancePoint) -> bool:
        return session.settings.demand

    def columns(self, session: MaintenancePoint, now: int) -> dict[str, Any]:
        up = "up" if session.remote_is_up else "down"
        return {
            "cfm_fault": [session.is_faulty],
            "cfm_fault_status": session.shown_faults,
            "cfm_flap_count": [session.flaps],
            "cfm_health": [] if session.health is None else [session.health],
            "cfm_remote_mpids": sorted(map(_signed, session.told)),
            "cfm_remote_opstate": [up] if session.settings.extended else [],
        }


def _signed(mpid: int) -> int:
    """As the database's integers are: one that is none would have the whole transaction fail."""
    return mpid - (1 << 64) if mpid >> 63 else mpid


def _is_extended(iface: Iface) -> bool:
    return iface.config.other_config.get("cfm_extended") == "true"


def _settings(iface: Iface) -> Settings:
    other = iface.config.other_config
    return Settings(
        iface.config.cfm_mpid,
        within(other, "cfm_interval", 1000, 1, 600_000 if not _is_extended(iface) else 65535),
        _is_extended(iface),
        other.get("cfm_demand") == "true",
        other.get("cfm_opstate") != "down",
    )


def _tci(iface: Iface) -> int | None:
    other = iface.config.other_config
    if other.get("cfm_ccm_vlan") == "random":
        vlan = random.randrange(1, 4095)
    else:
        vlan = within(other, "cfm_ccm_vlan", 0, 1, 4095)
    return vlan | within(other, "cfm_ccm_pcp", 0, 1, 7) << 13 or None


def _takes_any_key(iface: Iface) -> bool:
    """Of a tunnel that takes packets of any key, CCMs are those of key 0."""
    options = iface.config.options
    return options.get("in_key", options.get("key")) == "flow"
