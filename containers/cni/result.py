"""The result of ADD in the form of each version (section 5, "Success")."""

from typing import Any

from .config import Call, is_older
from .ipam import Addresses


def result(call: Call, interfaces: list[dict[str, Any]], given: Addresses) -> dict[str, Any]:
    """What ADD prints.  `interfaces`: the switch's end, then the container's."""
    if is_older(call.version, "0.3.0"):
        return _of_version_0_2(call, given)
    answer: dict[str, Any] = {"cniVersion": call.version, "interfaces": interfaces}
    inner = len(interfaces) - 1
    if given.ips:
        answer["ips"] = [_ip(call, each, inner) for each in given.ips]
    if given.routes:
        answer["routes"] = given.routes
    answer["dns"] = given.dns
    return answer


def _ip(call: Call, each: dict[str, Any], inner: int) -> dict[str, Any]:
    found = {key: each[key] for key in ("address", "gateway") if each.get(key)}
    found["interface"] = inner
    if is_older(call.version, "1.0.0"):
        found["version"] = "6" if ":" in each["address"] else "4"
    return found


def _of_version_0_2(call: Call, given: Addresses) -> dict[str, Any]:
    answer: dict[str, Any] = {"cniVersion": call.version, "dns": given.dns}
    for key, is_six in (("ip4", False), ("ip6", True)):
        mine = [each for each in given.ips if (":" in each["address"]) == is_six]
        if mine:
            routes = [each for each in given.routes if (":" in each["dst"]) == is_six]
            answer[key] = {"ip": mine[0]["address"], "routes": routes}
            if mine[0].get("gateway"):
                answer[key]["gateway"] = mine[0]["gateway"]
    return answer
