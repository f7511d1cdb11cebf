"""What a runtime tells the plug-in: the environment, and the network configuration on stdin.

The keys are those of the specification, and of ovs-cni, whose configurations work here unchanged.
"""

import json
import re
from typing import Any, NamedTuple

from ..endpoint import check_name
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
# Specification, "Parameters": what a container's id may look like.
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
MAX_TRUNKS = 4096


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

    def text(self, key: str) -> str | None:
        """A string of the configuration."""
        return self._typed(key, str, "a string")

    def number(self, key: str, least: int, most: int) -> int | None:
        """An integer of the configuration; raises CniError where it is out of range."""
        value = self._typed(key, int, "a number")
        if value is not None and not least <= value <= most:
            raise CniError(INVALID_CONFIG, f"{key}: {value} is not in the range {least} to {most}")
        return value

    def mapping(self, key: str) -> dict:
        """An object of the configuration; {} where it is not there."""
        return self._typed(key, dict, "an object") or {}

    def _typed(self, key: str, kind: type, name: str):
        value = self.config.get(key)
        if value is None:
            return None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise CniError(INVALID_CONFIG, f"{key}: not {name}")
        return value

    def trunks(self) -> tuple[int, ...]:
        """The VLANs of "trunk": [{"id": N} or {"minID": N, "maxID": M}, …]."""
        found: set[int] = set()
        for each in self.config.get("trunk") or ():
            if not isinstance(each, dict):
                raise CniError(INVALID_CONFIG, "trunk: not a list of objects")
            first = each.get("id", each.get("minID"))
            last = each.get("id", each.get("maxID"))
            valid = all(isinstance(number, int) and 0 <= number <= 4095 for number in (first, last))
            if not valid or first > last:
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
    config = _config(raw)
    version = version_of(config)
    if command in SINCE and is_older(version, SINCE[command]):
        raise CniError(INCOMPATIBLE_VERSION, f"config version {version} does not have {command}")
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


def _check(call: Call) -> None:
    if call.command == "VERSION":
        return
    if not call.text("name"):
        raise CniError(INVALID_CONFIG, "name: missing network name")
    if call.container and not _CONTAINER.match(call.container):
        raise CniError(INVALID_ENVIRONMENT, f"CNI_CONTAINERID: {call.container} is no id")
    if call.interface:
        try:
            check_name(call.interface)
        except BadRequest as error:
            raise CniError(INVALID_ENVIRONMENT, f"CNI_IFNAME: {error}") from None
