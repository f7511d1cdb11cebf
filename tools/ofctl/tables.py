"""mod-table: settings of flow tables, each with the versions of OpenFlow that have it."""

from ofproto.codec import messages as m
from ofproto.codec.numbers import OF11, OF12, OF13, OF14, OF15
from ofproto.text.flow_text import TextError, parse_table
from pyvs import digits
from pyvs_tools.command import Fatal

from .session import VERSIONS

_OLD, _NAMES, _NEW = (OF11, OF12), (OF13, OF14, OF15), (OF14, OF15)
MISSES = {"controller": m.MISS_CONTROLLER, "continue": m.MISS_CONTINUE, "drop": m.MISS_DROP}
# Word of a setting -> versions
SETTINGS = {
    **dict.fromkeys(MISSES, _OLD),
    **dict.fromkeys(("evict", "noevict", "vacancy", "novacancy"), _NEW),
    "name": _NAMES,
}


def mod_table(settings, target, table_text, setting):
    """mod-table SWITCH TABLE SETTING"""
    word, _, value = setting.partition(":")
    versions = SETTINGS.get(word)
    if versions is None:
        raise Fatal(f"invalid table_mod setting {setting}")
    levels = _levels(value) if word == "vacancy" else None
    session = settings.connect(target)
    try:
        everything = table_text.upper() == "ALL"
        table = None if everything else parse_table(table_text, settings.numbers(session))
    except TextError as error:
        raise Fatal(str(error)) from None
    if session.version not in versions:
        known = {number: name for name, number in VERSIONS.items()}
        names = ", ".join(known[version] for version in versions)
        raise Fatal(f"table_mod '{word}' requires one of the OpenFlow versions {names}")
    for _ in range(2):  # ovs-ofctl asks for the tables' names in a connection of its own
        session.next_xid()
    if word in MISSES:
        session.tell(m.TableMod(table, MISSES[word]))
    elif word == "name":
        _rename(session, table, value)
    else:
        _change(session, table, word, levels)


def _levels(text):
    """(down, up) of "LOW,HIGH" in per cent."""
    down, comma, up = text.partition(",")
    if not comma or not up:
        raise Fatal("Vacancy up value missing" if text else "Vacancy down value missing")
    low, high = digits.number(down, 100), digits.number(up, 100)
    if low is None or high is None:
        raise Fatal(f'Invalid vacancy threshold "{text}"')
    if high < low:
        raise Fatal(
            "Invalid vacancy range, vacancy up should be greater than vacancy down "
            "(OFPBPC_BAD_VALUE)"
        )
    return low, high


def _change(session, table, word, levels):
    """Eviction or vacancy, with the other one left as it is."""
    config, vacancy = 0, None
    for _raw, reply in session.replies(m.TableDescRequest()):
        for each in reply.tables:
            if table in (None, each.table_id) and vacancy is None:
                config, vacancy = each.config, each.vacancy and each.vacancy[:2]
    bit = m.TC_EVICTION if word.endswith("evict") else m.TC_VACANCY_EVENTS
    config = config & ~bit if word.startswith("no") else config | bit
    if bit == m.TC_VACANCY_EVENTS:
        vacancy = levels
    session.tell(m.TableMod(table, config, None, vacancy))


def _rename(session, table, name):
    """By TABLE_FEATURES: from 1.5 on of the one table, before of all of them."""
    if table is None:
        raise Fatal("a name is for one table")
    parts = session.replies(m.TableFeaturesRequest())
    tables = [each for _raw, reply in parts for each in reply.tables]
    if session.version >= OF15:
        tables = [m.TableFeatures(table, name)]
    for each in tables:
        if each.table_id == table:
            each.name = name
    xid = session.next_xid()
    raws = list(m.multipart(m.TableFeaturesRequest, tables, session.version, xid))
    for _raw, _reply in session.replies_to(xid, raws):
        pass
