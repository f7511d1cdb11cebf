"""Doorbells: made by the datapath, which gives the other end to the handler."""

import contextlib
import socket

SO_PASSRIGHTS = 83              # <asm-generic/socket.h>, since Linux 6.16


def make_doorbell():
    """Two descriptors, the caller's: one for each side."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in ends:
        # A descriptor sent along would be closed by who quiets the doorbell, and that of a
        # connection that lingers can take as long as the sender likes.
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
    return [end.detach() for end in ends]
