"""`pyvs-ctl start`: what does not run yet is started, in order, or nothing stays of the attempt."""

import contextlib
import os
import subprocess
import time

from pyvs import identity, rundir
from pyvs.process import instance
from pyvs_tools.command import Fatal
from pyvs_tools.ovs_names import program_path

from .database import prepare_database
from .described import initialize
from .running import DATAPATH, OVSDB_SERVER, VSWITCHD, head, running
from .stop import stop

_START_SECONDS = 20  # somebody else may take to start a daemon


def _settled(name):
    """As running(), once nobody is about to start it."""
    deadline = time.monotonic() + _START_SECONDS
    while not running(name) and (starter := head(name)) is not None:
        if time.monotonic() > deadline:
            raise Fatal(f"{name}: pid {starter} has been starting it for {_START_SECONDS} s")
        time.sleep(0.05)
    return running(name)


def _make_directory(path):
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise Fatal(f"cannot make directory {path}: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise Fatal(f"directory {path} is not writable (try --rundir=DIR)")


class _Start:
    """A daemon that is being started; --detach makes its command end when it is ready."""

    def __init__(self, name, options, *arguments):
        self.name = name
        self.log = os.path.join(rundir.logdir(), name + ".log")
        command = [
            program_path(name),
            f"--rundir={rundir.rundir()}",
            "--detach",
            "--no-chdir",
            "--pidfile",
            f"--log-file={self.log}",
            "-vconsole:off",
            *([] if "no-monitor" in options else ["--monitor"]),
            *([f"--user={options.get('ovs-user')}"] if "ovs-user" in options else []),
            *arguments,
        ]
        environment = {
            **identity.child_environment(),
            identity.variable("RUNDIR"): rundir.rundir(),
            identity.variable("DBDIR"): rundir.dbdir(),
            identity.variable("LOGDIR"): rundir.logdir(),
        }
        lock = instance.take(rundir.path(f"{name}.pid"))
        if lock is None:
            raise Fatal(f"{name} is being started by another command")
        # Its messages must not keep our own pipe open when it has gone to the background.
        self._errors = open(self.log + ".start", "w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            env=environment | lock.environment(),
            pass_fds=(lock.fd,),
        )
        lock.tell(self._process.pid)
        lock.close()

    def finish(self):
        """Waits until the daemon is ready.  Raises Fatal if it failed.  Idempotent."""
        status = self._process.wait()
        if not self._errors.closed:
            self._errors.seek(0)
            self._text = self._errors.read().strip()
            self._errors.close()
            os.unlink(self.log + ".start")
        if status or not running(self.name):
            reason = self._text or f"exit status {status}"
            raise Fatal(f"{self.name} did not start: {reason} (log: {self.log})")


def run_start(options):
    for path in (rundir.rundir(), rundir.dbdir(), rundir.logdir()):
        _make_directory(path)
    starts = []
    try:
        _start_all(options, starts)
    except BaseException:
        _take_back(starts)
        raise
    _print_where(options)
    return 0


# The certificates of `vsctl set-ssl` are the database server's too, as for ovs-ctl.
_TLS_OPTIONS = (
    "--private-key=db:Open_vSwitch,SSL,private_key",
    "--certificate=db:Open_vSwitch,SSL,certificate",
    "--bootstrap-ca-cert=db:Open_vSwitch,SSL,ca_cert",
)


def _start_all(options, starts):
    """`starts` gets a _Start for each daemon that was not running."""
    server_was_up = _settled(OVSDB_SERVER)
    if OVSDB_SERVER not in options.skip and not server_was_up:
        prepare_database(options)
        remotes = [f"--remote={remote}" for remote in options.all("remote")]
        starts.append(
            _Start(
                OVSDB_SERVER,
                options,
                options.db_file(),
                f"--remote=punix:{rundir.db_sock()}",
                "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
                *_TLS_OPTIONS,
                *remotes,
            )
        )
    if DATAPATH not in options.skip and not _settled(DATAPATH):
        starts.append(_Start(DATAPATH, options))
    for start in starts:
        start.finish()
    if OVSDB_SERVER not in options.skip and not server_was_up:
        initialize(options)
    if VSWITCHD not in options.skip and not _settled(VSWITCHD):
        starts.append(_Start(VSWITCHD, options, options.db_remote()))
        starts[-1].finish()


def _take_back(starts):
    """A start that fails leaves nothing that it started, and all that was running before."""
    for start in reversed(starts):
        with contextlib.suppress(Fatal):
            start.finish()
        with contextlib.suppress(Fatal):
            stop(start.name)


def _print_where(options):
    for name in (OVSDB_SERVER, DATAPATH, VSWITCHD):
        pid = running(name)
        if pid:
            print(f"{name} is running with pid {pid}")
    print(f"run directory: {rundir.rundir()}")
    file = f"{options.db_file()} " if "db" not in options else ""
    print(f"database: {file}({options.db_remote()})")
    print(f"logs: {rundir.logdir()}")
