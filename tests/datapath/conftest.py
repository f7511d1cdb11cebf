"""Hypothesis without its deadline, as no test may fail because the machine is busy; processes."""

import pytest
from hypothesis import settings

from tests import daemons
from tests.datapath.dp_process import Process

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def datapath():
    """A datapath process for dummy ports."""
    made = Process()
    try:
        yield made
        made.check()
    finally:
        made.close()


@pytest.fixture(scope="module", params=(1, 3), ids=("worker", "workers"))
def shared(request):
    """Three dummy ports; with three workers each port has its own."""
    made = Process(f"--workers={request.param}")
    try:
        for number in (1, 2, 3):
            made.add(f"d{number}", "dummy", number)
        yield made
        made.check()
    finally:
        made.close()


@pytest.fixture
def net():
    """A datapath process in a network namespace of its own."""
    reason = daemons.missing()
    if reason:
        pytest.skip(reason)
    host = daemons.Namespace()
    made = None
    try:
        made = Process(host=host)
        yield made
        made.check()
    finally:
        try:
            if made:
                made.close()
        finally:
            host.close()
