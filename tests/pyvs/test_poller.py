"""poll(2) in a loop: what its callers may rely on."""

import ctypes
import itertools
import os
import select
import signal
import threading
import time

import pytest

from pyvs.poller import Poller, watch_signals


class Told(Exception):
    pass


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def usr1():
    def tell(_number, _frame):
        raise Told

    former = signal.signal(signal.SIGUSR1, tell)
    yield
    signal.signal(signal.SIGUSR1, former)


def test_a_signal_that_comes_while_nothing_is_done_in_python(pipe, usr1):
    """Its handler waits for nothing else: what serves here is C to its last step."""
    os.write(pipe[1], b"x")
    numbers = itertools.count()
    come = ctypes.pythonapi.PyErr_SetInterruptEx
    comes = map(come, itertools.repeat(signal.SIGUSR1))
    serve = map(max, itertools.repeat(1.0), comes, numbers).__next__
    poller = Poller()
    poller.fd_wait(pipe[0], select.POLLIN)
    poller.quick(pipe[0], serve)
    with pytest.raises(Told):
        poller.block()
    assert next(numbers) == 1


def test_a_descriptor_that_is_closed_meanwhile_ends_the_wait(pipe):
    gone = os.dup(pipe[0])
    poller = Poller()
    poller.fd_wait(gone, select.POLLIN)
    poller.quick(gone, lambda: pytest.fail("nothing to serve"))
    os.close(gone)
    assert poller.block() == [(gone, select.POLLNVAL)]
    assert poller.ready == {gone}


def test_a_signal_that_does_not_interrupt_poll(pipe, usr1):
    """As one does not that comes just before: here another thread is interrupted by it."""
    watch_signals()
    entered = time.monotonic()

    def come():
        time.sleep(0.1)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    thread = threading.Thread(target=come)
    thread.start()
    poller = Poller()
    poller.fd_wait(pipe[0], select.POLLIN)
    poller.timer_wait(60_000)
    with pytest.raises(Told):
        poller.block()
    assert time.monotonic() - entered < 30
    thread.join()
    os.write(pipe[1], b"x")
    assert Poller.block(poller) == [(pipe[0], select.POLLIN)]
