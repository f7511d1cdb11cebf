"""Python's own hook, by PYTHONPATH of the daemons alone: monitors that never wait.

A daemon that dies again and again is started again after growing pauses, 10 s in the end, in which
a soak would do nothing but wait.
"""

from pyvs.process import supervise

supervise.STEADY_SECONDS = 0
