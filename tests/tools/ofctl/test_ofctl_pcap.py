"""ofp-parse-pcap: messages in captures, as ovs-ofctl finds them."""

import random
import shutil
import subprocess

import pytest
from scapy.all import ARP, IP, TCP, Dot1Q, Ether, PcapWriter

from ofproto.codec import messages as m
from pyvs_tools.command import Fatal
from pyvs_tools.ofctl.main import main
from pyvs_tools.ofctl.offline import pcap

needs_ofctl = pytest.mark.skipif(not shutil.which("ovs-ofctl"), reason="no ovs-ofctl")
MESSAGES = [
    m.EchoRequest(b"abc").encode(4, 1),
    m.BarrierRequest().encode(4, 2),
    m.DescReply("mfr", "hw").encode(1, 3),
    m.EchoReply(bytes(300)).encode(4, 4),
]


def packet(sequence, data, flags="PA", port=6653, back=False, tag=False):
    ports = {"sport": port, "dport": 40000} if back else {"sport": 40000, "dport": port}
    ip = IP(src="10.0.0.2" if back else "10.0.0.1", dst="10.0.0.1" if back else "10.0.0.2")
    ether = Ether() / Dot1Q(vlan=5) if tag else Ether()
    return ether / ip / TCP(seq=sequence, flags=flags, **ports) / data


def segments(data, start, sizes, **more):
    found, at = [], 0
    for size in sizes:
        found.append(packet(start + at & 0xFFFFFFFF, data[at : at + size], **more))
        at += size
    return found


def write(path, packets):
    with PcapWriter(str(path), linktype=1) as file:
        for at, each in enumerate(packets):
            each.time = 1_700_000_000 + at
            file.write(each)
    return str(path)


def ours(capsys, *words):
    assert main(["-vconsole:off", *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("more", [[], ["-m"], ["--timestamp"]], ids=str)
@needs_ofctl
def test_as_ovs_ofctl(tmp_path, capsys, more):
    data = b"".join(MESSAGES)
    start = 0xFFFFFFF0  # numbers wrap
    path = write(
        tmp_path / "x.pcap",
        [
            packet(start - 1, b"", "S"),
            *segments(data, start, [5, 20, 1, len(data)]),
            *segments(data, 77, [len(data)], back=True),
            packet(5, data, port=6633, tag=True),
            packet(5, data, port=80),
        ],
    )
    command = ["ovs-ofctl", "-vconsole:off", *more, "ofp-parse-pcap", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert ours(capsys, *more, "ofp-parse-pcap", path) == done.stdout
    assert done.stdout.count("10.0.0.") == 2 * 3 * len(MESSAGES)


def found(packets):
    streams, raws = {}, []
    for each in packets:
        segment = pcap.segment(bytes(each))
        stream = streams.setdefault(segment.key, pcap.Stream())
        stream.add(segment)
        raws += stream.messages()
    return raws


@pytest.mark.parametrize("seed", range(5))
def test_order_and_repetition_do_not_matter(seed):
    rng = random.Random(seed)
    data = b"".join(MESSAGES * 3)
    parts = segments(data, 0xFFFFFF00, [rng.randrange(1, 90) for _ in range(50)] + [len(data)])
    shuffled = parts + rng.sample(parts, 20)
    rng.shuffle(shuffled)
    assert found([packet(0xFFFFFEFF, b"", "S"), *shuffled]) == MESSAGES * 3


def test_what_was_not_captured_is_skipped():
    lost = packet(1000, MESSAGES[0][:4])
    later = [packet(2000 + at * len(MESSAGES[1]), MESSAGES[1]) for at in range(pcap._WAITING + 1)]
    assert found([lost, *later]) == [MESSAGES[1]] * len(later)
    broken = bytes((4, 0, 0, 3)) + bytes(8)  # a length that no message has
    assert found([packet(1, broken), packet(13, MESSAGES[0])]) == MESSAGES[:1]


@pytest.mark.parametrize("cut", [0, 3, 24, 30, 45, 90])
def test_broken_files_end_with_words(tmp_path, cut):
    path = tmp_path / "x.pcap"
    write(path, [packet(1, MESSAGES[0])])
    path.write_bytes(path.read_bytes()[:cut])
    with open(path, "rb") as file:
        if cut == 24:
            assert list(pcap.packets(file, "x")) == []
            return
        with pytest.raises(Fatal, match=r"\Ax: "):
            list(pcap.packets(file, "x"))


def test_no_frame_breaks_it():
    rng = random.Random(1)
    whole = bytes(packet(1, MESSAGES[0], tag=True))
    for size in range(len(whole)):
        pcap.segment(whole[:size])
    for _ in range(2000):
        frame = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            frame[rng.randrange(12, len(frame))] = rng.randrange(256)
        pcap.segment(bytes(frame))


@needs_ofctl
def test_fields_of_packets_as_ovs_ofctl(tmp_path, capsys):
    frames = [packet(7, b"x", tag=tag) for tag in (False, True)]
    frames += [Ether(type=0xABCD) / b"something", Ether() / ARP(psrc="10.0.0.1")]
    path = write(tmp_path / "x.pcap", frames)
    theirs = subprocess.run(["ovs-ofctl", "parse-pcap", path], capture_output=True, text=True)
    assert ours(capsys, "parse-pcap", path) == theirs.stdout != ""
    with pytest.raises(Fatal, match="open failed"):
        pcap.parse_pcap({}, str(tmp_path / "none"))
