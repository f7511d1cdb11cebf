"""Bidirectional forwarding detection of a bridge's interfaces: columns bfd and bfd_status."""

import ipaddress
from typing import Any

from datapath.actions import odp
from ofproto.protocols import bfd_packet
from ofproto.protocols.bfd import DIAGNOSTICS, STATES, Session, Settings
from ofproto.protocols.bfd_packet import SOURCE_PORT, Addresses
from vswitchd.database.settings import parse_mac, within
from vswitchd.devices.iface import Iface
from vswitchd.protocols.frames import payload_of
from vswitchd.protocols.per_interface import PerInterface

DEFAULT = Addresses(bytes(6))
LONGEST = 1 << 22  # ms: it goes in microseconds, 32 bits


class Bfd(PerInterface):
    name = "bfd"
    slow = odp.BFD
    kept_for = 10_000
    NOTHING = {"bfd_status": {}}

    def wants(self, iface: Iface) -> bool:
        return iface.config.bfd.get("enable") == "true"

    def begin(self, iface: Iface, now: int) -> Session:
        return Session(_settings(iface), now)

    def configure_session(self, session: Session, iface: Iface, now: int) -> None:
        session.configure(_settings(iface), now)

    def listening(self, iface: Iface) -> dict[str, Any]:
        """Where an address was chosen for this session, packets to others are not for it."""
        options = iface.config.bfd
        source = _ip(options, "bfd_src_ip", DEFAULT.src_ip)
        return {
            "dst": _mac(options, "bfd_remote_dst_mac", None),
            "checks_key": options.get("check_tnl_key") == "true",
            "nw_dst": 0 if source == DEFAULT.src_ip else int.from_bytes(source, "big"),
        }

    def receive(self, session: Session, frame: bytes, now: int) -> None:
        try:
            payload = bfd_packet.parse(payload_of(frame))
        except ValueError:
            return
        session.receive(payload, now)

    def frame(self, session: Session, iface: Iface, payload: bytes) -> bytes:
        options = iface.config.bfd
        addresses = Addresses(
            _mac(options, "bfd_local_src_mac", self.mac(iface)),
            _mac(options, "bfd_local_dst_mac", DEFAULT.dst_mac),
            _ip(options, "bfd_src_ip", DEFAULT.src_ip),
            _ip(options, "bfd_dst_ip", DEFAULT.dst_ip),
        )
        source = SOURCE_PORT + session.discriminator % (0x10000 - SOURCE_PORT)
        return bfd_packet.compose(addresses, source, payload)

    def is_oam(self, iface: Iface) -> bool:
        return iface.config.bfd.get("oam") == "true"

    def is_live(self, session: Session, now: int) -> bool:
        return session.is_forwarding(now)

    def counts_data(self, session: Session) -> bool:
        return session.settings.forwarding_if_rx or session.settings.decay_min_rx > 0

    def columns(self, session: Session, now: int) -> dict[str, Any]:
        return {
            "bfd_status": {
                "state": STATES[session.state],
                "forwarding": str(session.is_forwarding(now)).lower(),
                "diagnostic": diagnostic(session.diagnostic),
                "remote_state": STATES[session.remote.state],
                "remote_diagnostic": diagnostic(session.remote.diagnostic),
                "flap_count": str(session.flaps),
            }
        }


def diagnostic(code: int) -> str:
    return DIAGNOSTICS[code] if code < len(DIAGNOSTICS) else f"Unknown Diagnostic {code}"


def _settings(iface: Iface) -> Settings:
    options = iface.config.bfd
    return Settings(
        within(options, "min_tx", 100, 1, LONGEST),
        within(options, "min_rx", 1000, 1, LONGEST),
        within(options, "decay_min_rx", 0, 1, LONGEST),
        within(options, "mult", 3, 1, 255),
        options.get("forwarding_if_rx") == "true",
        options.get("cpath_down") == "true",
    )


def _mac(options: dict[str, str], key: str, default: bytes | None) -> bytes | None:
    text = parse_mac(options.get(key))
    return bytes.fromhex(text.replace(":", "")) if text else default


def _ip(options: dict[str, str], key: str, default: bytes) -> bytes:
    try:
        return ipaddress.IPv4Address(options[key]).packed
    except (KeyError, ValueError):
        return default
