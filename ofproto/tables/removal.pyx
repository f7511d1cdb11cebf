"""Removal of many flows about which nobody is to be told: most of those that a controller deletes at
once.

A flow is plain here when all that follows from its removal is that packets do not meet it any more:
no FLOW_REMOVED, no flow monitor, and nothing that counts it among its users (groups, meters, options of
tunnels, lessons, eviction).  What is not plain goes by FlowTables.remove().
"""

from ofproto.rules.classifier cimport Classifier, Rule
from ofproto.rules.program cimport Program
from ofproto.xlate.bridges.xbridge cimport XBridge

from ofproto.codec import messages
from ofproto.codec.numbers import TABLE_ALL

cdef unsigned int SEND_FLOW_REM = messages.SEND_FLOW_REM


def is_quiet(tables):
    """Whether removals of plain flows are nobody's business now."""
    return (tables.transaction is None and tables.pending is None and tables.watched is None
            and not tables.hidden and not tables.meters.by_id
            and tables.configs.is_plain(TABLE_ALL))


cdef bint is_plain(Rule rule) noexcept:
    cdef Program program = rule.program
    if rule.flags & SEND_FLOW_REM or rule.options:
        return False
    return program is None or not (program.groups or program.options or program.learned)


def all_plain(Classifier table not None):
    """Whether all flows of a table are."""
    cdef Rule rule
    cdef dict chunk
    for chunk in table.chunks.values():
        for rule in chunk:
            if not is_plain(rule):
                return False
    return True


def remove_plain(tables, list rules not None):
    """Removes plain flows, if it is_quiet(); returns a list of the others."""
    cdef XBridge xbridge = tables.xbridge
    cdef Classifier table
    cdef Rule rule
    cdef list rest = []
    cdef Py_ssize_t n = 0
    cdef object learned = tables.learned if tables.learned.has_index else None
    if not is_quiet(tables):
        return rules
    for rule in rules:
        if not is_plain(rule):
            rest.append(rule)
            continue
        table = xbridge.tables[rule.table_id]
        if table is not None and table.remove(rule):
            n += 1
            if learned is not None:
                learned.rule_gone(rule)
    if n:
        xbridge.generation.touch("flow_table")
    return rest
