"""Commands of pyvs-ofctl that change groups."""

from ofproto import messages as m
from ofproto.group_text import parse_group, split_command
from ofproto.match_text import TextError

from .command import Fatal
from .ofctl_flows import read_lines
from .ofctl_session import OF13


def _connect(settings, target, command):
    session = settings.connect(target, OF13)
    if session.version < OF13:
        raise Fatal(f"{command} needs OpenFlow 1.3 or later ('-O OpenFlow13')")
    return session


def _read(text, command, names):
    try:
        return parse_group(text, command, names)
    except TextError as error:
        raise Fatal(str(error)) from None


def _read_file(path, command, names):
    """The group mods of a file's lines; `command` None: each line may begin with its own."""
    mods = []
    for where, line in read_lines(path):
        try:
            own, line = split_command(line) if command is None else (command, line)
            mods.append(parse_group(line, own, names))
        except TextError as error:
            raise Fatal(f"{where}: {error}") from None
    return mods


def _send(session, mods):
    """Do group mods in their order."""
    raws = []
    for mod in mods:
        try:
            raws.append(mod.encode(session.version, session.next_xid()))
        except (ValueError, m.OFError) as error:
            raise Fatal(f"group {mod.group_id}: {error}") from None
    session.command(*raws)


def _change(settings, target, text, command, name):
    """One group given as text, or the lines of standard input."""
    session = _connect(settings, target, name)
    names = settings.numbers(session)
    if text == "-":
        # Lines of add-group may say what else to do.
        mods = _read_file("-", None if command == m.GROUP_ADD else command, names)
    else:
        mods = [_read(text, command, names)]
    _send(session, mods)


def add_group(settings, target, text):
    """add-group SWITCH GROUP"""
    _change(settings, target, text, m.GROUP_ADD, "add-group")


def add_groups(settings, target, path):
    """add-groups SWITCH FILE"""
    session = _connect(settings, target, "add-groups")
    _send(session, _read_file(path, None, settings.numbers(session)))


def mod_group(settings, target, text):
    """[--may-create] mod-group SWITCH GROUP"""
    command = m.GROUP_ADD_OR_MODIFY if "may-create" in settings else m.GROUP_MODIFY
    _change(settings, target, text, command, "mod-group")


def del_groups(settings, target, text=""):
    """del-groups SWITCH [GROUP]"""
    _change(settings, target, text, m.GROUP_DELETE, "del-groups")


def _needs_15(settings, target, command):
    settings.connect(target, OF13)
    raise Fatal(f"{command} needs OpenFlow 1.5 or later ('-O OpenFlow15')")


def insert_buckets(settings, target, _text):
    """insert-buckets SWITCH GROUP"""
    _needs_15(settings, target, "insert-bucket")


def remove_buckets(settings, target, _text):
    """remove-buckets SWITCH GROUP"""
    _needs_15(settings, target, "remove-bucket")
