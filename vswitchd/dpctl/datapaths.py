"""Which datapath a command of dpctl means: the switch's, or one that add-dp made."""

DEFAULT_TYPE = "system"


def split(text):
    """(type, name) of TYPE@NAME or NAME."""
    kind, at, name = text.partition("@")
    return (kind, name) if at else (DEFAULT_TYPE, text)


def own_names():
    """What the switch's datapath is called, with a type and without."""
    from datapath.text import datapath
    from pyvs import identity

    if datapath().startswith("dummy@"):
        return (datapath(),)  # a test's switch, where Open vSwitch knows no other name
    names = (datapath(), *identity.datapaths())
    return (*names, *(name.partition("@")[2] for name in names))


def further_name(run, word):
    """TYPE@NAME of the further datapath that a word means, or None."""
    from datapath.ipc import further

    for known in further.names(run.main):
        if word in (known, known.partition("@")[2]):
            return known
    return None


def is_exact(word):
    """Whether it names a datapath with its type: nothing else has such a name."""
    return "@" in word and "(" not in word


def choose(run, word):
    """Have the command be of the datapath that a word means; whether it means one."""
    if word in own_names():
        return True
    if "(" in word or "=" in word or not ("@" in word or word.replace("-", "").isalnum()):
        return False
    known = further_name(run, word)
    if known is None:
        return False
    from datapath.ipc.further import FurtherDpif

    run.chosen = known
    run.of_chosen = FurtherDpif(run.main.path, known.partition("@")[2], run.main.patience)
    return True
