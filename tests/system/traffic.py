"""Traffic that goes on while something happens to the switch, and which numbers its ports have."""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.daemons import ROOT, wait_until


class Transfer:
    """A TCP transfer from one container to another, compared to the last byte."""

    def __init__(self, sender, receiver, port=5001, seconds=3600):
        self._receiver = receiver.popen(
            *(sys.executable, "-m", "demo.transfer", "receive", str(port)),
            **{"cwd": ROOT, "stdout": subprocess.PIPE, "text": True},
        )
        wait_until(lambda: f":{port}" in receiver.run("ss", "-Hltn"), what="the receiver")
        address = receiver.address.split("/")[0]
        self._sender = sender.popen(
            *(sys.executable, "-u", "-m", "demo.transfer", "send", address, str(port)),
            *(str(seconds),),
            **{"cwd": ROOT, "stdout": subprocess.PIPE, "text": True},
        )
        assert "Gbit/s" in self._sender.stdout.readline()

    def stop(self):
        """Ends it; returns the rates of all half seconds."""
        self._sender.send_signal(2)
        sent, _ = self._sender.communicate(timeout=20)
        received, _ = self._receiver.communicate(timeout=20)
        assert received.startswith(sent.splitlines()[-1]), (sent, received)
        assert "all of them right" in received
        return [float(rate) for rate in re.findall(r"([0-9.]+) Gbit/s", sent)]


class Pinger:
    """ping all the time; stop() gives how many were sent, and the numbers of those lost."""

    def __init__(self, container, address, interval=0.02):
        self._under_way = round(0.2 / interval)  # may be the last ones, on a busy machine
        self._out = tempfile.NamedTemporaryFile()  # noqa: SIM115 (stop() closes it)
        command = ("ping", "-n", f"-i{interval}", "-W1", address)
        self._child = container.popen(*command, stdout=self._out)

    def _told(self):
        return Path(self._out.name).read_text()

    def wait_for(self, number):
        """Until this one is answered."""
        wait_until(lambda: f" icmp_seq={number} ttl" in self._told(), what=f"ping {number}")

    def stop(self):
        time.sleep(0.5)
        self._child.send_signal(2)
        self._child.wait(10)
        answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", self._told())}
        sent = int(re.search(r"(\d+) packets transmitted", self._told())[1])
        self._out.close()
        return sent, [n for n in range(1, sent - self._under_way) if n not in answered]


def longest_run(numbers):
    """Of numbers that follow one another, as Pinger.stop() gives them."""
    longest = run = 0
    former = None
    for number in numbers:
        run = run + 1 if former == number - 1 else 1
        longest, former = max(longest, run), number
    return longest


def ofports(switch):
    table = json.loads(switch.vsctl("-f", "json", "--columns=name,ofport", "list", "Interface"))
    return dict(table["data"])


def all_have_numbers(switch):
    """Whether vswitchd has seen, and could make, every port: else ofport is -1 or still empty."""
    return all(isinstance(number, int) and number > 0 for number in ofports(switch).values())
