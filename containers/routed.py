"""Networks of podman's in mode nat: a gateway, the way out, and published ports, as Docker's
networks of that mode have them (driver/).

A network has them as long as it has containers: netavark's plug-ins are not told when one is
created for good, or deleted.  What is there is kept in the external_ids of the bridge, and each
call deletes what containers left that ended without a teardown: with the host, or a killed podman.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable

from pyvs import rundir

from . import endpoint
from .database import Database
from .driver import gateway, nat, published, state
from .driver.published import Binding
from .errors import Fault, NotThere

# One call at a time, of all processes: rules are written from what the database says.
LOCK = "pyvs-netavark.lock"
# Seconds that a call waits for those before it, of which each has bounds of its own; and between
# two looks.
PATIENCE, PAUSE = 120, 0.01


@contextlib.contextmanager
def _alone():
    file = os.open(rundir.path(LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        _lock(file)
        yield
    finally:
        os.close(file)


def _lock(file: int) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise Fault(f"another call has not ended for {PATIENCE} seconds") from None
            time.sleep(PAUSE)
        else:
            return


def attach(
    database: Database,
    network: state.Network,
    wanted: state.Endpoint,
    bindings: list[Binding],
    check_new: Callable[[], None],
    plug: Callable[[], str],
) -> str:
    """Connects a container by plug(), whose value is returned; all of it or nothing.  What
    check_new() refuses is another call's, and stays as it is.

    The endpoint's id is its port's name.
    """
    with _alone():
        _forget_dead(database, network.owner)
        if not database.has_bridge(network.bridge):
            raise Fault(f"no bridge named {network.bridge}")
        check_new()
        wanted.port_map = published.with_host_ports(
            bindings, _taken(database, wanted.container), programs=False
        )
        try:
            state.keep(database, network.bridge, network)
            state.keep(database, network.bridge, wanted)
            gateway.ensure(database, network)
            nat.write(network, state.endpoints(database, network.id))
            gateway.route_loopback(network)
            return plug()  # last: where the port is there, all of it is
        except BaseException:
            _take_away(database, network, wanted.id)
            raise


def detach(database: Database, network: state.Network, name: str) -> None:
    """Takes away the port of that name and what it has; what is not there does not count."""
    with _alone():
        _take_away(database, network, name)


def _take_away(database: Database, network: state.Network, name: str) -> None:
    endpoint.detach(database, name)
    with contextlib.suppress(NotThere):
        state.forget(database, network.bridge, state.endpoint(database, name))
    _tidy(database, network)


def _tidy(database: Database, network: state.Network) -> None:
    """The rules of the endpoints that are left; with the last one goes the network."""
    if left := state.endpoints(database, network.id):
        nat.write(network, left)
        return
    nat.remove(network)
    gateway.remove(database, network)
    state.forget(database, network.bridge, network)


def _forget_dead(database: Database, owner: str) -> None:
    for network in state.networks(database):
        if network.owner != owner:
            continue
        found = state.endpoints(database, network.id)
        dead = [each for each in found if not endpoint.is_connected(each.id)]
        for each in dead:
            endpoint.detach(database, each.id)
            state.forget(database, network.bridge, each)
        if dead or not found:
            _tidy(database, network)


def _taken(database: Database, container: str) -> list[published.Place]:
    """The host's ports that lead to other containers: of several networks that a container is in,
    each has all of its ports."""
    others = [each for each in state.all_endpoints(database) if each.container != container]
    return [place for each in others for place in published.places(each.port_map)]
