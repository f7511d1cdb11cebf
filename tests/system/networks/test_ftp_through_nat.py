"""FTP between containers through the rules of test_stateful_rules, with vsftpd and curl: both kinds
of data connection, from inside through SNAT and from outside to a published server.

The same on Open vSwitch's userspace datapath, with the same connections to show for it.
"""

import contextlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.daemons import wait_until
from tests.ovs_userspace import OvsSwitch
from tests.ovs_userspace import missing as no_peer
from tests.system.networks.test_stateful_rules import IN, OUT, OUTER, OUTER6, Place

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        not (shutil.which("vsftpd") and shutil.which("curl")), reason="no vsftpd, or no curl"
    ),
]

BODY = "what the server has\n" * 3000
# Besides RULES: who asks from outside for FTP, and connections that a control connection told of.
FTP_RULES = f"""\
table=1,priority=4,in_port=1,ct_state=+new+rel+trk,ip,actions=ct(commit,zone=1,nat),{OUT}
table=1,priority=4,in_port=1,ct_state=+new+rel+trk,ipv6,actions=ct(commit,zone=1,nat),{OUT}
table=1,priority=3,in_port=1,ct_state=+new+trk,tcp6,tp_dst=21,\
actions=ct(commit,zone=1,alg=ftp,nat(src={OUTER6})),{OUT}
table=1,priority=3,in_port=2,ct_state=+new+trk,tcp,nw_dst={OUTER},tp_dst=21,\
actions=ct(commit,zone=1,alg=ftp,nat(dst=10.0.0.1)),{IN}
table=1,priority=3,in_port=2,ct_state=+new+trk,tcp6,ipv6_dst={OUTER6},tp_dst=21,\
actions=ct(commit,zone=1,alg=ftp,nat(dst=fd00:1::1)),{IN}
"""
PASSIVE = ("--no-ftp-skip-pasv-ip",)
WAYS = {
    "EPSV": PASSIVE,
    "PASV": ("--disable-epsv", *PASSIVE),
    "EPRT": ("--ftp-port", "-"),
    "PORT": ("--ftp-port", "-", "--disable-eprt"),
}
CASES = [
    (side, host, way)
    for side, host in (("inside", "192.0.2.1"), ("outside", OUTER))
    for way in WAYS
] + [
    (side, host, way)
    for side, host in (("inside", "[fd00:2::1]"), ("outside", f"[{OUTER6}]"))
    for way in ("EPSV", "EPRT")
]
# Extended commands over IPv4, which Open vSwitch's helper does not translate.
LACKING = {("outside", OUTER, "EPSV")}


def serve(place, container, directory):
    # Of the users that every Debian has, one whose home there is.
    (directory / "pub").mkdir()
    (directory / "pub" / "file").write_text(BODY)
    (directory / "empty").mkdir()
    settings = {
        "listen": "NO", "listen_ipv6": "YES", "background": "NO", "anonymous_enable": "YES",
        "local_enable": "NO", "anon_root": directory / "pub", "ftp_username": "daemon",
        "secure_chroot_dir": directory / "empty", "seccomp_sandbox": "NO", "port_enable": "YES",
        "connect_from_port_20": "YES", "no_anon_password": "YES", "xferlog_enable": "NO",
    }  # fmt: skip
    for each in (directory, directory / "pub", directory / "empty"):
        each.chmod(0o555)
    path = place.switch.directory / f"{container.name}.conf"
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    place.servers.append(container.popen("vsftpd", str(path)))
    wait_until(lambda: container.run("ss", "-Hltn", "sport = :21"), what="vsftpd")


def fetch(place, side, host, way):
    """What a client says of it: "all", or curl's status."""
    client = getattr(place, side).popen(
        *("curl", "-sS", "-g", "--noproxy", "*", "-m", "8", *WAYS[way], f"ftp://{host}/file"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, _ = client.communicate(timeout=30)
    return "all" if out == BODY else client.returncode


def open_connections(place):
    """Sockets that may still send something."""
    words = ("ss", "-Htn", "state", "connected", "exclude", "time-wait")
    return place.inside.run(*words) + place.outside.run(*words)


def connections(place):
    """Of the last transfer, without what is chance: ports that nobody knows, and states."""
    lines = place.switch.appctl("dpctl/dump-conntrack").splitlines()
    lines = [re.sub(r"port=(?!2[01]\b)\d+", "port=N", line) for line in lines if "tcp" in line]
    return sorted(re.sub(r",protoinfo=.*?\)", "", line) for line in lines)


def scenario(place):
    with tempfile.TemporaryDirectory() as directory:  # pytest's own nobody else may enter
        Path(directory).chmod(0o755)
        return dict(transfers(place, Path(directory)))


def transfers(place, directory):
    path = place.switch.directory / "ftp_rules"
    path.write_text(FTP_RULES)
    place.switch.ofctl("add-flows", "br0", str(path))
    for name in ("inside", "outside"):
        (directory / name).mkdir()
        serve(place, getattr(place, name), directory / name)
    for case in CASES:
        # The last packets of the connections before would be tracked anew.
        wait_until(lambda: not open_connections(place), what="the end of all connections")
        place.switch.appctl("dpctl/flush-conntrack")
        yield case, (fetch(place, *case), connections(place))


def test_ftp_through_nat(switch):
    with contextlib.closing(Place(switch)) as place:
        found = scenario(place)
    assert {case: outcome for case, (outcome, _) in found.items()} == dict.fromkeys(CASES, "all")
    for case, (_, lines) in found.items():
        assert len(lines) == 2 and any("helper=ftp" in line for line in lines), case
    if no_peer():
        return
    with contextlib.closing(OvsSwitch()) as peer:
        peer.start()
        with contextlib.closing(Place(peer, "datapath_type=netdev")) as place:
            theirs = scenario(place)
    for case in CASES:
        if case in LACKING:
            assert theirs[case][0] != "all"
        else:
            assert found[case] == theirs[case]
