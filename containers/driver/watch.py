"""Gateways that come back without their addresses get them again.

The datapath process makes internal ports: when it is killed, they are gone with it, and the next
one makes them anew, down and bare.
"""

import threading
import time

import ovs.vlog

from ..database import Database
from ..errors import Fault
from ..rtnetlink import downs
from . import calls, state

vlog = ovs.vlog.Vlog("docker_driver")

LATER = 1  # seconds until what failed is tried again


def start(remote: str | None) -> None:
    """From now on, in a thread of its own."""
    threading.Thread(target=_run, args=(remote,), daemon=True).start()


def _run(remote: str | None) -> None:
    while True:
        try:
            for device in downs():
                _restore(remote, device)
        except Exception as error:  # it goes on watching, and begins with a look at all
            vlog.warn(f"devices are not watched for {LATER} seconds: {error}")
        time.sleep(LATER)


def _restore(remote: str | None, device: str | None) -> None:
    if device is not None and not device.startswith(state.GATEWAY_PREFIX):
        return
    try:
        with Database(remote) as database:
            calls.restore_networks(database, device)
    except Fault as error:
        vlog.warn(f"{device or 'gateways'}: {error}")
    except Exception:
        vlog.exception("watch")
