"""The files in which dummy ports keep their frames."""

import errno
import os

import pytest

from tests.datapath.dp_process import ROOT, frame


@pytest.mark.parametrize("option", ["pcap", "tx_pcap", "rxq_pcap"])
def test_nobody_waits_for_the_reader_of_a_fifo(datapath, tmp_path, option):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with pytest.raises(OSError) as refused:
        datapath.add("p1", "dummy", 1, **{option: str(path)})
    assert refused.value.errno == errno.ENXIO
    datapath.add("p1", "dummy", 1)
    with pytest.raises(OSError):
        datapath.dpif.port_set(1, {option: str(path)})
    datapath.add("p2", "dummy", 2)
    datapath.flow("in_port(2)", "1")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # that is not read
    try:
        datapath.dpif.port_set(1, {option: str(path)})
        for _ in range(100):  # more than a pipe holds
            datapath.dpif.port_inject(2, frame(1500))
            datapath.dpif.port_inject(1, frame(1500))
            assert len(datapath.dpif.port_drain(1)) == 1
        assert os.read(reader, 4) == b"\xd4\xc3\xb2\xa1"
    finally:
        os.close(reader)
    datapath.dpif.port_inject(1, frame())  # without a reader: no signal ends the process
    datapath.dpif.port_inject(2, frame())
    assert len(datapath.dpif.port_drain(1)) == 1


def test_tests_leave_no_file_behind(datapath):
    """The fuzz of datapath.sock left `uuid` where the tests were started."""
    datapath.add("d9", tx_pcap="pyvs-uuid")
    assert (datapath.files / "pyvs-uuid").exists() and not (ROOT / "pyvs-uuid").exists()
