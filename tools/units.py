"""pyvs-ctl install-units: the daemons as services of systemd, each with the least that it needs.

Each daemon is a unit of its own, so that systemd starts again what crashes and leaves the others
alone: known flows go on while vswitchd is away, and the datapath holds the connections.  Under
Open vSwitch's names the units have the names that its packages give them, by which others
(libvirt, neutron, netplan) order themselves.  systemd.service(5), systemd.exec(5), capabilities(7).
"""

import os
from typing import NamedTuple

from pyvs import identity, rundir
from pyvs_tools.command import Fatal
from pyvs_tools.ovs_names import program_path

DIRECTORY = "/etc/systemd/system"

_OWNED = "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL"
_NET = "CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE"
_FAMILIES = "AF_UNIX AF_INET AF_INET6"


class Daemon(NamedTuple):
    """`capabilities`: what the process may do beyond an ordinary user's; `families`: of sockets."""

    program: str  # pyvs-...
    what: str
    after: tuple[str, ...]  # programs that run before
    capabilities: str
    families: str
    more: str = ""  # further lines of [Service]


_SERVER, _DATAPATH, _VSWITCHD = "pyvs-ovsdb-server", "pyvs-datapath", "pyvs-vswitchd"
DAEMONS = (
    Daemon(_SERVER, "database server", (), f"{_OWNED} CAP_NET_BIND_SERVICE", _FAMILIES),
    Daemon(
        *(_DATAPATH, "datapath", ()),
        f"{_OWNED} {_NET} CAP_BPF CAP_PERFMON CAP_IPC_LOCK CAP_SYS_NICE CAP_SYS_RESOURCE",
        f"{_FAMILIES} AF_NETLINK AF_PACKET AF_XDP",
        "LimitMEMLOCK=infinity\n",
    ),
    Daemon(
        *(_VSWITCHD, "switch", (_SERVER, _DATAPATH)),
        f"{_OWNED} {_NET} CAP_IPC_LOCK CAP_SYS_NICE",
        f"{_FAMILIES} AF_NETLINK AF_PACKET",
    ),
)


class Companion(NamedTuple):
    """A program that runs beside the switch, for those who enable its unit."""

    program: str
    what: str
    before: str  # units that count on it
    start: str  # its options, and the lines that go with them
    capabilities: str
    families: str


_FORKING = "--detach --no-chdir --pidfile --log-file\nType=forking\nPIDFile={rundir}/{program}.pid"
COMPANIONS = (
    Companion(
        *("pyvs-docker-driver", "Docker's networks on bridges", "docker.service", _FORKING),
        # It talks with Docker's socket, masquerades, has gateways forward, and sees whether a port
        # of the host is free.
        "CAP_NET_ADMIN CAP_NET_BIND_SERVICE CAP_DAC_OVERRIDE",
        f"{_FAMILIES} AF_NETLINK",
    ),
    Companion(
        *("pyvs-exporter", "metrics for Prometheus", "", "\nType=exec"),
        "CAP_DAC_OVERRIDE",
        _FAMILIES,
    ),
)
# ovs-ctl's word for leaving a daemon alone.
_LEAVE = {_SERVER: "--no-ovsdb-server", _DATAPATH: "--no-datapath", _VSWITCHD: "--no-vswitchd"}

_HEAD = """\
[Unit]
Description={name}: {what}
Documentation=man:ovs-vswitchd(8) man:ovs-vswitchd.conf.db(5)
After=network-pre.target systemd-udev-settle.service{after}
Before=network.target networking.service NetworkManager.service systemd-networkd.service
PartOf={whole}.service
"""
_DAEMON = """\
{requires}
[Service]
Type=forking
PIDFile={pidfile}
ExecStart={ctl} --no-monitor {leave} start
ExecStop={ctl} {leave} stop
Restart=on-failure
RestartSec=100ms
LimitNOFILE=1048576
{more}"""
_CONFINED = """\
CapabilityBoundingSet={capabilities}
AmbientCapabilities=
NoNewPrivileges=yes
ProtectSystem=full
{writable}
ProtectHome=read-only
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies={families}
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
"""
_COMPANION = """\
[Unit]
Description={program}: {what}
After={vswitchd}.service
Wants={vswitchd}.service
Before={before}

[Service]
ExecStart={command} {start}
Restart=on-failure
RestartSec=1s
"""
_ENABLED = """\

[Install]
WantedBy=multi-user.target
"""
_STATE = """\
Requires={vswitchd}.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-{ctl} restore {state}
ExecStop={ctl} save {state}

[Install]
WantedBy={whole}.service
"""
_WHOLE = """\
[Unit]
Description={name}: virtual switch
After={after}
Wants={after}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecReload=/bin/true

[Install]
WantedBy=multi-user.target
"""


def whole() -> str:
    """The unit, without its suffix, that stands for all of them."""
    return "openvswitch-switch" if identity.is_ovs() else "pyvs"


def state_directory(options) -> str:
    """Where flows and addresses are kept over a reboot."""
    return options.get("state-dir") or os.path.join(rundir.dbdir(), "saved")


def _ctl() -> str:
    """The command line of pyvs-ctl, with the directories that are not its default."""
    words = [program_path(identity.program("pyvs-ctl"))]
    family = identity.family()
    for name, path, default in (
        ("rundir", rundir.rundir(), family.rundir),
        ("dbdir", rundir.dbdir(), family.dbdir),
        ("logdir", rundir.logdir(), family.logdir),
    ):
        if path != default:
            words.append(f"--{name}={path}")
    return " ".join(map(_plain, words))


def _plain(word: str) -> str:
    """The same word, which a unit may have as it is."""
    if any(each in word for each in " \t\n\"'\\%$"):
        raise Fatal(f"a unit cannot name {word!r}: white space, quotes, %, $ or \\ in it")
    return word


def _writable() -> str:
    """Lines for the directories; one in /etc, which is read-only else, is made by systemd."""
    paths = [os.path.realpath(rundir.rundir()), rundir.dbdir(), rundir.logdir()]
    own = " ".join(path.removeprefix("/etc/") for path in paths if path.startswith("/etc/"))
    lines = [f"ReadWritePaths={' '.join(f'-{path}' for path in paths)}"]
    if own:
        lines += [f"ConfigurationDirectory={own}", "ConfigurationDirectoryMode=0700"]
    return "\n".join(lines)


def _daemon(daemon: Daemon, ctl: str) -> str:
    after = [f"{identity.program(each)}.service" for each in daemon.after]
    values = {
        "name": identity.program(daemon.program),
        "after": "".join(f" {each}" for each in after),
        "requires": f"Requires={after[0]}\nWants={after[1]}\n" if after else "",
        "leave": " ".join(word for name, word in _LEAVE.items() if name != daemon.program),
        "pidfile": os.path.realpath(rundir.path(f"{identity.program(daemon.program)}.pid")),
        "whole": whole(),
        "ctl": ctl,
        "writable": _writable(),
    }
    return (_HEAD + _DAEMON + _CONFINED).format(**{**daemon._asdict(), **values})


def _companion(companion: Companion) -> str:
    command = _plain(program_path(companion.program))
    if rundir.rundir() != identity.family().rundir:
        command += f" --rundir={_plain(rundir.rundir())}"
    values = {
        "vswitchd": identity.program(_VSWITCHD),
        "command": command,
        "rundir": os.path.realpath(rundir.rundir()),
        "writable": _writable(),
    }
    values = {**companion._asdict(), **values}
    values["start"] = companion.start.format(**values)
    return (_COMPANION + _CONFINED + _ENABLED).format(**values)


def texts(state: str | None) -> dict[str, str]:
    """File name -> text of each unit; `state`: the directory of a unit that saves and restores."""
    ctl = _ctl()
    made = {f"{identity.program(each.program)}.service": _daemon(each, ctl) for each in DAEMONS}
    if state:
        values = {
            "name": f"{whole()}-state",
            "what": "flows and addresses over a reboot",
            "after": f" {identity.program(_VSWITCHD)}.service",
            "vswitchd": identity.program(_VSWITCHD),
            "whole": whole(),
            "ctl": ctl,
            "state": _plain(state),
        }
        made[f"{whole()}-state.service"] = (_HEAD + _STATE).format(**values)
    wanted = " ".join(made)
    made.update((f"{each.program}.service", _companion(each)) for each in COMPANIONS)
    made[f"{whole()}.service"] = _WHOLE.format(name=whole(), after=wanted)
    return made


def _write(path: str, text: str) -> None:
    """All of it or nothing.  Raises OSError."""
    with open(path + ".new", "w") as file:
        file.write(text)
    os.chmod(path + ".new", 0o644)
    os.replace(path + ".new", path)


def install(options) -> int:
    """install-units: writes them, and says what to do next."""
    directory = options.get("units-dir", DIRECTORY)
    if not os.path.isdir(directory):
        raise Fatal(f"{directory} is not a directory (try --units-dir=DIR)")
    state = os.path.abspath(state_directory(options)) if "keep-state" in options else None
    for name, text in texts(state).items():
        path = os.path.join(directory, name)
        try:
            _write(path, text)
        except OSError as error:
            raise Fatal(f"cannot write {path}: {error.strerror}") from None
        print(path)
    extra = f" {whole()}-state" if state else ""
    print(f"now: systemctl daemon-reload && systemctl enable --now {whole()}{extra}")
    print(f"and, where they are wanted: {' '.join(each.program for each in COMPANIONS)}")
    return 0
