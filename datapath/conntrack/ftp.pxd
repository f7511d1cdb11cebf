# FTP's control connection: PORT, EPRT, and the answers 227 and 229.

from libc.stdint cimport uint64_t

from datapath.base.packet cimport packet
from datapath.conntrack.table cimport conn, tracker

cdef void ftp_packet(tracker *t, packet *p, conn *c, int way, bint nat, uint64_t now) noexcept nogil
