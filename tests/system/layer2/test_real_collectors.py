"""NetFlow, IPFIX and sFlow of real traffic, read by nfdump's collectors and pmacct's."""

import csv
import os
import shutil
import signal
import subprocess

import pytest

from tests.daemons import wait_until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        any(shutil.which(name) is None for name in ("nfcapd", "sfcapd", "nfdump", "nfacctd")),
        reason="nfdump, nfdump-sflow or pmacct is not installed",
    ),
]

PINGS, SIZE = 2000, 98  # packets each way; bytes of their frames, as Open vSwitch counts
SAMPLING = 10
# Five standard deviations of what samples say of all packets, both ways.
ERROR = 5 * (2 * PINGS * (SAMPLING - 1)) ** 0.5
NFACCTD = """\
daemonize: false
nfacctd_ip: 127.0.0.1
nfacctd_port: 4739
plugins: print
aggregate: src_host, proto
print_output: csv
print_refresh_time: 1
print_output_file: {file}
print_output_file_append: true
"""
EXPORTERS = (
    "-- set bridge br0 netflow=@n sflow=@s ipfix=@i"
    ' -- --id=@n create netflow targets="127.0.0.1:2055" active_timeout=1'
    f' -- --id=@s create sflow targets="127.0.0.1:6343" sampling={SAMPLING} polling=1 agent=lo'
    ' -- --id=@i create ipfix targets="127.0.0.1:4739" sampling=1 cache_active_timeout=1'
    " other_config:enable-output-sampling=false"
)


class Capture:
    """nfcapd or sfcapd, whose file is there once it has ended."""

    def __init__(self, switch, program, port):
        self._directory = switch.directory / program
        self._directory.mkdir()
        words = (program, "-w", str(self._directory), "-b", "127.0.0.1", "-p", str(port))
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = switch.host.popen(*words, **quiet)
        wait_until(lambda: f":{port} " in switch.host.run("ss", "-Hlun"), what=program)

    def end(self):
        self._process.terminate()
        self._process.wait(20)

    def packets(self):
        """Source -> (packets, bytes) of ICMP, times what each sample stands for."""
        command = ["nfdump", "-q", "-N", "-R", str(self._directory), "-A", "srcip"]
        command += ["-o", "fmt:%sa,%pkt,%byt", "proto icmp"]
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        rows = (line.split(",") for line in told.stdout.splitlines() if line.count(",") == 2)
        return {sa.strip(): (int(packets), int(octets)) for sa, packets, octets in rows}


def accounted(file):
    """What nfacctd has written: source -> packets of ICMP."""
    found = {}
    for row in csv.DictReader(file.read_text().splitlines() if file.exists() else ()):
        if row["PROTOCOL"] == "icmp":
            found[row["SRC_IP"]] = found.get(row["SRC_IP"], 0) + int(row["PACKETS"])
    return found


def test_counts(switch):
    switch.vsctl("add-br", "br0")
    ends = [switch.container(f"c{n}", f"10.0.0.{n}/24") for n in (1, 2)]
    for end in ends:
        switch.vsctl("add-port", "br0", end.port)
    netflow, sflow = Capture(switch, "nfcapd", 2055), Capture(switch, "sfcapd", 6343)
    file, config = switch.directory / "accounted.csv", switch.directory / "nfacctd.conf"
    config.write_text(NFACCTD.format(file=file))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    nfacctd = switch.host.popen("nfacctd", "-f", str(config), start_new_session=True, **quiet)
    try:
        wait_until(lambda: ":4739 " in switch.host.run("ss", "-Hlun"), what="nfacctd")
        switch.vsctl(*EXPORTERS.split())
        ends[0].run("ping", "-q", "-f", "-c", str(PINGS), "10.0.0.2", timeout=60)
        exact = dict.fromkeys(("10.0.0.1", "10.0.0.2"), PINGS)
        wait_until(lambda: accounted(file) == exact, 20, "IPFIX's counts")
        switch.vsctl("clear", "bridge", "br0", "netflow", "sflow")
    finally:
        os.killpg(nfacctd.pid, signal.SIGKILL)  # its plugins, too
        nfacctd.wait()
        netflow.end()
        sflow.end()
    assert netflow.packets() == dict.fromkeys(exact, (PINGS, PINGS * SIZE))
    sampled = [packets for packets, _ in sflow.packets().values()]
    assert abs(sum(sampled) - 2 * PINGS) < ERROR
