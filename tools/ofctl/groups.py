"""Commands of pyvs-ofctl that change groups."""

from ofproto.codec import messages as m
from ofproto.codec.match_text import TextError
from ofproto.codec.notes import note
from ofproto.codec.numbers import OF10, OF15
from ofproto.text.group_text import parse_group, split_command
from pyvs_tools.command import Fatal

from .flows import no_format, read_lines

# By Nicira's extension they are in 1.0, too.
FROM_15 = (m.GROUP_INSERT_BUCKET, m.GROUP_REMOVE_BUCKET)


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


def _needs_15(session, command):
    """What is said of a command that the session's version lacks; in bundles 1.0 is no way out."""
    if command == m.GROUP_INSERT_BUCKET:
        return "insert-bucket needs OpenFlow 1.5 or later ('-O OpenFlow15')"
    extension = "" if session.bundles else "OpenFlow10,NXM,"
    return no_format(extension + "OXM-OpenFlow15", session)


def _send(session, mods):
    """Do group mods in their order."""
    raws = []
    for mod in mods:
        if mod.command in FROM_15 and session.version not in (OF10, OF15):
            raise Fatal(_needs_15(session, mod.command))
        if mod.method == "hash" and session.version not in (OF10, OF15):
            note(
                "ofp_group",
                f"group {mod.group_id}: selection_method=hash is left out, as it needs "
                "OpenFlow 1.5 ('-O OpenFlow15'), or 1.0",
            )
        try:
            raws.append(mod.encode(session.version, session.next_xid()))
        except (ValueError, m.OFError) as error:
            raise Fatal(f"group {mod.group_id}: {error}") from None
    session.execute(raws)


def _change(settings, target, text, command):
    """One group given as text, or the lines of standard input."""
    session = settings.connect(target)
    names = settings.numbers(session)
    if text == "-":
        # Lines of add-group may say what else to do.
        mods = _read_file("-", None if command == m.GROUP_ADD else command, names)
    else:
        mods = [_read(text, command, names)]
    _send(session, mods)


def add_group(settings, target, text):
    """add-group SWITCH GROUP"""
    _change(settings, target, text, m.GROUP_ADD)


def add_groups(settings, target, path):
    """add-groups SWITCH FILE"""
    session = settings.connect(target)
    _send(session, _read_file(path, None, settings.numbers(session)))


def mod_group(settings, target, text):
    """[--may-create] mod-group SWITCH GROUP"""
    command = m.GROUP_ADD_OR_MODIFY if "may-create" in settings else m.GROUP_MODIFY
    _change(settings, target, text, command)


def del_groups(settings, target, text=""):
    """del-groups SWITCH [GROUP]"""
    _change(settings, target, text, m.GROUP_DELETE)


def insert_buckets(settings, target, text):
    """insert-buckets SWITCH GROUP"""
    _change(settings, target, text, m.GROUP_INSERT_BUCKET)


def remove_buckets(settings, target, text):
    """remove-buckets SWITCH GROUP"""
    _change(settings, target, text, m.GROUP_REMOVE_BUCKET)
