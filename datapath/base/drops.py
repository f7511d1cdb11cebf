"""The names of drop reasons, as users read them; index = the enum in drops.pxd."""

NAMES = (
    "rx_invalid_packet",
    "rx_oversize",
    "action_drop",
    "no_such_port",
    "tx_queue_full",
    "tx_error",
    "port_down",
    "mtu_exceeded",
    "upcall_queue_full",
    "upcall_no_handler",
    "recirc_too_deep",
    "bad_action",
    "no_headroom",
    "bad_offload",
    "no_memory",
    "rx_queue_full",
    "meter_exceeded",
    "too_many_actions",
)
