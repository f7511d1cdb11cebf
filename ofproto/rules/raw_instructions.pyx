"""A flow's instructions as they came: what most flows are never asked for again is not decoded.

They were in order when they came (tables/mod_plan says how that is known), and their bytes are what
the codec makes of them in the same version.
"""

from ofproto.codec.instructions import decode_instructions
from ofproto.rules.compile import compile_actions


cdef class RawInstructions:
    """`data`: their bytes in OpenFlow's `version`; in 1.0, of actions."""

    def decode(self):
        """A list of Instruction."""
        return decode_instructions(self.data, self.version)

    def compile(self):
        """A Program of them."""
        return compile_actions((), self.decode())


cdef RawInstructions raw_instructions(bytes data, int version, object kind):
    cdef RawInstructions made = RawInstructions.__new__(RawInstructions)
    made.data = data
    made.version = version
    made.kind = kind
    return made
