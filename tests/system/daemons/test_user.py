"""--user: the daemons as somebody else, with the capabilities that their work needs."""

import os
import pwd
import subprocess
import sys

import pytest

from ovsdb.storage import files
from tests.daemons import DAEMONS, DATAPATH, OVSDB_SERVER, VSWITCHD, CommandFailed, Namespace

USER = "nobody"
NET_BIND_SERVICE, NET_BROADCAST, NET_ADMIN, NET_RAW, IPC_LOCK = (1 << n for n in range(10, 15))
ALWAYS = NET_BIND_SERVICE | IPC_LOCK
NETWORK = ALWAYS | NET_BROADCAST | NET_ADMIN | NET_RAW


def _reachable():
    """Whether that user may run this Python."""
    command = [sys.executable, "-c", "import ovs"]
    try:
        done = subprocess.run(command, capture_output=True, cwd="/", user=USER, extra_groups=[])
    except OSError:
        return False
    return done.returncode == 0


pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else"),
]


@pytest.fixture
def switch(switch_daemons):
    """Not started; its directory is the user's."""
    made = switch_daemons
    made.host = Namespace()
    files.create(str(made.directory / "conf.db"), files.load_schema(files.SWITCH_SCHEMA))
    entry = pwd.getpwnam(USER)
    for path in (made.directory, *made.directory.iterdir()):
        os.chown(path, entry.pw_uid, entry.pw_gid)
    return made


def status(pid):
    """User, group and effective capabilities of a process."""
    with open(f"/proc/{pid}/status") as file:
        found = dict(line.rstrip().split(":\t", 1) for line in file if ":\t" in line)
    users, groups = ({int(n) for n in found[key].split()} for key in ("Uid", "Gid"))
    return users, groups, int(found["CapEff"], 16), found["Groups"].split()


def test_rights_of_the_daemons(switch):
    entry = pwd.getpwnam(USER)
    remote = f"--remote=punix:{switch.directory}/db.sock"
    switch.start_daemon(OVSDB_SERVER, str(switch.directory / "conf.db"), remote, f"--user={USER}")
    switch.start_daemon(DATAPATH, f"--user={USER}:")
    for name, capabilities in ((OVSDB_SERVER, ALWAYS), (DATAPATH, NETWORK)):
        users, groups, effective, more = status(switch.pid(name))
        assert users == {entry.pw_uid} and groups == {entry.pw_gid}
        assert effective == capabilities
        assert "0" not in more
    assert os.stat(switch.directory / f"{OVSDB_SERVER}.log").st_uid == entry.pw_uid


@pytest.mark.skipif(not _reachable(), reason=f"{USER} may not run this Python")
def test_a_switch_without_root(switch):
    remote = f"--remote=punix:{switch.directory}/db.sock"
    switch.start_daemon(OVSDB_SERVER, str(switch.directory / "conf.db"), remote, f"--user={USER}")
    switch.vsctl("--no-wait", "init")
    switch.start_daemon(VSWITCHD, f"--user={USER}")
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    assert one.ping("10.0.0.2") == 3
    for name in DAEMONS:
        assert status(switch.pid(name))[0] == {pwd.getpwnam(USER).pw_uid}


@pytest.mark.parametrize("user", ["no-such-user", "nobody:no-such-group"])
def test_nobody_of_that_name(switch, user):
    with pytest.raises(CommandFailed, match="Invalid --user option"):
        switch.start_daemon(DATAPATH, f"--user={user}")
