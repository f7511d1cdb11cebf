"""The lines of `ofproto/trace` for what translation did, in Open vSwitch's layout.

A step is (level, kind, what): an action's level is one more than its table's, a table's that of the
action that led to it.
"""

from ofproto.codec.actions.nx import Clone

from .state.steps import text_of

_PREFIX = {"detail": " -> ", "warn": " >> ", "error": " >>>> "}
_THAWED = {"thaw": 0, "restoring": 2, "restored": 1}  # how deep they stand under the bridge
_SUFFIX = {"error": " <<<<"}


def render(steps, names=None):
    """The lines for translation's steps.

    What an action leads to stands under it, one level deeper unless it is the last of its list,
    where nothing follows that it could be taken for.  Of several bridges that one leads to (NORMAL,
    flood) each counts as an action in this.
    """
    cloned = _in_clones(steps)
    lasts, followed = _lasts(steps, cloned), _followed(steps)
    base = {1: 0}  # level of a list of actions -> its indentation
    below = {0: (0, 0)}  # level -> indentation of what stands under the action there, and of that
    child = {0: (0, 0)}  # the same of the bridge there, if the action led to one
    for at, (level, kind, step) in enumerate(steps):
        text = text_of(step, names)
        if kind == "bridge":
            indent = base.get(level, 0)
            own, inner = indent + 1, indent + 2  # a mirror's, before the first action, too
            if not followed[at]:
                own, inner = below.get(level, (own, inner))
            child[level] = (inner, inner)
            yield from ("", "    " * own + text, "    " * own + "-" * len(text))
        elif kind in _THAWED:
            yield "    " * (child[level][0] + 1 + _THAWED[kind]) + text
        elif kind == "table":
            own, inner = child[level]
            base[level + 1] = inner
            yield "    " * own + text
        elif kind == "action":
            if cloned[at] or level not in base:
                base[level] = base.get(level - 1, 0)
            indent = base[level]
            below[level] = (indent, indent) if lasts[at] else (indent + 1, indent + 2)
            child[level] = below[level]
            yield "    " * (indent + 1) + text
        elif kind == "bucket":  # of the group action above it
            indent = base.get(level, 0)
            base[level + 1] = indent + 2
            yield "    " * (indent + 1) + text
        else:
            indent = base.get(level, 0) + (level > 0)
            yield "    " * indent + _PREFIX[kind] + text + _SUFFIX.get(kind, "")


def _lasts(steps, cloned):
    """Of each step, whether an action there is its list's last: neither an action of the same list
    follows nor, behind the list, the action set; what is in a clone is not last where the clone is
    not.  One pass from the end."""
    lasts = bytearray(len(steps))
    known = []  # by level: the answer for an action there, as far as what follows says; else True
    for at in range(len(steps) - 1, -1, -1):
        level, kind, step = steps[at]
        if level >= len(known):
            known += [True] * (level + 1 - len(known))
        if cloned[at] and not known[level - 1]:
            known[level] = False
        lasts[at] = known[level]
        del known[level + 1 :]
        known.append(not (isinstance(step, str) and step.startswith("--.")))
        if kind == "action":
            known[level] = False
    return lasts


def _followed(steps):
    """Of each step, whether it is a bridge, and the same action leads to another one behind it."""
    found = bytearray(len(steps))
    later = []  # by level: whether a bridge follows there before an action
    for at in range(len(steps) - 1, -1, -1):
        level, kind, _step = steps[at]
        del later[level + 1 :]
        later += [False] * (level + 1 - len(later))
        if kind == "bridge":
            found[at] = level and later[level]
        if kind in ("bridge", "action"):
            later[level] = kind == "bridge"
    return found


def _in_clones(steps):
    """Of each step, whether it is an action directly in a clone: that is above it, with no table
    or bucket between."""
    found = bytearray(len(steps))
    above = {}  # by level: whether the latest action there is a clone
    for at, (level, kind, step) in enumerate(steps):
        found[at] = kind == "action" and above.get(level - 1, False)
        if kind != "detail":
            above[level] = kind == "action" and isinstance(step, Clone)
    return found
