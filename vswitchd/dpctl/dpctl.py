"""What pyvs-dpctl and the dpctl/* commands of vswitchd do, in the manner of ovs-dpctl(8).

Each function takes a Run and the words behind the command's name (and DP); COMMANDS lists them.
What they need is imported when it is called for: most commands need little, and start fast.
One that may do much is a generator, whose steps are little work.
"""

from collections.abc import Iterator

from vswitchd.dpctl import counters, ct_dpctl, datapaths, flows, ports, usage
from vswitchd.dpctl.run import DpctlError


def list_commands(run, _words):
    """list-commands"""
    run.print("The available commands are:\n")
    for name in COMMANDS:
        run.print(f"  {run.prefix}{name:<23} {usage.arguments(name)}\n")


# name -> function, least and most arguments without DP (None: any number), changes something
COMMANDS = {
    "dump-dps": (ports.dump_dps, 0, 0, False),
    "show": (counters.show, 0, 0, False),
    "dump-flows": (flows.dump_flows, 0, None, False),
    "add-flow": (flows.add_flow, 2, 2, True),
    "add-flows": (flows.add_flows, 1, 1, True),
    "mod-flow": (flows.mod_flow, 2, 2, True),
    "mod-flows": (flows.mod_flows, 1, 1, True),
    "get-flow": (flows.get_flow, 1, 1, False),
    "del-flow": (flows.del_flow, 1, 1, True),
    "del-flows": (flows.del_flows, 0, 1, True),
    "add-dp": (ports.add_dp, 1, None, True),
    "del-dp": (ports.del_dp, 1, 1, True),
    "add-if": (ports.add_if, 1, None, True),
    "set-if": (ports.set_if, 1, None, True),
    "del-if": (ports.del_if, 1, None, True),
    "drops": (counters.drops, 0, 0, False),
    "dump-meters": (counters.dump_meters, 0, 0, False),
    "stats": (counters.stats, 0, 0, False),
    "normalize-actions": (flows.normalize_actions, 2, 2, False),
    "parse-actions": (flows.show_parsed, 1, None, False),
    "cache-get-size": (counters.cache_sizes, 0, 0, False),
    "cache-set-size": (counters.set_cache_size, 2, 2, True),
    "offload-stats-show": (counters.offload_stats, 0, 0, False),
    "list-commands": (list_commands, 0, 0, False),
    **ct_dpctl.COMMANDS,
}
NAMED_BY_THEMSELVES = ("add-dp", "del-dp")


def without_datapath(run, words, least):
    """The words behind DP, which is chosen; all of them where the first one is no datapath's name,
    or is needed."""
    if not words or (len(words) <= least and not datapaths.is_exact(words[0])):
        return words
    return words[1:] if datapaths.choose(run, words[0]) else words


def _not_found(name, word):
    if name == "show":
        return f"opening datapath {word} failed (No such device)"
    return "datapath not found (Invalid argument)"


def do(run, name, words):
    """Check and call a row of COMMANDS; returns the exit status."""
    steps = do_in_steps(run, name, words)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def do_in_steps(run, name, words):
    """The same as a generator, whose value is the exit status."""
    function, least, most, changes = COMMANDS[name]
    if name not in NAMED_BY_THEMSELVES:
        words = without_datapath(run, words, least)
    if len(words) < least:
        raise DpctlError(f"'{name}' command requires at least {least} arguments")
    if most is not None and len(words) == most + 1 and name not in NAMED_BY_THEMSELVES:
        raise DpctlError(_not_found(name, words[0]))
    if most is not None and len(words) > most:
        raise DpctlError(f"'{name}' command takes at most {most} arguments")
    if changes and "read-only" in run:
        raise DpctlError(f"'{name}' command does not work in read only mode")
    try:
        done = function(run, words)
        if isinstance(done, Iterator):
            done = yield from done
    except ct_dpctl.CtError as error:
        raise DpctlError(str(error)) from None
    finally:
        run.close()
    return done or 0
