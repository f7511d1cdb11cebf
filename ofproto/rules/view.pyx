"""Versions of a bridge's tables (node.pxd says which of them see a rule)."""


cdef class View:
    """Which version of a bridge's tables their readers see: `committed`, or within a transaction's
    own steps the one that it makes."""

    def __cinit__(self):
        self.now = self.committed = 0

    @property
    def ahead(self):
        """Whether the readers of now are a transaction's own."""
        return self.now != self.committed

    def enter(self):
        """From here to leave(), see and change the version of the transaction."""
        self.now = self.committed + 1

    def leave(self):
        """See what is committed."""
        self.now = self.committed

    def switch(self):
        """The transaction's version is everybody's."""
        self.committed += 1
        self.now = self.committed
