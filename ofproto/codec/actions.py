"""All actions, and how lists of them go to and from bytes and text; see action_base."""
# ruff: noqa: F401 - the names that this module is imported for

from .action_base import (
    Action,
    CheckContext,
    decode_actions,
    encode_actions,
    format_actions,
    parse_action,
    parse_actions,
)
from .actions_nx import Clone, Controller, Note, Resubmit, StackPop, StackPush
from .actions_of import (
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
from .actions_output import Output, OutputReg
from .actions_set import RegLoad, RegMove, SetField


def check_actions(actions, context: CheckContext) -> None:
    """Check a list in its order.  Raises OFError OFPBAC_*."""
    for action in actions:
        action.check(context)
