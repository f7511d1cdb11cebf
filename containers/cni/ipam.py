"""Address management, delegated to the plug-in that the configuration names (section 4)."""

import contextlib
import json
import os
from typing import Any, NamedTuple

from .. import shapes
from ..errors import Fault
from . import spawn
from .config import Call
from .errors import DECODING_FAILURE, FAILED, INVALID_CONFIG, Delegated, Refused
from .spawn import Done

# Seconds; a DHCP client may have to wait for its server.
PATIENCE = 60
# Commands that a plug-in of an older version does not know: it is not asked.
NEW = ("GC", "STATUS")

_ROUTES = [{"dst": shapes.Needed(str), "gw": str}]
_ONE = {"ip": shapes.Needed(str), "gateway": str, "routes": _ROUTES}
# What is read of an answer to ADD; ip4 and ip6 are in those of 0.1.0 and 0.2.0.
RESULT = {
    "ips": [{"address": shapes.Needed(str), "gateway": str}],
    "routes": _ROUTES,
    "dns": dict,
    "ip4": _ONE,
    "ip6": _ONE,
}


class Addresses(NamedTuple):
    """What the plug-in handed out."""

    ips: list[dict[str, Any]]  # address, gateway
    routes: list[dict[str, Any]]  # dst, gw
    dns: dict[str, Any]


def _program(call: Call, kind: str) -> str:
    if "/" in kind:
        raise Delegated(INVALID_CONFIG, f"ipam: {kind} is no name of a plug-in")
    for folder in filter(None, call.path.split(":")):
        path = os.path.join(folder, kind)
        if os.access(path, os.X_OK):
            return path
    raise Delegated(FAILED, f'failed to find plugin "{kind}" in path [{call.path}]')


def run(call: Call, command: str) -> dict[str, Any]:
    """Executes the IPAM plug-in, where there is one; returns what it printed.

    Raises Delegated with its error.
    """
    kind = call.mapping("ipam").get("type")
    if not kind:
        return {}
    environment = {**os.environ, "CNI_COMMAND": command}
    raw = json.dumps(call.config).encode()
    program = _program(call, kind)
    if command in NEW and not _speaks(program, call):
        return {}
    done = _execute(program, raw, environment)
    return _answer(kind, done)


def _speaks(program: str, call: Call) -> bool:
    """Whether the plug-in has the configuration's version; Debian 12's end at 1.0.0."""
    asked = json.dumps({"cniVersion": call.version}).encode()
    done = _execute(program, asked, {**os.environ, "CNI_COMMAND": "VERSION"})
    try:
        return call.version in json.loads(done.stdout)["supportedVersions"]
    except (ValueError, TypeError, KeyError):
        return False


def _execute(program: str, raw: bytes, environment: dict[str, str]) -> Done:
    try:
        return spawn.run(program, raw, environment, PATIENCE)
    except TimeoutError:
        raise Delegated(FAILED, f"{program}: no answer within {PATIENCE} seconds") from None
    except OSError as error:
        raise Delegated(FAILED, f"{program}: {error.strerror}") from None


def _answer(kind: str, done: Done) -> dict[str, Any]:
    try:
        found = json.loads(done.stdout) if done.stdout.strip() else {}
    except (ValueError, RecursionError):
        found = None
    if done.status:
        raise _refusal(found if isinstance(found, dict) else {}, done.stderr)
    if not isinstance(found, dict):
        raise Delegated(DECODING_FAILURE, f"{kind}: its answer is not a JSON object")
    return found


def _refusal(found: dict[str, Any], stderr: bytes) -> Refused:
    """The plug-in's error object as it is; what it wrote elsewhere, where it is none."""
    said = str(found.get("msg") or "") or stderr.decode(errors="replace").strip()[-300:]
    code = found.get("code")
    known = isinstance(code, int) and not isinstance(code, bool)
    return Refused(code if known else FAILED, said or "failed", str(found.get("details", "")))


@contextlib.contextmanager
def addresses(call: Call, left_over: bool = False):
    """Addresses for the container, none where the configuration has no "ipam".

    Where those that it may have already are `left_over`, by a call that was killed, a plug-in that
    refuses is asked again when it has them back.
    They are given back where the block ends with an exception, and where the plug-in has given some
    in words that cannot be read.
    """
    try:
        yield _addresses(_handed_out(call, left_over))
    except Refused:
        raise  # it has given none, and what another call of this name has is not to be given back
    except BaseException:
        with contextlib.suppress(Fault):
            run(call, "DEL")
        raise


def _handed_out(call: Call, left_over: bool) -> dict[str, Any]:
    try:
        return run(call, "ADD")
    except Refused:
        if not left_over:
            raise
    run(call, "DEL")
    return run(call, "ADD")


def _addresses(found: dict[str, Any]) -> Addresses:
    try:
        shapes.check(found, RESULT)
    except shapes.Misfit as error:
        raise Delegated(DECODING_FAILURE, f"the answer of the IPAM plug-in: {error}") from None
    if found.get("ips") is not None:
        return Addresses(found["ips"], found.get("routes") or [], found.get("dns") or {})
    return _of_version_0_2(found)


def _of_version_0_2(found: dict[str, Any]) -> Addresses:
    """The form of 0.1.0 and 0.2.0: one address of each family, with its routes."""
    made = Addresses([], [], found.get("dns") or {})
    for key in ("ip4", "ip6"):
        if part := found.get(key):
            made.ips.append({"address": part["ip"], "gateway": part.get("gateway")})
            made.routes.extend(part.get("routes") or [])
    return made
