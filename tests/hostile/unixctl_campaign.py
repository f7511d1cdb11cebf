"""unixctl, the control sockets: commands that there are, with arguments that there cannot be.

Against pyvs-ovsdb-server; the code of the socket is the same in all daemons, the commands of the
others join in where the campaigns of these daemons run.
"""

import os
import socket
import tempfile

from tests import daemons
from tests.hostile.campaign import Campaign, SwitchCampaign
from tests.hostile.control import call
from tests.hostile.json_values import COUNTS, LIMITS, TEXTS, hostile_value, mutate, text
from tests.hostile.ovsdb_campaign import SMALL, converse
from tests.ovsdb.ovsdb_world import Daemon

# Commands that end the daemon, stop its clock or take away what the bystander needs, because
# their user wants that.
SPARED = {
    "exit",
    "time/stop",
    "time/warp",
    "ovsdb-server/remove-db",
    "ovsdb-server/remove-remote",
    "ovsdb-server/reconnect",
    "ovsdb-server/disable-monitor-cond",
    "ovsdb-server/connect-active-ovsdb-server",
    "vlog/set",
    "vlog/set-pattern",
}
WORDS = ("Small", "Small:T", "on", "off", "br0", "1", "-1", "0x7fffffff", "tcp:127.0.0.1:1", "-m",
         "²", "9" * 5000)  # fmt: skip
BUILT_IN = "netdev@pyvs"  # the datapath of the bridges
FIFO = "fifo"  # beside the control sockets


def commands(path):
    """The names of a daemon's commands that may be tried."""
    lines = call(path, "list-commands").splitlines()[1:]
    return [name for name in (line.split()[0] for line in lines) if name not in SPARED]


def listens(path):
    """The file is there a moment earlier."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(path) == 0


def message(rng, names, number, files):
    params = [
        rng.choice(
            (rng.choice((*WORDS, *files)), rng.choice(TEXTS), str(rng.choice(LIMITS)), "x" * 3000)
        )
        for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 100)))
    ]
    identity = rng.choice((number, number, None, hostile_value(rng)))
    made = {"method": rng.choice(names), "params": params, "id": identity}
    changed = mutate(rng, made) if rng.random() < 0.5 else made
    if str(changed.get("method")) in SPARED:
        return b"{}"
    return text(rng, changed)


def attack(rng, path, names):
    """One conversation with a control socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(path)
        files = os.path.join(os.path.dirname(path), FIFO), "/dev/zero", "/bin/sh", "/"
        count = rng.choice((1, 1, 3, 10))
        messages = [message(rng, names, number, files) for number in range(count)]
        if rng.random() < 0.1:
            messages = messages[:1] * rng.choice(COUNTS)
        converse(rng, sock, messages)


class UnixctlCampaign(Campaign):
    """The control socket of a daemon."""

    name = "unixctl"

    def __enter__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="pyvs-hostile-")
        os.mkfifo(f"{self._directory.name}/{FIFO}")
        self._server = Daemon("pyvs", self._directory.name, SMALL)
        self._path = f"{self._directory.name}/pyvs.ctl"
        daemons.wait_until(lambda: listens(self._path), what="the control socket")
        self._names = commands(self._path)
        return self

    def __exit__(self, *exc):
        self._server.kill()
        self._directory.cleanup()

    def pids(self):
        return {"pyvs-ovsdb-server": self._server.process.pid}

    def controls(self):
        return [self._path]

    def logs(self):
        return self._server.log

    def bystander(self):
        def probe():
            assert "pyvs" in call(self._path, "version")

        return probe

    def attack(self, rng):
        attack(rng, self._path, self._names)


class SwitchUnixctlCampaign(SwitchCampaign):
    """The control sockets of all three daemons, with the commands that each of them has."""

    name = "switch-unixctl"

    def __enter__(self):
        self._switch = daemons.Switch()
        try:
            self._switch.start(vswitchd=["--enable-dummy"])
            self._switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy")
            directory = self._switch.directory
            os.mkfifo(directory / FIFO)
            self._paths = [
                str(directory / f"{name}.{self._switch.pid(name)}.ctl") for name in daemons.DAEMONS
            ]
            self._names = {path: commands(path) for path in self._paths}
        except BaseException:
            self._switch.close()
            raise
        return self

    def __exit__(self, *exc):
        self._switch.close()

    def bystander(self):
        def probe():
            for path in self._paths:
                assert "pyvs" in call(path, "version")

        return probe

    def tidy(self):
        """Datapaths that dpctl/add-dp made."""
        for name in self._switch.dpctl("dump-dps").split():
            if name != BUILT_IN:
                self._switch.dpctl("del-dp", name)

    def attack(self, rng):
        path = rng.choice(self._paths)
        attack(rng, path, self._names[path])
