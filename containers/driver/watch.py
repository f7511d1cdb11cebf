"""Gateways that come back without their addresses get them again.

The datapath process makes internal ports: when it is killed, they are gone with it, and the next
one makes them anew, down and bare.
"""

import threading

import ovs.vlog

from ..database import Database
from ..errors import Fault
from ..rtnetlink import downs
from . import calls, state

vlog = ovs.vlog.Vlog("docker_driver")


def start(remote: str | None) -> None:
    """From now on, in a thread of its own."""
    threading.Thread(target=_run, args=(remote,), daemon=True).start()


def _run(remote: str | None) -> None:
    for device in downs():
        if device is not None and not device.startswith(state.GATEWAY_PREFIX):
            continue
        try:
            with Database(remote) as database:
                calls.restore_networks(database, device)
        except Fault as error:
            vlog.warn(f"{device}: {error}")
        except Exception:  # it goes on watching
            vlog.exception("watch")
