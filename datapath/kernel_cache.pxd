# See kernel_cache.pyx.

from datapath.netdev.af_packet cimport PacketNetdev
from datapath.worker.state cimport command


cdef class KernelCache:
    cdef list workers
    cdef object tc
    cdef object memory          # KernelMemory, None: it is off
    cdef object host            # HostUse, None: it is off
    cdef bint unsettled         # of some ports it is not said yet whether the host uses them
    cdef readonly bint wanted
    cdef readonly str reason    # why it is off
    cdef dict refused           # name of a port: why it has no part in it
    cdef dict attached          # devices that may have our classifier: the name of the port of each
    cdef set bare               # of them, those that have not got it yet,
    cdef set waiting            # or have another process's until hand_over()
    cdef dict ports             # PacketNetdevs that have a part in it, by device
    cdef dict failures          # name of a port: how often frames did not reach its classifier
    cdef object next_check      # ms
    cdef dict left              # devices on which a former process left its program: the program's id
    cdef readonly bint inherits     # what the former process's flows were is done until hand_over()
    cdef int n_came             # ports that were there when tidy() looked
    cdef object until           # ms, when what was left goes

    cdef int _all_workers(self, command *c) except -1
    cdef int _join(self, PacketNetdev dev) except -1
    cdef int _exchange(self, PacketNetdev dev) except -1
    cdef int _clothe(self, PacketNetdev dev) except -1
    cdef int _withdraw(self, PacketNetdev dev) except -1
    cdef int _void(self, PacketNetdev dev) except -1
    cdef int _tell_workers(self) except -1
