"""pyvs-docker-driver: the process that Docker calls for networks of the driver "pyvs"."""

import os
import sys

import ovs.vlog

from pyvs.process import daemon

from ..database import Database
from ..errors import Fault
from . import docker_api, watch
from .calls import restore
from .server import Server, driver_name
from .sweep import Sweep

vlog = ovs.vlog.Vlog("docker_driver")

PROGRAM = "pyvs-docker-driver"
# Docker finds a driver by the name of its socket.
SOCKET = "/run/docker/plugins/pyvs.sock"

USAGE = """{program}: networks of Docker on bridges of the switch
usage: {program} [OPTIONS]
Then: docker network create -d pyvs [-o bridge=BRIDGE] [-o vlan=N] [-o mode=nat|flat|l2] NAME

Options:
  --socket=PATH           where Docker finds the driver (default: /run/docker/plugins/pyvs.sock)
  --spec=PATH             write a file by which Docker finds the socket elsewhere, named after
                          the driver: /etc/docker/plugins/pyvs.spec
  --docker=PATH           Docker's own socket, asked what it has forgotten
                          (default: /var/run/docker.sock)
  --db=DATABASE           the switch's database (default: unix:{rundir}/db.sock)
"""


def run(argv: list[str] | None) -> int:
    rows = dict.fromkeys(("socket", "spec", "docker", "db"), daemon.REQUIRED)
    options, args = daemon.parse(PROGRAM, argv, rows, USAGE)
    if args:
        daemon.fatal("no arguments accepted; use --help for usage")
    path = os.path.abspath(daemon.last(options, "socket") or SOCKET)
    remote = daemon.last(options, "db")
    docker = daemon.last(options, "docker") or docker_api.SOCKET
    spec = daemon.last(options, "spec") and os.path.abspath(daemon.last(options, "spec"))
    sweep = Sweep(remote, docker, driver_name(spec or path))
    daemon.start()
    try:
        with Database(remote) as database:
            restore(database)
        server = Server(path, remote, spec)
    except Fault as error:
        daemon.fatal(str(error))
    except OSError as error:
        daemon.fatal(f"{error.filename or path}: {error.strerror}")
    sweep.start()
    watch.start(remote)
    control = daemon.unixctl_server(PROGRAM)
    daemon.ready()
    try:
        daemon.main_loop(control, [])
    finally:
        sweep.stop()
        server.close()
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the process with `argv` (without the program's name); returns the exit status."""
    return daemon.guard(lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
