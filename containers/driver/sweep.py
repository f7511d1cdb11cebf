"""What Docker has forgotten goes: networks and endpoints that it made and, killed before it wrote
them down, does not know, and what of them it could not take away while this driver was dead.

Docker writes down an endpoint just after the driver has made it; so one counts as forgotten when
it was missing in two looks in a row, or is missing though it was joined, and is in no container.
While Docker does not answer nothing is decided: containers may run without it (live-restore).
"""

import threading

import ovs.vlog

from ..database import Database
from ..errors import Fault, Unavailable
from . import calls, docker_api, state

vlog = ovs.vlog.Vlog("docker_driver")

INTERVAL = 15  # seconds between two looks


class Sweep:
    """Looks, and remembers what was missing the last time."""

    def __init__(self, remote: str | None, docker: str, driver: str):
        self._remote = remote
        self._docker = docker
        self._driver = driver
        self._missing: set[tuple[str, str]] = set()
        self._over = threading.Event()

    def start(self) -> None:
        """From now on, in a thread of its own."""
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        self._over.set()

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Unavailable as error:
                vlog.dbg(f"sweep: {error}")
            except Exception:  # it goes on looking
                vlog.exception("sweep")
            if self._over.wait(INTERVAL):
                return

    def look(self) -> None:
        """One look; what was missing in the last one, too, is deleted."""
        with Database(self._remote) as database:
            # In this order: what Docker makes between the two is not taken for unknown.
            kept = _kept(database, self._driver)
            joined = {("endpoint", each) for each in calls.put_back(database)}
            known = docker_api.endpoints_of_networks(self._docker, self._driver)
            everything = {("network", each) for each in known}
            everything.update(("endpoint", each) for each in set().union(*known.values()))
            missing = kept - everything
            forgotten = sorted(missing & (self._missing | joined))  # endpoints before networks
            self._missing = missing
            for kind, identity in forgotten:
                try:
                    _delete(database, kind, identity)
                except (Fault, OSError) as error:
                    vlog.warn(f"{kind} {identity}: {error}")


def _kept(database: Database, driver: str) -> set[tuple[str, str]]:
    """All that the database has of this driver, ports without an endpoint among them."""
    networks = state.networks(database)
    found = {("network", each.id) for each in networks if each.driver == driver}
    others = {each.id for each in networks if each.driver != driver}
    of_ports = calls.networks_of_ports(database)
    for identity, network in (*of_ports.items(), *state.endpoint_networks(database).items()):
        if network not in others:
            found.add(("endpoint", identity))
    return found


def _delete(database: Database, kind: str, identity: str) -> None:
    vlog.info(f"{kind} {identity} is not Docker's any more: deleted")
    if kind == "network":
        calls.delete_network(database, {"NetworkID": identity})
    else:
        calls.forget_endpoint(database, identity)
