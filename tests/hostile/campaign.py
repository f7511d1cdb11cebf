"""Hostile conversations with real daemons, one after the other, watched by an oracle.

A campaign starts daemons and knows how to be rude to them.  Each conversation draws from a
generator seeded with "SEED:NUMBER", so that one can be held again without those before it:

    python -m tests.hostile NAME --seed SEED --first NUMBER --count 1
"""

import contextlib
import random
import time

from ofproto.codec.messages import FlowStatsRequest
from tests import daemons
from tests.hostile.oracle import Oracle
from tests.of_client import Client

WARM_UP = 15  # conversations before descriptors and memory are counted


class Campaign:
    """A context manager around running daemons."""

    name = ""

    def __enter__(self):
        raise NotImplementedError

    def __exit__(self, *exc):
        raise NotImplementedError

    def pids(self):
        """Name to process id of the daemons that must live on."""
        raise NotImplementedError

    def controls(self):
        """Paths of control sockets, where there are any."""
        return []

    def logs(self):
        """The text of all logs so far; it only grows."""
        raise NotImplementedError

    def bystander(self):
        """A function that asks as a good client does, and returns when it has the answer."""
        raise NotImplementedError

    def tidy(self):
        """Take back, as a good client, what was asked for and given: called before it is counted
        what a daemon holds."""

    def attack(self, rng):
        """One conversation.  What a daemon answers, or that it closes, is no failure;
        OSError may pass."""
        raise NotImplementedError


class SwitchCampaign(Campaign):
    """All daemons of a switch: `self._switch` is a daemons.Switch."""

    def pids(self):
        return {name: self._switch.pid(name) for name in daemons.DAEMONS}

    def controls(self):
        return [str(path) for path in self._switch.directory.glob("*.ctl")]

    def logs(self):
        return "\n".join(line for _name, line in self._switch.logs())


def frames_and_answers(switch, bridge, good, ports, frame):
    """A bystander's probe: a frame that comes in by port "x" leaves by "y", and the bridge answers.

    `good` is a client of the datapath, `ports` the numbers of its ports by name."""
    client = Client.unix(switch.directory / f"{bridge}.mgmt")
    client.hello()

    def passes():
        good.port_inject(ports["x"], frame)
        return frame in good.port_drain(ports["y"])

    def probe():
        client.ask(FlowStatsRequest())
        daemons.wait_until(passes, what="the bystander's frame")

    return probe


class Result:
    """What came of a run."""

    def __init__(self):
        self.conversations = 0
        self.longest = 0.0
        self.late = 0


def run(campaign, seed, first=0, count=None, seconds=None):
    """Hold `count` conversations, or for `seconds`; AssertionError names the one to repeat."""
    result = Result()
    deadline = None if seconds is None else time.monotonic() + seconds
    with campaign, contextlib.closing(_oracle(campaign)) as oracle:
        number = first
        while (count is None or number < first + count) and (
            deadline is None or time.monotonic() < deadline
        ):
            if number - first == WARM_UP:
                campaign.tidy()
                oracle.baseline()
            try:
                with contextlib.suppress(OSError):
                    campaign.attack(random.Random(f"{seed}:{number}"))
                oracle.check()
            except AssertionError as error:
                raise AssertionError(
                    f"python -m tests.hostile {campaign.name} --seed {seed} --first {number}"
                    f" --count 1\n(or the answer to one shortly before)\n{error}"
                ) from error
            number += 1
        campaign.tidy()
        oracle.settle()
        result.conversations = number - first
        result.longest, result.late = oracle.bystander.longest, oracle.bystander.late
    return result


def _oracle(campaign):
    return Oracle(campaign.pids(), campaign.logs, campaign.bystander(), campaign.controls())
