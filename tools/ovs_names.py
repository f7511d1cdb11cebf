"""pyvs-ctl ovs-names: links by which the programs go under Open vSwitch's names."""

import os
import shutil
import subprocess
import sys

from pyvs import identity, rundir
from pyvs_tools.command import Fatal


def program_path(name: str) -> str:
    """The path of one of our commands, by its own name or by Open vSwitch's.  Raises Fatal."""
    places = [os.path.dirname(os.path.abspath(sys.argv[0])), os.path.dirname(sys.executable)]
    # Under a name of Open vSwitch's there may be no link but the one that we were called by.
    for word in (name, *(own for own, theirs in identity.OVS_PROGRAMS.items() if theirs == name)):
        for place in places:
            path = os.path.join(place, word)
            if os.access(path, os.X_OK):
                return path
    found = shutil.which(name)
    if found is None:
        raise Fatal(f"cannot find the command {name}")
    return found


def run_program(name: str, *words: str, text: str | None = None) -> str:
    """A command of ours, or of the system's; its output.  Raises Fatal."""
    own = identity.program(name) if name.startswith("pyvs-") else name
    path = program_path(own) if name.startswith("pyvs-") else own
    environment = {
        **identity.child_environment(),
        identity.variable("RUNDIR"): rundir.rundir(),
    }
    done = subprocess.run(
        [path, *words], input=text, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise Fatal(f"{own} {' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _is_ours(path, own):
    return os.path.islink(path) and os.path.basename(os.readlink(path)) == own


def make_links(directory: str) -> int:
    """Make them in a directory, which may be there; ones from before are made anew.  Returns the
    exit status.

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
        os.symlink(program_path(own), path)
    return 0
