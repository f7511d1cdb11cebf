"""The demos' private place ends with whoever started it, however that ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemons import wait_until

ROOT = Path(__file__).resolve().parents[3]
# It stays inside; outside the process waits for it.
PROGRAM = """
import sys, time
from demo import lab
lab.enter([sys.executable, "-c", sys.argv[1], sys.argv[1]])
print("inside", flush=True)
time.sleep(600)
"""


def living(pid):
    """Whether there is such a process that has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.system
def test_a_killed_demo_leaves_no_process():
    command = [sys.executable, "-c", PROGRAM, PROGRAM]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout.readline() == "inside\n"
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        assert children
        demo.kill()
        wait_until(lambda: not any(map(living, children)), what="the end of unshare")
