"""All actions, and how lists of them go to and from bytes and text; see action_base."""

from .action_base import (
    Action as Action,
)
from .action_base import (
    CheckContext as CheckContext,
)
from .action_base import (
    decode_actions as decode_actions,
)
from .action_base import (
    encode_actions as encode_actions,
)
from .action_base import (
    format_actions as format_actions,
)
from .action_base import (
    parse_action as parse_action,
)
from .action_base import (
    parse_actions as parse_actions,
)
from .actions_nx import (
    Clone as Clone,
)
from .actions_nx import (
    Controller as Controller,
)
from .actions_nx import (
    Note as Note,
)
from .actions_nx import (
    OutputReg as OutputReg,
)
from .actions_nx import (
    RegLoad as RegLoad,
)
from .actions_nx import (
    RegMove as RegMove,
)
from .actions_nx import (
    Resubmit as Resubmit,
)
from .actions_nx import (
    StackPop as StackPop,
)
from .actions_nx import (
    StackPush as StackPush,
)
from .actions_of import (
    CopyTtlIn as CopyTtlIn,
)
from .actions_of import (
    CopyTtlOut as CopyTtlOut,
)
from .actions_of import (
    DecMplsTtl as DecMplsTtl,
)
from .actions_of import (
    DecTtl as DecTtl,
)
from .actions_of import (
    Enqueue as Enqueue,
)
from .actions_of import (
    Exit as Exit,
)
from .actions_of import (
    Group as Group,
)
from .actions_of import (
    Output as Output,
)
from .actions_of import (
    PopMpls as PopMpls,
)
from .actions_of import (
    PopQueue as PopQueue,
)
from .actions_of import (
    PopVlan as PopVlan,
)
from .actions_of import (
    PushMpls as PushMpls,
)
from .actions_of import (
    PushVlan as PushVlan,
)
from .actions_of import (
    SetField as SetField,
)
from .actions_of import (
    SetMplsTtl as SetMplsTtl,
)
from .actions_of import (
    SetQueue as SetQueue,
)
from .actions_of import (
    SetTtl as SetTtl,
)


def check_actions(actions, context: CheckContext) -> None:
    """Check a list in its order.  Raises OFError OFPBAC_*."""
    for action in actions:
        action.check(context)
