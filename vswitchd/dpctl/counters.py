"""dpctl's commands that show a datapath: ports with their counters, drops, meters, workers."""

from vswitchd.dpctl.run import DpctlError


def show(run, _words):
    """show [-s]"""
    from datapath import text

    stats, ports = run.dpif.stats(), run.ports()
    if run.wants_json():
        name = run.chosen or text.datapath()
        run.print_json({name: {**stats, "ports": [port._asdict() for port in ports]}})
    else:
        run.print(text.format_show(stats, ports, "statistics" in run, run.chosen))


def drops(run, _words):
    """drops: by reason, then of each port that had some."""
    from datapath import text

    total = run.dpif.stats()
    if run.wants_json():
        run.print_json({"total": total["drops"], "ports": {p.name: p.drops for p in run.ports()}})
        return
    run.print(text.format_drops(total))
    for port in run.ports():
        if port.drops:
            run.print(f"port {port.port_no}: {port.name}\n")
            run.print("".join(f"  {line}\n" for line in text.format_counts(port.drops)))


def dump_meters(run, _words):
    """dump-meters: by number."""
    from datapath import text

    meters = run.dpif.meter_dump()
    if run.wants_json():
        run.print_json([info._asdict() for info in meters])
        return
    run.print("".join(text.format_meter(info) for info in meters))


def stats(run, _words):
    """stats: of each worker."""
    from datapath import text

    counted = run.dpif.stats()
    if run.wants_json():
        run.print_json(counted)
    else:
        run.print(text.format_workers(counted))


def cache_sizes(run, _words):
    """cache-get-size: no cache of this datapath has a size that can be told or set."""
    from datapath.text import datapath

    run.print(f"{run.chosen or datapath()}:\n")


def set_cache_size(run, _words):
    """cache-set-size CACHE SIZE"""
    raise DpctlError("Setting caches not supported (Operation not supported)")


def offload_stats(run, _words):
    """offload-stats-show: no port's hardware takes flows over."""
    raise DpctlError("retrieving offload statistics: not supported (Operation not supported)")
