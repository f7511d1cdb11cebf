"""Waiting for vswitchd, which says in Open_vSwitch.cur_cfg which configuration it has applied."""


def wait_for_vswitchd(client, database, who, next_cfg):
    """Returns when configuration `next_cfg` is applied; leaves the monitor `who`-cfg behind.

    Raises rpc.Disconnected, also where the client's socket has a timeout and that passes.
    """
    request = {"columns": ["cur_cfg"], "select": {"initial": True}}
    update = client.request("monitor", [database, who + "-cfg", {"Open_vSwitch": request}])
    while not _is_applied(update, next_cfg):
        message = client.notification()
        update = message["params"][1] if message.get("method") == "update" else {}


def _is_applied(update, next_cfg):
    rows = update.get("Open_vSwitch", {}).values()
    return any(row.get("new", {}).get("cur_cfg", -1) >= next_cfg for row in rows)
