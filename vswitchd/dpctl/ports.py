"""dpctl's commands on datapaths and their ports: *-dp, *-dps, *-if."""

from pyvs import digits
from vswitchd.dpctl import datapaths
from vswitchd.dpctl.arguments import number_of
from vswitchd.dpctl.run import DpctlError


def dump_dps(run, _words):
    """dump-dps: nothing when no datapath process runs."""
    from datapath.ipc import further
    from datapath.text import datapath

    run.main.version()
    run.print("".join(f"{name}\n" for name in (datapath(), *further.names(run.main))))


def _failing(run, words, one):
    """Do `one` for each word, report what fails, and fail in the end."""
    failed = None
    for word in words:
        try:
            one(run, word)
        except OSError as error:
            failed = DpctlError(error.strerror or str(error))
        except DpctlError as error:
            failed = error
        else:
            continue
        run.complain(str(failed))
    return 1 if failed else 0


def _changing(run, words, one):
    status = _failing(run, words, one)
    run.ports_changed()
    return status


def _name(run):
    """Of the datapath that is meant."""
    from datapath.text import datapath

    return run.chosen or datapath()


def _add_one(run, word):
    name, *rest = word.split(",")
    options = {}
    for part in rest:
        key, _, value = part.partition("=")
        if key != "type" or value:
            options[key] = value
    type_ = options.pop("type", "system")
    wanted = options.pop("port_no", None)
    port_no = None if wanted is None else digits.number(wanted)
    if wanted is not None and port_no is None:
        raise DpctlError(f"{name}: port_no={wanted}: not a number")
    try:
        run.dpif.port_add(name, type_, port_no, options)
    except OSError as error:
        if run.chosen is None:
            raise
        raise DpctlError(f"adding {name} to {_name(run)} failed ({error.strerror})") from None


def add_if(run, words):
    """add-if IFACE[,OPTION=VALUE]..."""
    return _changing(run, words, _add_one)


def _is_own_port(run, name):
    """Whether it is the one that a datapath has as long as it is there."""
    return name == _name(run).partition("@")[2]


def _del_one(run, word):
    if _is_own_port(run, word):
        raise DpctlError(f"deleting port {word} from {_name(run)} failed (Invalid argument)")
    number = number_of(run, word)
    if number is None:
        raise DpctlError(f"no port named {word}")
    run.dpif.port_del(number)


def del_if(run, words):
    """del-if IFACE..."""
    return _changing(run, words, _del_one)


def _set_one(run, word):
    """Nothing of a port can be changed: what is asked for must be so already."""
    name, *rest = word.split(",")
    wanted = dict(part.partition("=")[::2] for part in rest)
    port = next((each for each in run.ports() if each.name == name), None)
    if _is_own_port(run, name) and port is None:
        known = {"type": "dummy-internal", "port_no": "0"}
    elif port is None:
        raise DpctlError(f"{name}: failed to query port in {_name(run)} (No such device)")
    else:
        known = {"type": port.type, "port_no": str(port.port_no), **port.options}
    for key, value in wanted.items():
        if known.get(key) == value:
            continue
        if key in ("type", "port_no"):
            what = "port number" if key == "port_no" else key
            raise DpctlError(f"{name}: can't change {what} from {known[key]} to {value}")
        raise DpctlError(f"{name}: can't change {key}: delete the port and add it anew")


def set_if(run, words):
    """set-if IFACE[,OPTION=VALUE]..."""
    return _failing(run, words, _set_one)


def add_dp(run, words):
    """add-dp DP [IFACE...]"""
    from datapath.ipc import further

    kind, name = datapaths.split(words[0])
    if words[0] in datapaths.own_names():
        raise DpctlError("add_dp (File exists)")
    try:
        further.add(run.main, name, kind)
    except OSError as error:
        raise DpctlError(f"add_dp ({error.strerror})") from None
    datapaths.choose(run, f"{kind}@{name}")
    return add_if(run, words[1:])


def del_dp(run, words):
    """del-dp DP"""
    from datapath.ipc import further

    if words[0] in datapaths.own_names():
        raise DpctlError("del_dp: it is the switch's (Device or resource busy)")
    known = datapaths.further_name(run, words[0])
    if known is None or ("@" in words[0] and known != words[0]):
        raise DpctlError("opening datapath (No such device)")
    further.remove(run.main, known.partition("@")[2])
