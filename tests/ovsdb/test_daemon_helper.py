"""pyvs.process.daemon: options, start, pid files, crash and restart under --monitor."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyvs import coverage
from pyvs.process import daemon
from tests import processes

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

PROGRAM = """
import os, sys, time
import ovs.vlog
from pyvs.process import daemon
vlog = ovs.vlog.Vlog("crash")

class Crasher:
    asked = False

    def ask(self, _args):
        self.asked = True

    def run(self):
        if self.asked:
            raise SystemError("asked to crash")

    def wait(self, poller):
        if self.asked:
            poller.immediate_wake()

def broken(_args):
    raise KeyError("no good")

def run(argv):
    options, args = daemon.parse("pyvs-crash", argv, {"fail": daemon.NONE, "slow": daemon.NONE})
    daemon.start()
    if "slow" in options:
        os.write(2, b"slow")
        time.sleep(60)
    control = daemon.unixctl_server("pyvs-crash")
    daemon.offer_clock()
    if "fail" in options:
        daemon.fatal("told to fail")
    crasher = Crasher()
    daemon.command("crash", "", 0, 0, crasher.ask)
    daemon.command("broken", "", 0, 0, broken)
    daemon.command("abort", "", 0, 0, lambda _args: os.abort())
    daemon.ready()
    daemon.main_loop(control, [crasher])

sys.exit(daemon.guard(lambda: run(sys.argv[1:])))
"""


@pytest.fixture
def program(tmp_path):
    """A function that runs the little daemon with options, in a run directory of its own."""
    script = tmp_path / "crash.py"
    script.write_text(PROGRAM)
    rundir = tmp_path / "run"

    def run(*options, check=True):
        done = subprocess.run(
            [sys.executable, str(script), f"--rundir={rundir}", *options],
            capture_output=True,
            text=True,
            timeout=20,
            env={**os.environ, "PYTHONPATH": ROOT, "OVS_SYSLOG_METHOD": "null"},
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    run.rundir = rundir
    yield run
    processes.end(tmp_path)


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def pid_of(rundir):
    try:
        return int((rundir / "pyvs-crash.pid").read_text())
    except (OSError, ValueError):
        return 0


def call(rundir, command, *args):
    """Send a unixctl command; returns (error, result)."""
    import ovs.unixctl.client

    path = rundir / f"pyvs-crash.{pid_of(rundir)}.ctl"
    code, client = ovs.unixctl.client.UnixctlClient.create(str(path))
    if code:
        return f"connect: {os.strerror(code)}", None
    code, error, result = client.transact(command, list(args))
    client.close()
    return error or (errno.errorcode.get(code, str(code)) if code else None), result


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def test_options_in_both_gnu_forms():
    known = {"unixctl": daemon.REQUIRED, "pidfile": daemon.OPTIONAL, "detach": daemon.NONE}
    known["verbose"] = daemon.OPTIONAL
    parsed = daemon.split_options(
        ["db", "--unixctl", "a", "--unixctl=b", "--pid", "x", "-vinfo", "-v", "--", "--detach"],
        known,
        {"v": "verbose"},
    )
    assert parsed == (
        {"unixctl": ["a", "b"], "pidfile": [None], "verbose": ["info", None]},
        ["db", "x", "--detach"],
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--nonsense"], "unrecognized option '--nonsense'"),
        (["-z"], "invalid option -- 'z'"),
        (["--unixctl"], "option '--unixctl' requires an argument"),
        (["--detach=1"], "option '--detach' doesn't allow an argument"),
        (["--no"], "option '--no' is ambiguous"),
    ],
)
def test_wrong_options_exit_1(argv, message, capsys):
    with pytest.raises(SystemExit) as error:
        daemon.parse("pyvs-x", argv)
    assert error.value.code == 1
    assert message in capsys.readouterr().err


def test_detached_start_control_and_exit(program):
    program("--detach", "--pidfile", "--log-file")
    pid = pid_of(program.rundir)
    control = program.rundir / f"pyvs-crash.{pid}.ctl"
    assert control.stat().st_mode & 0o077 == 0
    error, version = call(program.rundir, "version")
    assert not error and "3.1.0" in version
    error, commands = call(program.rundir, "list-commands")
    for name in ("exit", "vlog/set", "vlog/list", "vlog/reopen", "vlog/close", "memory/show"):
        assert name in commands
    assert call(program.rundir, "coverage/read-counter", "nonesuch")[0]
    call(program.rundir, "exit")
    wait_for(lambda: not cmdline(pid))
    assert not control.exists()
    assert not (program.rundir / "pyvs-crash.pid").exists()


def test_a_log_file_that_is_rotated(program):
    """The new one is opened before the old one is closed, which stays where that fails."""
    program("--detach", "--pidfile", "--log-file")
    log, moved = program.rundir / "pyvs-crash.log", program.rundir / "pyvs-crash.log.1"
    assert call(program.rundir, "vlog/reopen") == (None, "")
    assert "closing log file" not in log.read_text()  # it is the same
    log.rename(moved)
    log.mkdir()
    error, _ = call(program.rundir, "vlog/reopen")
    assert error.startswith("Is a directory")
    assert f"failed to open {log} for logging: Is a directory" in moved.read_text()
    log.rmdir()
    assert call(program.rundir, "vlog/reopen") == (None, "")
    assert moved.read_text().splitlines()[-1].endswith("closing log file")
    assert f"opened log file {log}" in log.read_text()
    call(program.rundir, "vlog/close")
    call(program.rundir, "broken")
    assert "broken" not in log.read_text()
    assert call(program.rundir, "vlog/reopen") == (None, "")
    assert log.read_text().count("opened log file") == 2
    pid = pid_of(program.rundir)
    assert [os.readlink(each) for each in (Path("/proc") / str(pid) / "fd").iterdir()].count(
        str(log)
    ) == 1


def test_second_start_is_refused_and_stale_pid_file_replaced(program):
    program("--detach", "--pidfile")
    pid = pid_of(program.rundir)
    second = program("--detach", "--pidfile", check=False)
    assert second.returncode == 1
    assert f"already running as pid {pid}" in second.stderr
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not cmdline(pid))
    program("--detach", "--pidfile")
    assert pid_of(program.rundir) != pid


def test_failure_before_ready_reaches_the_caller(program):
    done = program("--detach", "--pidfile", "--monitor", "--fail", check=False)
    assert done.returncode == 1
    assert "told to fail" in done.stderr
    assert not (program.rundir / "pyvs-crash.pid").exists()


@pytest.mark.parametrize("options", [(), ("--monitor",)])
def test_who_is_ended_while_it_starts_takes_its_children_along(program, options):
    """Until the daemon serves, the program that was started is who there is to end."""
    command = [sys.executable, program.rundir.parent / "crash.py", f"--rundir={program.rundir}"]
    environment = {**os.environ, "PYTHONPATH": ROOT, "OVS_SYSLOG_METHOD": "null"}
    start = subprocess.Popen(
        [*command, "--detach", "--pidfile", "--slow", *options],
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert start.stderr.read(4) == b"slow"
    start.terminate()
    assert start.wait(10) != 0
    assert not list(processes.of_directory(program.rundir))


def test_monitor_restarts_a_crashed_child(program):
    program("--detach", "--pidfile", "--monitor", "--log-file")
    first = pid_of(program.rundir)
    call(program.rundir, "abort")
    wait_for(lambda: pid_of(program.rundir) not in (0, first))
    wait_for(lambda: call(program.rundir, "version")[0] is None)
    assert "restarting" in (program.rundir / "pyvs-crash.log").read_text()


def test_a_fault_in_a_module_is_contained(program):
    """It is logged with its traceback, not without limit, and counted; the rest goes on."""
    program("--detach", "--pidfile", "--log-file")
    first = pid_of(program.rundir)
    call(program.rundir, "crash")

    def faults():
        return int(call(program.rundir, "coverage/read-counter", "fault_main_loop")[1])

    wait_for(lambda: faults() > 100)  # each turn of the module ends so
    assert pid_of(program.rundir) == first
    assert call(program.rundir, "version")[0] is None
    assert int(call(program.rundir, "coverage/read-counter", "fault_contained")[1]) >= 100
    log = (program.rundir / "pyvs-crash.log").read_text()
    assert 1 <= log.count("SystemError: asked to crash") <= 10
    assert "main loop Crasher: unexpected error, contained" in log


def test_monitor_restarts_a_killed_child_however_often(program):
    """SIGKILL is what the kernel does when memory runs out; also in the middle of a start."""
    program("--detach", "--pidfile", "--monitor", "--log-file")
    killed = set()
    for _ in range(3):
        wait_for(lambda: pid_of(program.rundir) not in killed | {0})
        killed.add(pid_of(program.rundir))
        os.kill(pid_of(program.rundir), signal.SIGKILL)
    wait_for(lambda: pid_of(program.rundir) not in killed | {0})
    wait_for(lambda: call(program.rundir, "version")[0] is None)
    left = [path.name for path in program.rundir.glob("*.ctl")]
    assert left == [f"pyvs-crash.{pid_of(program.rundir)}.ctl"]
    log = (program.rundir / "pyvs-crash.log").read_text()
    assert "killed (SIGKILL), restarting" in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_monitor_and_child(program, number):
    program("--detach", "--pidfile", "--monitor")
    child = pid_of(program.rundir)
    monitor = parent_of(child)
    os.kill(monitor, number)
    wait_for(lambda: not cmdline(child) and not cmdline(monitor))
    assert not list(program.rundir.glob("*.pid"))


def test_a_broken_command_does_not_end_the_daemon(program):
    program("--detach", "--pidfile", "--log-file")
    error, _reply = call(program.rundir, "broken")
    assert error == "broken: internal error (KeyError: 'no good')\n"
    assert call(program.rundir, "version")[0] is None
    assert "Traceback" in (program.rundir / "pyvs-crash.log").read_text()


def test_log_lines(program):
    """Serial numbers from 00001, milliseconds with three digits, no spaces: as ovs' logs."""
    program("--detach", "--pidfile", "--log-file", "-vPATTERN:file:%D{%S.###}|%05N|%c|%-6p|%m%%")
    call(program.rundir, "broken")
    second = (program.rundir / "pyvs-crash.log").read_text().splitlines()[1]
    assert re.fullmatch(r"\d\d\.\d{3}\|00002\|containment\|ERR   \|unixctl command.*", second)
    assert call(program.rundir, "vlog/list")[1].splitlines()[0].split() == [
        "console", "syslog", "file"
    ]  # fmt: skip
    assert "FILE     none" in call(program.rundir, "vlog/list-pattern")[1]
    assert call(program.rundir, "vlog/set", "containment:file:off")[0] is None
    assert re.search(r"containment +OFF +INFO +OFF", call(program.rundir, "vlog/list")[1])
    assert "no destination" in call(program.rundir, "vlog/set", "nonsense")[0]


def test_time_stands_still_and_is_warped(program):
    program("--detach", "--pidfile")
    assert call(program.rundir, "time/stop")[0] is None
    assert call(program.rundir, "time/warp", "1000") == (None, "warped\n")
    assert call(program.rundir, "time/warp", "10000", "100") == (None, "warped\n")
    assert "invalid" in call(program.rundir, "time/warp", "x")[0]


def test_kill_of_monitor_and_child_leaves_no_trouble(program):
    program("--detach", "--pidfile", "--monitor")
    child = pid_of(program.rundir)
    monitor = parent_of(child)
    assert b"crash.py" in cmdline(monitor)
    os.kill(monitor, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    wait_for(lambda: not cmdline(child))
    program("--detach", "--pidfile", "--monitor")
    assert call(program.rundir, "version")[0] is None


def test_poller_has_no_descriptor_limit():
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip("the limit of open files is too low")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    reader, writer = os.pipe()
    high = os.dup2(reader, 1100)
    try:
        os.write(writer, b"x")
        poller = daemon.Poller()
        poller.fd_wait(high, 1)
        assert poller.block() == [(high, 1)]
    finally:
        for fd in (reader, writer, high):
            os.close(fd)


def test_coverage_rates_and_memory():
    counter = coverage.counter("test_event")
    coverage.tick(now=1e9)
    counter.count += 10
    coverage.tick(now=1e9 + 5)
    assert counter.rate(1) == 2.0
    assert "test_event" in coverage.show()
    coverage.memory_reporter(lambda: {"zebras": 2})
    coverage.memory_reporter(lambda: {"zebras": 1, "ants": 5})
    assert "ants:5" in coverage.memory() and "zebras:3" in coverage.memory()
