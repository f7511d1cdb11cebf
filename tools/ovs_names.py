"""pyvs-ctl ovs-names: links by which the programs go under Open vSwitch's names."""

import os
import sys

from pyvs import identity
from pyvs_tools.command import Fatal


def _place(own):
    """The path of one of our commands."""
    for place in (os.path.dirname(os.path.abspath(sys.argv[0])), os.path.dirname(sys.executable)):
        path = os.path.join(place, own)
        if os.access(path, os.X_OK):
            return path
    raise Fatal(f"cannot find the command {own}")


def _is_ours(path, own):
    return os.path.islink(path) and os.path.basename(os.readlink(path)) == own


def make_links(directory):
    """Make them in a directory, which may be there; ones from before are made anew.

    Raises Fatal where a name is taken by something else, before anything is changed.
    """
    os.makedirs(directory, exist_ok=True)
    links = [
        (os.path.join(directory, theirs), own) for own, theirs in identity.OVS_PROGRAMS.items()
    ]
    for path, own in links:
        if os.path.lexists(path) and not _is_ours(path, own):
            raise Fatal(f"{path} is there and is not a link to {own}")
    for path, own in links:
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(_place(own), path)
