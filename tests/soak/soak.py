"""A switch as pyvs-ctl starts it, with what it must outlive."""

from pathlib import Path

from tests.daemons import Namespace, Switch, wait_until
from tests.soak import kills, turnover
from tests.soak.holdings import held, left

LINES = 10  # of the report of churn
AT_ONCE = Path(__file__).parent / "at_once"


class Soak:
    """`tell` gets lines of the report while they are made.  `at_once`: monitors start a killed
    daemon without the pauses that they make when it dies often."""

    def __init__(self, switch, seed, tell, at_once=False):
        self.switch, self.seed, self.tell = switch, seed, tell
        if at_once:
            switch.environment["PYTHONPATH"] = str(AT_ONCE)
        switch.host = Namespace()
        self._bpf = set()  # all ids that were ever the switch's

    def _ctl(self, word):
        return self.switch.command(
            "pyvs-ctl", f"--rundir={self.switch.directory}", word, timeout=60
        )

    def start(self):
        self._ctl("start")
        self.switch.vsctl("add-br", "br0")
        self.switch.vsctl("set", "Open_vSwitch", ".", "other_config:max-idle=60000")
        self.containers = [self.switch.container(f"c{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2)]
        wait_until(lambda: self.containers[0].ping("10.0.0.2", count=1), what="a ping")
        self._links = {each.port for each in self.containers} | {"lo"}

    def kill(self, count):
        """Returns what each kill did."""
        killer, done = kills.Killer(self.switch, self.containers, self.seed), []
        try:
            for each in killer.run(count):
                done.append(each)
                self._bpf |= held(self.switch).bpf
                if each.excess()[0] > 0:
                    self.tell(f"kill {len(done)} of {each.target}: {each.pauses}")
        finally:
            killer.close()
            for line in kills.report(done) if done else ():
                self.tell(line)
        return done

    def churn(self, length):
        made, told = turnover.Turnover(self.switch, self.containers, self.seed), -1
        for number, (part, holdings) in enumerate(made.run(length)):
            self._bpf |= holdings.bpf
            if int(part * LINES) > told:
                told = int(part * LINES)
                self.tell(f"churn {number:>5}: {holdings.text()}")
        made.judge()

    def stop(self):
        """After which nothing is left."""
        self._bpf |= held(self.switch).bpf
        self._ctl("stop")
        nothing = {"bpf": [], "links": [], "qdiscs": []}
        found = lambda: left(self.switch, self._bpf, self._links)  # noqa: E731
        try:
            wait_until(lambda: found() == nothing, 10, "nothing to be left")
        except AssertionError:
            raise AssertionError(f"left after stop: {found()}") from None
        self.tell(f"after stop nothing of {len(self._bpf)} maps and programs is left")


def soak(n_kills, length, seed, tell, at_once=False):
    """On a switch of its own; raises AssertionError."""
    switch = Switch()
    try:
        made = Soak(switch, seed, tell, at_once)
        made.start()
        done = made.kill(n_kills)
        made.churn(length)
        made.stop()
    finally:
        switch.close()
    assert not any(each.excess()[0] > 0 for each in done), "a known flow had no data for too long"
