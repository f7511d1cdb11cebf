# Output to tunnel ports: what the outer header is to say.

from ofproto.xlate.context cimport XlateContext, pipeline
from ofproto.xlate.xbridge cimport XPort

# To a tunnel port; `run` is the pipeline, for the bridge that the encapsulated packet goes through.
cdef int output_tunnel(XlateContext x, XPort port, pipeline run) except -1
