"""vswitchd's table of flows, for its test."""

from libc.string cimport memcpy

from ofproto.flows.ukeys cimport Ukey, UkeyTable


cdef class Table:
    """A UkeyTable whose flows are numbers."""
    cdef UkeyTable table

    def __init__(self):
        self.table = UkeyTable()

    def add(self, bytes name):
        """KeyError where it is there."""
        cdef Ukey ukey = Ukey()
        memcpy(ukey.name, <const char *> name, 16)
        self.table.add(ukey, 1)

    def find(self, bytes name):
        """Its name, or None."""
        cdef Ukey found = self.table.find(<const unsigned char *> <const char *> name)
        return None if found is None else found.ufid

    def remove(self, bytes name):
        """Whether it was there."""
        cdef Ukey found = self.table.find(<const unsigned char *> <const char *> name)
        return found is not None and self.table.remove(found)

    def names(self):
        """All, by age."""
        return [(<Ukey> ukey).ufid for ukey in self.table.values()]

    def take_all(self):
        return [(<Ukey> ukey).ufid for ukey in self.table.take_all()]

    @property
    def is_moving(self):
        """Whether it has grown and is not done with it."""
        return self.table.former.slots is not NULL
