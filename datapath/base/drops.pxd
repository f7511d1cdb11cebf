# Why a packet was discarded.  Every discard counts under one of these; drops.py has their names.

cdef enum:
    # not from OpenFlow tables: the datapath itself
    DROP_RX_INVALID = 0         # a frame without a whole Ethernet header
    DROP_RX_OVERSIZE            # larger than any buffer
    DROP_ACTION                 # the flow says drop: no actions, or DROP
    DROP_NO_SUCH_PORT           # output to a port that is not there
    DROP_TX_QUEUE_FULL
    DROP_TX_ERROR
    DROP_PORT_DOWN
    DROP_MTU_EXCEEDED
    DROP_UPCALL_QUEUE_FULL      # a miss or slow-path packet that vswitchd did not take in time
    DROP_UPCALL_NO_HANDLER      # the same, when no vswitchd is there
    DROP_RECIRC_TOO_DEEP        # recirculations and clones nested too deep
    DROP_BAD_ACTION             # an action that this datapath does not know
    DROP_NO_HEADROOM            # no room to push a header
    DROP_BAD_OFFLOAD            # offload state that contradicts the frame (checksum, segmentation)
    DROP_NO_MEMORY
    DROP_RX_QUEUE_FULL          # came faster than the worker took them; counted by the kernel
    DROP_METER                  # a meter's rate was exceeded
    DROP_TOO_MANY_ACTIONS       # a packet met more actions on its way than one may
    DROP_CT_NO_TRACKER          # a ct action, and no table of connections
    DROP_CT_NAT_EXHAUSTED       # no free address and port in the range of a nat
    DROP_FRAG_MALFORMED         # an IP fragment that contradicts itself or others, or came before
    DROP_FRAG_TOO_SMALL         # one that is not the last, and below the least size
    DROP_FRAG_LIMIT             # fragments of more packets, or bytes, than may wait
    DROP_FRAG_TIMEOUT           # the rest of the packet did not come in time
    DROP_PACKET_TYPE            # a header in front of the packet is not what the action is for
    DROP_TUNNEL_PUSH            # a packet that the tunnel's header does not fit
    DROP_TUNNEL_POP             # an encapsulated packet that is cut, or contradicts itself
    DROP_TUNNEL_NO_HEADER       # output to a tunnel port without a header for the way
    DROP_NO_MEMBER              # output to a bond no member of which carries the packet's bucket
    DROP_REASONS                # how many
