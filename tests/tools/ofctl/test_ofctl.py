"""pyvs-ofctl beside what ovs-ofctl also does: sessions with switches of all kinds (here: small
ones in a thread, on a real socket), its choice of versions and formats, sorting, comparing."""

import contextlib
import json
import random
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.codec import messages as m
from ofproto.codec.errors import OFError
from ofproto.codec.match_text import parse_match
from ofproto.peers.connection import RUNNING, OFConnection
from ofproto.text.flow_lines import FlowLine
from ofproto.text.flow_text import parse_flow
from pyvs_tools.command import Fatal
from pyvs_tools.ofctl import diff as ofctl_diff
from pyvs_tools.ofctl import flows as ofctl_flows
from pyvs_tools.ofctl import main as ofctl
from pyvs_tools.ofctl import packets
from pyvs_tools.ofctl import session as ofctl_session
from tests.tools.ofctl_peers import ours


class SmallSwitch:
    """A switch of `versions` in a thread, for one connection after the other, on a unix socket or,
    with a context for `tls`, on a TCP port of the loopback.

    `answer(message)` gives the messages that answer one, or raises OFError.  `patient`: it says
    HELLO only after the other side did.  `slowly`: it writes byte by byte.
    """

    def __init__(self, path, answer, versions=(1, 4), patient=False, slowly=False, tls=None):
        self.seen = []
        self._answer, self._versions = answer, versions
        self._patient, self._slowly, self._tls = patient, slowly, tls
        if tls is None:
            self.target = f"unix:{path}"
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(path))
            self._listener.listen()
        else:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.target = f"ssl:127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), sock:
                self._serve(self._tls.wrap_socket(sock, server_side=True) if self._tls else sock)

    def _serve(self, sock):
        connection, self._tables = OFConnection(self._versions), False
        if not self._patient:
            self._write(sock, connection.pull())
        while True:
            data = sock.recv(1 << 16)
            if not data:
                return
            connection.receive(data)
            while (raw := connection.next_message()) is not None:
                self._handle(connection, raw)
            self._write(sock, connection.pull())
            if connection.state != RUNNING:
                return

    def _handle(self, connection, raw):
        try:
            message = m.decode(raw, self._tables)
            self.seen.append(message)
            if type(message) is m.NxFlowModTableId:
                self._tables = message.enable
            for reply in self._answer(message):
                data = reply
                if not isinstance(reply, bytes):
                    data = reply.encode(connection.version, message.xid)
                connection.send(data)
        except OFError as error:
            connection.send(m.error(error, raw, connection.version))

    def _write(self, sock, data):
        if not self._slowly:
            sock.sendall(data)
            return
        for at in range(len(data)):
            sock.sendall(data[at : at + 1])

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


FLOWS = [m.FlowStats(parse_match(f"tcp,tp_dst={i}"), i, i % 3, i) for i in range(1, 6)]
PORTS = [m.PortDesc(1, bytes(6), "eth0"), m.PortDesc(2, bytes(6), "twin"),
         m.PortDesc(3, bytes(6), "twin"), m.PortDesc(0xFFFE, bytes(6), "br0")]  # fmt: skip


def answer(message):
    """What a plain switch answers."""
    kind = type(message)
    if kind is m.BarrierRequest:
        return [m.BarrierReply()]
    if kind is m.FeaturesRequest:
        return [m.FeaturesReply(5, 0, 254, ports=PORTS)]
    if kind is m.PortDescRequest:
        return [m.PortDescReply(PORTS[:2], more=True), m.PortDescReply(PORTS[2:])]
    if kind is m.FlowStatsRequest:
        return [m.FlowStatsReply(FLOWS[:2], more=True, nxm=message.nxm),
                m.FlowStatsReply(FLOWS[2:], nxm=message.nxm)]  # fmt: skip
    if kind is m.GetConfigRequest:
        return [m.GetConfigReply()]
    if kind is m.DescRequest:
        return [m.DescReply("pyvs")]
    return []


@pytest.fixture
def small(tmp_path):
    made = []

    def make(answer=answer, **options):
        made.append(SmallSwitch(tmp_path / f"switch{len(made)}", answer, **options))
        return made[-1]

    yield make
    for switch in made:
        switch.close()


# Versions


@pytest.mark.parametrize(
    "versions, options, found",
    [
        ((1, 4), (), "(xid="),
        ((1,), (), "(xid="),
        ((4,), (), "(OF1.3)"),
        ((1, 2, 3, 4, 5, 6), (), "(xid="),
        ((1, 4), ("-O", "OpenFlow13"), "(OF1.3)"),
        ((1, 4), ("-O", "OpenFlow10,OpenFlow13"), "(OF1.3)"),
        ((1, 4), ("-O", "OpenFlow10,OpenFlow15"), "(xid="),
    ],
)
@pytest.mark.parametrize("patient", [False, True])
def test_version(small, versions, options, found, patient, monkeypatch):
    if patient:
        monkeypatch.setattr(ofctl_session, "HELLO_SECONDS", 0.01)
    switch = small(versions=versions, patient=patient)
    status, out, _err = ours(*options, "dump-desc", switch.target)
    assert status == 0
    if not patient or options:
        assert found in out.splitlines()[0]
    assert "Manufacturer: pyvs" in out


@pytest.mark.parametrize("versions, options", [((7,), ()), ((4,), ("-OOpenFlow10",))])
def test_no_common_version(small, versions, options):
    status, out, said = ours(*options, "show", small(versions=versions).target)
    assert (status, out) == (1, "")
    assert "version negotiation failed" in said and "no common versions" in said


def test_versions_that_the_switch_has_not(small):
    status, _out, said = ours("-OOpenFlow14", "show", small().target)
    assert status == 1 and "tried OpenFlow14" in said


# What a switch may do


@pytest.mark.parametrize("slowly", [False, True])
@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow13"])
def test_replies_in_parts(small, version, slowly):
    switch = small(slowly=slowly)
    status, out, _err = ours("-O", version, "dump-flows", switch.target)
    assert status == 0
    assert out.count("reply") == 2 and out.count("cookie=") == len(FLOWS)
    assert "flags=[more]" in out


def test_without_nicira_extensions(small):
    """Then 1.0's own forms are used, where they can say it."""

    def plain(message):
        if type(message).__name__.startswith("Nx"):
            raise OFError("OFPBRC_BAD_VENDOR")
        return answer(message)

    switch = small(plain, versions=(1,))
    status, out, _err = ours("dump-flows", switch.target)
    assert status == 0 and out.startswith("OFPST_FLOW reply")
    status, _out, said = ours("dump-flows", switch.target, "reg0=5")
    assert status == 1 and "none of the usable flow formats" in said
    status, _out, said = ours("add-flow", switch.target, "reg0=5,actions=1")
    assert status == 1 and "OFPBRC_BAD_VENDOR" in said


def test_other_messages_between(small):
    """Echo requests are answered, and what nobody asked for is passed over."""

    def chatty(message):
        status = m.PortStatus(2, PORTS[0]).encode(message.version, 0)
        echo = m.EchoRequest(b"still there?").encode(message.version, 77)
        return [status, echo, *answer(message), status]

    switch = small(chatty)
    for command in ("dump-flows", "dump-desc", "show", "get-frags"):
        assert ours(command, switch.target)[0] == 0
    assert ours("add-flow", switch.target, "actions=drop") == (0, "", "")
    assert ours("probe", switch.target) == (0, "", "")


def test_errors_are_told(small):
    def refuse(message):
        if type(message) in (m.FlowMod, m.DescRequest):
            raise OFError("OFPBRC_EPERM")
        return answer(message)

    switch = small(refuse)
    status, out, said = ours("add-flow", switch.target, "actions=drop")
    assert (status, out) == (1, "")
    assert said.startswith("OFPT_ERROR (xid=") and "OFPBRC_EPERM" in said
    # An answer to what was asked, as ovs-ofctl takes it.
    status, out, said = ours("dump-desc", switch.target)
    assert (status, said) == (0, "")
    assert out.startswith("OFPT_ERROR (xid=") and "OFPBRC_EPERM" in out


def test_all_flows_of_a_file_are_sent_in_order(small, tmp_path):
    switch = small()
    path = tmp_path / "flows"
    path.write_text("\n".join(f"table=1,tcp,tp_dst={i},actions={i + 1}" for i in range(300)))
    assert ours("add-flows", switch.target, path) == (0, "", "")
    mods = [each for each in switch.seen if type(each) is m.FlowMod]
    ports = [each.instructions[0].actions[0].port for each in mods]
    assert ports == [i + 1 for i in range(300)]
    assert any(type(each) is m.NxFlowModTableId for each in switch.seen)


def _broken(data):
    return lambda message: [data]


@pytest.mark.parametrize(
    "reply, words",
    [
        (b"\x01\x03\0\x04\0\0\0\0", "impossible length"),
        (m.DescReply("x").encode(1, 2)[:20] + bytes(8), None),
        (m.FlowStatsReply(FLOWS).encode(4, 2), None),
    ],
)
def test_broken_replies(small, reply, words):
    """None of these hangs: what makes no message ends the run, the rest waits for -t."""
    switch = small(_broken(reply))
    patience = "30" if words else "1"  # it ends by itself, or by nothing else
    command = [sys.executable, "-c", PROGRAM, "-t", patience, "dump-desc", switch.target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    if words:
        assert words in done.stderr


PROGRAM = "import sys; from pyvs_tools.ofctl.main import main; sys.exit(main())"


def test_undecodable_reply(small):
    good = bytearray(m.DescReply("x").encode(1, 2))
    good[9] = 9  # another type of statistics

    def reply(message):
        good[4:8] = message.xid.to_bytes(4, "big")
        return [bytes(good)]

    status, _out, said = ours("dump-desc", small(reply).target)
    assert status == 1 and "reply cannot be decoded (OFPBRC_BAD_STAT" in said


def test_switch_that_goes(small):
    def gone(message):
        raise ConnectionResetError

    for command in (("dump-desc",), ("add-flow", "actions=drop"), ("probe",)):
        if command == ("probe",):
            continue
        status, _out, said = ours(command[0], small(gone).target, *command[1:])
        assert status == 1 and "the switch closed the connection" in said


def test_random_bytes_instead_of_a_switch(tmp_path):
    """Whatever a peer says, the run ends with a message."""
    source = random.Random(5)
    for _ in range(40):
        path = tmp_path / "garbage"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        data = source.randbytes(source.randrange(1, 200))

        def serve(listener=listener, data=data):
            sock, _ = listener.accept()
            with contextlib.suppress(OSError), sock:
                sock.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        status, _out, said = ours("dump-desc", f"unix:{path}")
        thread.join()
        listener.close()
        path.unlink()
        assert status == 1 and said.startswith("pyvs-ofctl: ")


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A directory with a key, and a certificate for it that is its own authority."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    directory = tmp_path_factory.mktemp("certificates")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -keyout key -out cert"
    subprocess.run(command.split(), cwd=directory, check=True, capture_output=True)
    return directory


@pytest.mark.parametrize("patient", [False, True])
def test_tls(small, certificates, tmp_path, monkeypatch, patient):
    key, cert = str(certificates / "key"), str(certificates / "cert")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.load_verify_locations(cert)
    context.verify_mode = ssl.CERT_REQUIRED
    if patient:
        monkeypatch.setattr(ofctl_session, "HELLO_SECONDS", 0.1)
    switch = small(tls=context, patient=patient)
    options = ("-p", key, "-c", cert, "-C", cert)
    assert "Manufacturer: pyvs" in ours(*options, "dump-desc", switch.target)[1]
    path = tmp_path / "flows"
    path.write_text("\n".join(f"tcp,tp_dst={i},actions={i + 1}" for i in range(3000)))
    assert ours(*options, "add-flows", switch.target, path) == (0, "", "")
    assert sum(type(each) is m.FlowMod for each in switch.seen) == 3000
    assert ours(*options, "dump-flows", switch.target)[1].count("cookie=") == len(FLOWS)


def test_tls_without_certificates(small, certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "cert", certificates / "key")
    status, _out, said = ours("show", small(tls=context).target)
    assert status == 1 and "--private-key" in said


# Names of ports


def test_names(small):
    """Names that two ports have stand for none."""
    switch = small()
    assert ours("add-flow", switch.target, "in_port=eth0,actions=br0") == (0, "", "")
    (mod,) = [each for each in switch.seen if type(each) is m.FlowMod]
    assert mod.match == parse_match("in_port=1")
    assert mod.instructions[0].actions[0].port == 0xFFFE
    status, _out, said = ours("add-flow", switch.target, "in_port=twin,actions=1")
    assert status == 1 and "invalid or unknown port" in said
    assert ours("--no-names", "add-flow", switch.target, "in_port=eth0,actions=1")[0] == 1


def test_ports_are_asked_for_only_when_a_name_is_there(small):
    switch = small()
    ours("add-flow", switch.target, "in_port=1,actions=output:2,NORMAL")
    assert not any(type(each) is m.FeaturesRequest for each in switch.seen)


# Formats


@pytest.mark.parametrize(
    "text, nxm, newer",
    [
        ("tcp,tp_dst=80,actions=1", False, False),
        ("tcp6,tp_dst=80,actions=1", True, False),
        ("ipv6,actions=1", False, False),
        ("ip,nw_src=1.2.3.4/8,actions=1", False, False),
        ("ip,nw_src=1.2.3.4/255.0.255.0,actions=1", True, False),
        ("dl_src=1:2:3:4:5:6/ff:ff:ff:00:00:00,actions=1", True, False),
        ("reg0=1,actions=1", True, False),
        ("vlan_tci=0x1000/0x1000,actions=1", True, False),
        ("dl_vlan=5,actions=1", False, False),
        ("actions=write_metadata:5", True, False),
        ("actions=load:1->NXM_NX_REG0[]", False, False),
        ("actions=meter:5,1", False, True),
        ("actions=write_actions(1)", False, True),
        ("actions=1,clear_actions", False, True),
        ("actions=goto_table:5", False, False),
        ("reset_counts,actions=1", False, True),
        ("no_packet_counts,actions=1", False, True),
        ("actions=group:5", False, False),
    ],
)
def test_what_a_flow_needs(text, nxm, newer):
    flow = parse_flow(text)
    assert ofctl_flows.needs_nxm(flow) == nxm
    assert ofctl_flows.needs_later(flow) == newer


def test_deletions_that_10_cannot_say():
    assert ofctl_flows.needs_nxm(parse_flow("cookie=1/-1", m.DELETE))
    assert ofctl_flows.needs_later(parse_flow("out_group=1", m.DELETE))


@pytest.mark.parametrize(
    "options, text, sent",
    [
        ((), "tcp,actions=1", (1, m.FlowMod)),
        ((), "reg0=1,actions=1", (1, m.NxSetFlowFormat)),
        ((), "table=3,actions=1", (1, m.NxFlowModTableId)),
        ((), "actions=meter:1,2", (4, m.FlowMod)),
        (("-F", "nxm"), "tcp,actions=1", (1, m.NxSetFlowFormat)),
        (("-F", "OXM"), "tcp,actions=1", (4, m.FlowMod)),
        (("-O", "OpenFlow13"), "table=3,reg0=1,actions=1", (4, m.FlowMod)),
    ],
)
def test_format_that_is_chosen(small, options, text, sent):
    switch = small()
    assert ours(*options, "add-flow", switch.target, text) == (0, "", "")
    found = [each for each in switch.seen if type(each) is sent[1]]
    assert found and found[-1].version == sent[0]


@pytest.mark.parametrize(
    "options, text",
    [
        (("-F", "OpenFlow10"), "reg0=1,actions=1"),
        (("-F", "OpenFlow10-table_id"), "table=3,actions=1"),
        (("-O", "OpenFlow10"), "actions=meter:1,2"),
        (("-F", "nosuch"), "actions=1"),
    ],
)
def test_formats_that_cannot_say_it(small, options, text):
    switch = small()
    status, _out, said = ours(*options, "add-flow", switch.target, text)
    assert status == 1 and said.startswith("pyvs-ofctl: ")
    assert not any(type(each) is m.FlowMod for each in switch.seen)


def test_lines_of_a_file_that_cannot_be_said_are_named():
    """The last ones of a kind are read by a plan."""
    rows = [f"priority={n},in_port={n},actions=1,write_actions(output:3)" for n in range(1, 200)]
    last = ofctl_flows.flows_of(enumerate(rows), m.ADD)[-1]
    assert isinstance(last, FlowLine)
    session = SimpleNamespace(version=1, next_xid=lambda: 1, tell=lambda _message: None)
    with pytest.raises(Fatal, match="in_port=199: "):
        ofctl_flows.send_mods(session, [last], (True, True))


# Sorting and comparing


def test_sort():
    flows = [
        m.FlowStats(parse_match(text), priority)
        for text, priority in (
            ("", 5), ("tcp,tp_dst=80", 1), ("tcp,tp_dst=22", 9), ("udp,tp_dst=1", 7),
            ("tcp,tp_dst=22", 3), ("tcp", 4),
        )
    ]  # fmt: skip

    def order(*criteria):
        options = [ofctl_flows._criterion(*each) for each in criteria]
        return [flow.priority for flow in ofctl_flows.sort_flows(flows, options)]

    assert order(("sort", None)) == [1, 3, 4, 5, 7, 9]
    assert order(("rsort", "priority")) == [9, 7, 5, 4, 3, 1]
    assert order(("sort", "tcp_dst"), ("sort", None)) == [3, 9, 1, 4, 5, 7]
    assert order(("rsort", "tcp_dst"), ("rsort", None)) == [1, 9, 3, 7, 5, 4]
    with pytest.raises(Fatal, match="foo: unknown field name"):
        order(("sort", "foo"))


KEYS = st.sampled_from(["table=1,tcp", "table=1,udp", "table=2,tcp", "tcp,priority=5", "", "arp"])
ENDS = st.sampled_from(["actions=1", "actions=2", "cookie=7,actions=1", "idle_timeout=3,actions=1"])
TABLES = st.dictionaries(KEYS, ENDS, max_size=6).map(
    lambda found: [parse_flow(",".join(filter(None, pair))) for pair in found.items()]
)


@given(TABLES, TABLES, st.booleans())
@settings(deadline=None)
def test_changes_make_one_table_the_other(have, want, readd):
    table = ofctl_diff.table_of(have)
    wanted = ofctl_diff.table_of(want)
    mods = ofctl_diff.changes(table, wanted, readd)
    if not readd:
        same = [key for key in wanted if key in table and table[key].same(wanted[key])]
        assert not {(mod.table_id, mod.priority, mod.match) for mod in mods} & set(same)
    made = dict(table)
    for mod in mods:
        key = (mod.table_id, mod.priority, mod.match)
        if mod.command == m.DELETE_STRICT:
            del made[key]
        else:
            made |= ofctl_diff.table_of([mod])
    assert made.keys() == wanted.keys()
    assert all(made[key].same(wanted[key]) for key in made)


def test_diff_of_files(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("tcp,actions=1\nudp,actions=1\n# nothing\n")
    other.write_text("udp,cookie=3,actions=1\ntcp,actions=1\narp,priority=9,table=2,actions=drop\n")
    status, out, _err = ours("diff-flows", one, other)
    assert status == 2
    assert out.splitlines() == [
        "-udp actions=output:1",
        "+udp cookie=0x3 actions=output:1",
        "+table=2 priority=9,arp actions=drop",
    ]
    assert ours("diff-flows", one, one) == (0, "", "")
    assert ours("diff-flows", one, tmp_path / "none")[0] == 1


# The command line


@pytest.mark.parametrize("arguments", [["-V"], ["--version"]])
def test_version_text(arguments):
    status, out, _err = ours(*arguments)
    assert status == 0
    assert out.startswith("pyvs-ofctl (Open vSwitch compatible) 3.1.")


def test_help_names_every_command():
    status, out, _err = ours("--help")
    assert status == 0
    for name in ofctl.COMMANDS:
        assert name in out
    for name, letter, _takes in ofctl.OPTIONS:
        if letter:
            assert f"-{letter}, --{name}" in out or name in ("verbose",)


def test_every_command_is_there():
    from importlib import import_module

    for name, (module, *_rest) in ofctl.COMMANDS.items():
        assert callable(
            getattr(import_module(f"pyvs_tools.ofctl.{module}"), name.replace("-", "_"))
        )


@pytest.mark.parametrize(
    "words, said",
    [
        (["compose-packet", "foo"], "foo"),
        (["ct-flush", "x", "zone=70000"], "Failed to parse zone"),
        (["ct-flush", "x", "ct_tp_src=1"], "port is set without protocol"),
        (["ct-flush", "x", "ct_nw_src=1.1.1.1,ct_nw_src=2.2.2.2"], "set multiple times"),
        (["-f", "xml", "dump-flows", "x"], "unknown output format"),
        (["-t", "x", "show", "br0"], "is invalid"),
        (["monitor", "br0", "foo"], "unsupported"),
        (["-F", "nosuch", "show", "x"], "nosuch: unknown flow protocol"),
        (["packet-out", "x", "in_port=1,ct_state=trk,actions=2"], "pipeline field"),
        (["-Pfoo", "monitor", "br0"], "unknown packet-in format"),
        (["packet-out", "x", "1", "2"], "unix"),
        (["ping", "x", "70000"], "payload"),
        (["ofp-print", "zz"], "hex"),
        (["ofp-parse", "/nonexistent"], "open failed"),
    ],
)
def test_refused(words, said, small):
    words = [small().target if word == "x" else word for word in words]
    status, _out, text = ours(*words)
    assert status == 1 and (said in text or "requires" in text)


def test_start_is_light():
    """Help and errors of the command line load no message of OpenFlow."""
    program = (
        "import sys; from pyvs_tools.ofctl import main as ofctl\n"
        "ofctl.main(['--help']); ofctl.main(['foo'])\n"
        "print([n for n in sys.modules if n.startswith(('ofproto', 'datapath', 'ssl', 'ovs'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.rstrip().endswith("[]")


# Without a switch


def test_parse_flow():
    status, out, _err = ours("parse-flow", "table=3,tcp6,tp_dst=5,cookie=7,actions=drop")
    assert status == 0
    assert out.splitlines()[1] == "chosen protocol: NXM+table_id"
    assert (
        out.splitlines()[2]
        == "NXT_FLOW_MOD (xid=0x1): ADD table:3 tcp6,tp_dst=5 cookie:0x7 actions=drop"
    )
    for match, usable in (("ip,nw_ecn=1", "NXM,OXM,OpenFlow11"), ("ipv6,nw_ecn=1", "NXM,OXM")):
        lines = ours("parse-flow", f"{match},actions=drop")[1].splitlines()
        assert lines[0] == f"usable protocols: {usable}" and match in lines[2]
    assert ours("-OOpenFlow10", "parse-flow", "actions=meter:1")[0] == 1
    assert ours("parse-flow", "foo")[0] == 1


def test_parse_flows_and_messages(tmp_path):
    path = tmp_path / "flows"
    path.write_text("tcp,actions=1\nudp,actions=drop\n")
    status, out, _err = ours("parse-flows", path)
    assert status == 0 and len(out.splitlines()) == 4
    raw = m.EchoRequest(b"x").encode(1, 1) + m.Hello(frozenset({4})).encode(4, 2)
    path.write_bytes(raw)
    status, out, _err = ours("ofp-parse", path)
    assert status == 0
    assert [line.split(" ")[0] for line in out.splitlines()] == [
        "OFPT_ECHO_REQUEST",
        "00000000",
        "OFPT_HELLO",
        "",
    ]
    path.write_bytes(raw[:-1])
    assert ours("ofp-parse", path)[0] == 1
    status, out, _err = ours("ofp-print", raw[:9].hex())
    assert (status, out.splitlines()[0]) == (0, "OFPT_ECHO_REQUEST (xid=0x1): 1 bytes of payload")


def test_targets(tmp_path, monkeypatch):
    monkeypatch.setattr("pyvs.rundir._given", str(tmp_path))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "br0.mgmt"))
    method = ofctl_session.method_of
    assert method("br0") == f"unix:{tmp_path}/br0.mgmt"
    assert method("netdev@br0") == f"unix:{tmp_path}/br0.mgmt"
    assert method(str(tmp_path / "br0.mgmt")) == f"unix:{tmp_path}/br0.mgmt"
    assert method("tcp:1.2.3.4") == "tcp:1.2.3.4:6653"
    assert method("tcp:1.2.3.4:5") == "tcp:1.2.3.4:5"
    assert method("ssl:[::1]") == "ssl:[::1]:6653"
    assert method("ssl:[::1]:7") == "ssl:[::1]:7"
    assert method("unix:/x") == "unix:/x"
    with pytest.raises(Fatal, match="br1 is not a bridge or a socket"):
        method("br1")
    with pytest.raises(Fatal):
        method("br0", "snoop")
    listener.close()


def test_json_is_one_value(small):
    status, out, _err = ours("-f", "json", "--pretty", "dump-flows", small().target)
    assert status == 0
    assert [flow["cookie"] for flow in json.loads(out)] == [1, 2, 3, 4, 5]


def test_json_of_show(small):
    port = m.PortDesc(1, b"\1\2\3\4\5\6", "eth0", 0x11, 1, 0x840)
    features = m.FeaturesReply(5, 0, 254, 0, 7, 1 << 11, [port])
    switch = small(lambda x: [features] if type(x) is m.FeaturesRequest else answer(x))
    shown = json.loads(ours("-fjson", "show", switch.target)[1])
    assert shown["datapath_id"] == "0000000000000005"
    assert shown["capabilities"] == ["FLOW_STATS", "TABLE_STATS", "PORT_STATS"]
    assert shown["actions"] == ["enqueue"]
    assert shown["config"] == {"frags": "normal", "miss_send_len": 128}
    (found,) = shown["ports"]
    assert (found["name"], found["hw_addr"]) == ("eth0", "01:02:03:04:05:06")
    assert (found["config"], found["state"]) == (["PORT_DOWN", "NO_FLOOD"], ["LINK_DOWN"])
    assert found["curr"] == ["10GB-FD", "COPPER"]


def fed(text, *words):
    """What a command says to standard input."""
    return ours(*words, text=text)[1].splitlines()


def test_commands_without_a_switch():
    tlvs = "# tags\nNXM_OF_VLAN_TCI_W(1123/1fff) # one\nNXM_OF_IN_PORT(0001), NXM_OF_IN_PORT(0002)"
    assert fed(tlvs, "--strict", "parse-nx-match") == [
        "# tags",
        "NXM_OF_VLAN_TCI_W(1123/1fff)",
        "nx_pull_match() returned error OFPBMC_DUP_FIELD",
    ]
    assert fed("OXM_OF_IN_PORT(00000001)", "-m", "parse-oxm", "OpenFlow13") == [
        "OXM_OF_IN_PORT(00000001)",
        "00000000  00 01 00 0c 80 00 00 04-00 00 00 01 00 00 00 00",
    ]
    head, wild = "00 00 00 58 00 00 00 05 00 00 03 fe", "00" * 6 + "ff" * 6
    rest = f"{head} {wild} {wild} {'00' * 8} {('00' * 4 + 'ff' * 4) * 2} {'00' * 12}"
    eleven = f"{rest} {'00' * 8} {'ff' * 8}"
    assert fed(eleven, "parse-ofp11-match") == ["in_port=5", ""]
    action = "0000 0010 00000001 0000 000000000000"
    assert fed(action, "parse-actions", "OpenFlow13") == [
        "actions=output:1",
        "",
    ]
    goto = "2,0001 0008 01 000000\n0001 0008 01 000000"
    assert fed(goto, "parse-instructions", "OpenFlow13") == [
        "bad OpenFlow13 instructions: OFPBIC_BAD_TABLE_ID",
        "",
        "actions=goto_table:1",
        "",
    ]
    assert ours("print-error", "NXBRC_NXM_INVALID")[1].splitlines()[2] == (
        "OpenFlow 1.2: vendor 0x2320, type 2, code 0"
    )
    assert ours("print-error", "foo")[0] == 1
    reply = ours("encode-error-reply", "OFPBRC_BAD_TYPE", "0112000812345678")[1]
    assert reply.split()[:5] == ["00000000", "01", "01", "00", "14"]
    assert ours("encode-hello", "0x12")[1].splitlines()[-1] == " version bitmap: 0x01, 0x04"
    assert ours("parse-key-value", "a=b,c(d)", "x")[1] == "a=b, c=d\nx\n"
    assert ours("check-vlan", "1123", "1fff")[1].splitlines()[0] == "dl_vlan=291 -> 1123/1fff"


def test_a_pipeline_field_by_its_other_name():
    """It was refused, as a field of the packet is."""
    sent = [
        packets.parse_packet_out(f"in_port=2,{name}=3 packet={'00' * 14} actions=table").match
        for name in ("tunnel_id", "tun_id")
    ]
    assert sent[0] == sent[1]
