"""What a runtime tells the plug-in: the environment, and the network configuration on stdin.

The keys are those of the specification, and of ovs-cni, whose configurations work here unchanged.
"""

import json
import re
from typing import Any, NamedTuple

from .. import shapes
from ..endpoint import VLAN_MOST, check_name
from ..errors import BadRequest
from .errors import (
    DECODING_FAILURE,
    INCOMPATIBLE_VERSION,
    INVALID_CONFIG,
    INVALID_ENVIRONMENT,
    CniError,
)

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
# What a configuration without cniVersion means.
OLDEST = VERSIONS[0]
# Commands that older versions lack.
SINCE = {"CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}
# command -> environment variables that must be there
REQUIRED = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "GC": (),
    "STATUS": (),
    "VERSION": (),
}
# Specification, "Parameters" and "Configuration format": what a container's id and the name of a
# network may look like.
_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")

BANDWIDTH = dict.fromkeys(("ingressRate", "ingressBurst", "egressRate", "egressBurst"), int)
ATTACHED = {
    "interfaces": [{"name": str, "mac": str, "sandbox": str}],
    "ips": [{"address": shapes.Needed(str), "interface": int}],
}
# The keys that are read, of the specification and of this plug-in: see shapes.py.
SHAPE: dict[str, Any] = {
    "name": str,
    "ipam": {"type": str},
    "socket_file": str,
    "bridge": str,
    "vlan": int,
    "trunk": [{"id": int, "minID": int, "maxID": int}],
    "mtu": int,
    "mac": str,
    "ofport_request": int,
    "interface_type": str,
    "ovnPort": str,
    "bandwidth": BANDWIDTH,
    "runtimeConfig": {"mac": str, "bandwidth": BANDWIDTH},
    "args": {"cni": {"mac": str}},
    "prevResult": ATTACHED,
    "cni.dev/valid-attachments": [
        {"containerID": shapes.Needed(str), "ifname": shapes.Needed(str)}
    ],
}
# DEL goes by these alone: what another key has become does not keep a container from ending.
READ_BY_DEL = ("name", "ipam", "socket_file")


class Call(NamedTuple):
    """One execution of the plug-in."""

    command: str
    container: str
    netns: str
    interface: str
    args: dict[str, str]
    path: str  # CNI_PATH
    config: dict[str, Any]
    version: str

    @property
    def network(self) -> str:
        """The name of the network."""
        return self.config["name"]

    def number(self, key: str, least: int, most: int) -> int | None:
        """An integer of the configuration; raises CniError where it is out of range."""
        value = self.config.get(key)
        if value is not None and not least <= value <= most:
            raise CniError(INVALID_CONFIG, f"{key}: {value} is not in the range {least} to {most}")
        return value

    def mapping(self, *keys: str) -> dict:
        """An object of the configuration, by the keys that lead to it; {} where it is not there."""
        found = self.config
        for key in keys:
            found = found.get(key) or {}
        return found

    def trunks(self) -> tuple[int, ...]:
        """The VLANs of "trunk": [{"id": N} or {"minID": N, "maxID": M}, …]."""
        found: set[int] = set()
        for each in self.config.get("trunk") or ():
            first = each.get("id", each.get("minID"))
            last = each.get("id", each.get("maxID"))
            if first is None or last is None or not 0 <= first <= last <= VLAN_MOST:
                raise CniError(INVALID_CONFIG, f"trunk: {json.dumps(each)} is no range of VLANs")
            found.update(range(first, last + 1))
        return tuple(sorted(found))


def _args(text: str) -> dict[str, str]:
    """CNI_ARGS: KEY=VALUE pairs with ";" between them."""
    found = {}
    for pair in filter(None, text.split(";")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise CniError(INVALID_ENVIRONMENT, f"CNI_ARGS: {pair} is not KEY=VALUE")
        found[key] = value
    return found


def _config(raw: bytes) -> dict[str, Any]:
    try:
        config = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise CniError(DECODING_FAILURE, f"network configuration: {error}") from None
    if not isinstance(config, dict):
        raise CniError(DECODING_FAILURE, "network configuration: not an object")
    return config


def version_of(config: dict[str, Any]) -> str:
    """The configuration's version; raises CniError where this plug-in does not speak it."""
    version = config.get("cniVersion", OLDEST) or OLDEST
    if version not in VERSIONS:
        raise CniError(
            INCOMPATIBLE_VERSION,
            "incompatible CNI versions",
            f'config is "{version}", plugin supports {", ".join(VERSIONS)}',
        )
    return version


def is_older(version: str, other: str) -> bool:
    """Whether one of VERSIONS is older than another."""
    return VERSIONS.index(version) < VERSIONS.index(other)


def read_call(environment: dict[str, str], raw: bytes) -> Call:
    """The call; raises CniError with what is wrong first, in the order of the specification."""
    command = environment.get("CNI_COMMAND", "")
    if command not in REQUIRED:
        raise CniError(INVALID_ENVIRONMENT, f'CNI_COMMAND: "{command}" is no command')
    missing = [name for name in REQUIRED[command] if not environment.get(name)]
    if missing:
        raise CniError(INVALID_ENVIRONMENT, f"required env variables [{','.join(missing)}] missing")
    # VERSION asks what is spoken here: whatever its input is, it is answered.
    config = _config(raw) if command != "VERSION" else {}
    version = version_of(config)
    if command in SINCE and is_older(version, SINCE[command]):
        raise CniError(INCOMPATIBLE_VERSION, f"config version {version} does not have {command}")
    if command != "VERSION":
        _check_shape(command, config)
    call = Call(
        command=command,
        container=environment.get("CNI_CONTAINERID", ""),
        netns=environment.get("CNI_NETNS", ""),
        interface=environment.get("CNI_IFNAME", ""),
        args=_args(environment.get("CNI_ARGS", "")),
        path=environment.get("CNI_PATH", ""),
        config=config,
        version=version,
    )
    _check(call)
    return call


def _check_shape(command: str, config: dict[str, Any]) -> None:
    keys = READ_BY_DEL if command == "DEL" else SHAPE
    try:
        shapes.check(config, {key: SHAPE[key] for key in keys})
    except shapes.Misfit as error:
        raise CniError(INVALID_CONFIG, str(error)) from None


def _check(call: Call) -> None:
    if call.command == "VERSION":
        return
    if not call.config.get("name"):
        raise CniError(INVALID_CONFIG, "name: missing network name")
    if not _IDENTITY.match(call.network):
        raise CniError(INVALID_CONFIG, f"name: invalid characters in network name {call.network}")
    if call.container and not _IDENTITY.match(call.container):
        raise CniError(INVALID_ENVIRONMENT, f"CNI_CONTAINERID: {call.container} is no id")
    if call.interface:
        try:
            check_name(call.interface)
        except BadRequest as error:
            raise CniError(INVALID_ENVIRONMENT, f"CNI_IFNAME: {error}") from None
