"""Fixtures for tests with real daemons."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import daemons

ROOT = Path(__file__).resolve().parent.parent

# How long an example takes says how busy the machine is, and nothing of pyvs.
settings.register_profile("pyvs", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pyvs")


def pytest_configure():
    """A shell that starts us in the background has SIGINT ignored, by all that we start, too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart(session):
    """Python that is compiled in place hides what was changed in its source since."""
    for compiled in ROOT.glob("*/*.so"):
        source = compiled.with_name(compiled.name.split(".")[0] + ".py")
        if source.exists() and source.stat().st_mtime > compiled.stat().st_mtime:
            pytest.exit(f"{source.relative_to(ROOT)} is newer than what was built: make build", 2)


def pytest_collection_modifyitems(items):
    """.ci/test finds by these words the files whose tests run alone: an imported mark has none."""
    for item in items:
        if item.get_closest_marker("alone"):
            assert "mark.alone" in item.path.read_text(), item.nodeid


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Lets the fixture see whether the test itself failed."""
    outcome = yield
    if call.when == "call":
        item.call_failed = outcome.get_result().failed


@pytest.fixture
def switch_daemons(request):
    """A daemons.Switch that is not started; what it logs is checked at the end."""
    reason = daemons.missing()
    if reason:
        pytest.skip(reason)
    made = daemons.Switch()
    try:
        yield made
        trouble = made.trouble()
        if getattr(request.node, "call_failed", False):
            print("\n".join(f"{name}: {line}" for name, line in made.logs()))
        else:
            assert not trouble, "\n".join(trouble)
    finally:
        made.close()


@pytest.fixture
def switch(request, switch_daemons):
    """The running switch; its pyvs-vswitchd has its module's VSWITCHD_OPTIONS."""
    switch_daemons.start(vswitchd=getattr(request.module, "VSWITCHD_OPTIONS", ()))
    return switch_daemons
