"""What must be true of daemons whatever their peers do.

The same processes live on; a bystander, a second client that does nothing wrong, is answered all
the while; no turn of a loop takes long by its own doing; afterwards descriptors and memory are back
where they were, and no log has a traceback.
"""

import os
import re
import threading
import time
from pathlib import Path

from tests.hostile.control import call

# The longest that the bystander may wait, in seconds.  The aim is 0.1; a machine that runs other
# tests beside this one is late by itself, so the bound in CI only tells a daemon that stands still.
BOUND = float(os.environ.get("HOSTILE_BOUND", "5"))
AIM = 0.1
PAUSE = 0.005  # s between two questions of the bystander
SETTLE = 20.0  # s for descriptors to be closed
# Memory that a daemon may have more than at the beginning, in KiB: allocators keep some.
GROWTH = 64 * 1024
# Turns of a loop that took so much processor time, which counts nobody else's but what a virtual
# machine is robbed of: it was a threefold where CI runs, so `make fuzz` alone asks for 100 ms.
LONG_TURN = os.environ.get("HOSTILE_LONG_TURN", "500ms")
DESCRIPTORS = 4  # that come and go: a compaction's pipe, a log's, a resolver's

_TROUBLE = re.compile(r"Traceback|Segmentation|unexpected error|Fatal Python error|Sanitizer")


class Bystander:
    """Asks again and again, in a thread of its own; `longest` is what it waited at most."""

    def __init__(self, probe):
        self._probe = probe
        self._stop = threading.Event()
        self.longest = 0.0
        self.late = 0
        self.answers = 0
        self.error = None
        self._asked = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(PAUSE):
            self._asked = began = time.monotonic()
            try:
                self._probe()
            except Exception as error:
                if not self._stop.is_set():
                    self.error = error
                return
            took = time.monotonic() - began
            self.longest = max(self.longest, took)
            self.late += took > AIM
            self.answers += 1

    def check(self):
        assert self.error is None, f"the bystander was not served: {self.error!r}"
        waits = time.monotonic() - self._asked
        assert max(self.longest, waits) < BOUND, f"the bystander waited {self.longest:.3f} s"

    def one_more(self):
        """Wait until it was answered once more, so that what came before has been handled."""
        target = self.answers + 2
        deadline = time.monotonic() + 4 * BOUND
        while self.answers < target and self.error is None:
            assert time.monotonic() < deadline, "the bystander is not answered any more"
            time.sleep(PAUSE)
        self.check()

    def stop(self):
        self._stop.set()
        self._thread.join(BOUND)


class Process:
    """A daemon's process, and what it had at the beginning."""

    def __init__(self, name, pid):
        self.name = name
        self.pid = pid
        self.baseline()

    def baseline(self):
        self._descriptors = self.descriptors()
        self._memory = self.memory()

    def alive(self):
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self):
        """Resident KiB."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1])

    def grown(self):
        """KiB more than at the beginning."""
        return self.memory() - self._memory

    def excess(self):
        """What it has too much of now, or ""."""
        more = self.descriptors() - self._descriptors
        if more > DESCRIPTORS:
            return f"{more} descriptors"
        more = self.grown()
        return f"{more} KiB of memory" if more > GROWTH else ""


def _long_turns(path):
    return int(call(path, "coverage/read-counter", f"loop_over_{LONG_TURN}_cpu"))


class Oracle:
    """Watches `pids` (name to process id) and `logs()`, the text of all logs, while `probe()`
    asks and gets an answer of the daemons; probe raises when it gets none.  `controls`: paths of
    their control sockets."""

    def __init__(self, pids, logs, probe, controls=()):
        self._long_turns = {path: _long_turns(path) for path in controls}
        self.processes = [Process(name, pid) for name, pid in pids.items()]
        self._logs = logs
        self._read = 0  # characters of the logs that were looked at
        self.bystander = Bystander(probe)

    def baseline(self):
        """What is there now is what must be there at the end: call it after a warm-up."""
        self.bystander.one_more()
        for process in self.processes:
            process.baseline()

    def check(self):
        """After each conversation: all live, nobody waits, no word of an unexpected error."""
        for process in self.processes:
            assert process.alive(), f"{process.name} has ended\n{self._logs()[-4000:]}"
        self.bystander.check()
        text = self._logs()
        found = _TROUBLE.search(text, self._read)
        assert not found, f"in a log:\n{text[max(0, found.start() - 500) : found.start() + 4000]}"
        self._read = len(text)

    def settle(self):
        """At the end: descriptors and memory are back."""
        self.bystander.one_more()
        self.check()
        for path, before in self._long_turns.items():
            long = _long_turns(path) - before
            assert not long, f"{path}: {long} turns took more than {LONG_TURN} of processor time"
        deadline = time.monotonic() + SETTLE
        for process in self.processes:
            while excess := process.excess():
                assert time.monotonic() < deadline, f"{process.name} keeps {excess}"
                time.sleep(0.05)

    def close(self):
        self.bystander.stop()
