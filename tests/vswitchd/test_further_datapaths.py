"""dpctl's commands in vswitchd that are about a datapath which add-dp made."""

import os
import signal
import time
from types import SimpleNamespace

import pytest

from datapath.ipc import further
from datapath.ipc.dpif import Dpif, DpifStalled
from tests.datapath.dp_process import Process
from vswitchd.dpctl import datapaths

PATIENCE = 1.0  # seconds: a loaded machine answers in less


def test_one_that_does_not_answer_does_not_stall_the_loop():
    process = Process()
    run = SimpleNamespace(main=Dpif(process.path, PATIENCE), chosen=None, of_chosen=None)
    try:
        further.add(run.main, "dp0", "dummy")
        assert datapaths.choose(run, "dp0") and run.chosen == "dummy@dp0"
        assert not list(run.of_chosen.flow_dump())
        os.kill(process.pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(DpifStalled):
            run.of_chosen.stats()
        assert time.monotonic() < began + 20 * PATIENCE
    finally:
        os.kill(process.pid, signal.SIGCONT)
        run.of_chosen.close()
        run.main.close()
        process.close()
