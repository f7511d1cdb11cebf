"""What the database tells of the host: Open_vSwitch's statistics, and where tunnels leave it."""

import io
import os
import threading
import time

import pytest

from pyvs import rundir
from tests.daemons import wait_until
from vswitchd import host_statistics


def numbers(text):
    return [int(each) for each in text.split(",")]


def test_what_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(rundir, "rundir", lambda: str(tmp_path))
    for name, text in (("me", f"{os.getpid()}\n"), ("gone", "999999999\n"), ("none", "x")):
        (tmp_path / f"{name}.pid").write_text(text)
    with open(os.fsencode(tmp_path) + b"/\xff.pid", "w") as file:  # which no column can have
        file.write(str(os.getpid()))
    told = host_statistics.collect()
    assert [name for name in told if name.startswith("process_")] == ["process_me"]
    size, resident, cpu, crashes, since, running, threads = numbers(told["process_me"])
    assert size > resident > 1000 and threads >= 1 and crashes == 0 and since == running
    assert abs(cpu - time.process_time() * 1000) < 500
    total, used, cache, swap, swapped = numbers(told["memory"])
    assert total > used > 0 and total > cache >= 0 and swap >= swapped
    assert int(told["cpu"]) == os.cpu_count()
    for each in told.get("file_systems", "").split():
        _point, size, used = each.split(",")
        assert int(size) >= int(used)


def test_a_fault_leaves_nothing_told(monkeypatch):
    host = host_statistics.HostStatistics()
    host.told = {"cpu": "2"}
    monkeypatch.setattr(host_statistics, "collect", lambda: 1 / 0)
    host.get(True)
    wait_until(lambda: not host.told, what="the end of the reading")


def test_names_of_file_systems(monkeypatch):
    """As /proc/mounts has them: octal numbers of blanks, and any bytes."""
    lines = (
        b"/dev/a /a\\040b rw 0 0\n/dev/b /\xc3\xa9 rw 0 0\n/dev/c /\xff rw 0 0\nx:/y /z rw 0 0\n"
    )
    asked = []

    def statvfs(path):
        asked.append(path)
        return os.statvfs_result((1024, 1024, 100, 40, 40, 0, 0, 0, 0, 255))

    monkeypatch.setattr(host_statistics, "open", lambda *_how: io.BytesIO(lines), raising=False)
    monkeypatch.setattr(host_statistics.os, "statvfs", statvfs)
    assert [*host_statistics._file_systems()] == ["/a\\040b,100,60", "/é,100,60"]
    assert asked == [b"/a b", "/é".encode()]


def test_what_is_read_too_late_is_not_told(monkeypatch):
    gate = threading.Event()
    host = host_statistics.HostStatistics()
    monkeypatch.setattr(host_statistics, "collect", lambda: gate.wait(10) and {"cpu": "2"})
    assert host.get(True) == {} and host.get(False) == {}
    gate.set()
    wait_until(lambda: not host._thread.is_alive(), what="the end of the reading")
    assert host.told == {}


@pytest.mark.system
def test_the_columns(switch):
    def statistics():
        return switch.vsctl("get", "open", ".", "statistics")

    switch.host.run("ip", "link", "set", "lo", "up")
    tunnel = "set interface t0 type=vxlan options:remote_ip=127.0.0.2"
    switch.vsctl(*f"add-br br0 -- add-port br0 t0 -- {tunnel}".split())
    wait_until(
        lambda: (
            "tunnel_egress_iface=lo, tunnel_egress_iface_carrier=up"
            in switch.vsctl("get", "interface", "t0", "status")
        ),
        what="the tunnel's device",
    )
    assert statistics().strip() == "{}"
    switch.vsctl("set", "open", ".", "other_config:enable-statistics=true")
    wait_until(lambda: "process_pyvs-vswitchd" in statistics(), seconds=20, what="statistics")
    switch.vsctl("set", "open", ".", "other_config:enable-statistics=false")
    wait_until(lambda: statistics().strip() == "{}", seconds=20, what="no statistics")
