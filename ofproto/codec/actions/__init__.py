"""All actions, and how lists of them go to and from bytes and text; see base."""
# ruff: noqa: F401 - the names that this module is imported for

from .base import (
    Action,
    CheckContext,
    decode_actions,
    decode_shared,
    encode_actions,
    format_actions,
    parse_action,
    parse_actions,
)
from .ct import Ct, CtClear, Nat
from .encap import Decap, Encap
from .extended import (
    CheckPktLarger,
    Conjunction,
    DebugRecirc,
    DebugSlow,
    DecNshTtl,
    DeleteField,
    FinTimeout,
    Sample,
)
from .learn import Clause, Learn
from .nx import Clone, Controller, Note, Resubmit, StackPop, StackPush
from .of import (
    CopyTtlIn,
    CopyTtlOut,
    DecMplsTtl,
    DecTtl,
    Enqueue,
    Exit,
    Group,
    PopMpls,
    PopPbb,
    PopQueue,
    PopVlan,
    PushMpls,
    PushPbb,
    PushVlan,
    SetMplsTtl,
    SetQueue,
    SetTtl,
)
from .output import Output, OutputReg, OutputTrunc
from .set import RegLoad, RegMove, SetField
from .spread import Bundle, Multipath


def check_nesting(actions) -> None:
    """Check that what only ct() may do is within it, and nothing else is.  Raises Refusal."""
    context = CheckContext()
    for action in actions:
        if isinstance(action, Ct):
            action.check_nested()
        elif isinstance(action, Nat):
            action.check(context)
        elif isinstance(action, SetField | RegLoad | RegMove):
            context.check_owner(action.dst if isinstance(action, RegMove) else action.field)


def check_actions(actions, context: CheckContext) -> None:
    """Check a list in its order.  Raises OFError OFPBAC_*."""
    for action in actions:
        action.check(context)
