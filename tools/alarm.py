"""How long a run may take."""

import _signal  # `signal` makes enums of its numbers, which takes longer than most commands
import os

from pyvs import digits
from pyvs_tools.command import Fatal

MOST_SECONDS = (1 << 31) - 1  # that alarm(2) takes


def set_timeout(text, option="-t or --timeout", zero=False):
    """End the process by SIGALRM after `text` seconds; None: never.  Zero is "never" where the
    command takes it (`zero`)."""
    if text is None:
        return
    seconds = digits.number(text, MOST_SECONDS)
    if seconds is None or not (seconds or zero):
        raise Fatal(f"value {text} on {option} is invalid")
    start_alarm(seconds)


def start_alarm(seconds):
    """End the process by SIGALRM after so many seconds (0: never), and say so."""

    def end(_number, _frame):
        from pyvs_tools.diagnostics import tell_of_signal  # little is loaded without need

        _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
        tell_of_signal(_signal.SIGALRM)
        os.kill(os.getpid(), _signal.SIGALRM)

    _signal.signal(_signal.SIGALRM, end)
    _signal.alarm(seconds)
