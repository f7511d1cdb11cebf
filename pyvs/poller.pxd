# What is served between two rounds of a daemon's loop; poller.pyi has the Python side.


cdef class Server:
    # Serves what is there.  Returns in how many seconds a round is wanted, 0: at once.
    cdef double serve(self) except? -1
