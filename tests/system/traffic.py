"""Traffic that goes on while something happens to the switch, and which numbers its ports have."""

import json
import re
import subprocess
import sys
import time

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
    """ping all the time; stop() gives (sent, lost)."""

    def __init__(self, container, address):
        self._child = container.popen(
            *("ping", "-n", "-q", "-i0.02", "-W1", address), stdout=subprocess.PIPE, text=True
        )

    def stop(self):
        time.sleep(0.5)
        self._child.send_signal(2)
        out, _ = self._child.communicate(timeout=10)
        sent, received = re.search(r"(\d+) packets transmitted, (\d+) received", out).groups()
        return int(sent), int(sent) - int(received)


def ofports(switch):
    table = json.loads(switch.vsctl("-f", "json", "--columns=name,ofport", "list", "Interface"))
    return dict(table["data"])


def all_have_numbers(switch):
    """Whether vswitchd has seen, and could make, every port: else ofport is -1 or still empty."""
    return all(isinstance(number, int) and number > 0 for number in ofports(switch).values())
