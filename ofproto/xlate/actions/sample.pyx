"""Samples for exporters, as datapath actions: what a bridge's sFlow and IPFIX ask for, and sample
actions.  Where a bridge has a meter "slowpath", they pass it."""

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcpy, memset

from datapath.actions.odp cimport ACT_SAMPLE, ACT_USERSPACE, attr
from datapath.actions.samples cimport (
    NO_OUTPUT, SAMPLE_EGRESS, SAMPLE_INGRESS, USERSPACE_FLOW_SAMPLE, USERSPACE_IPFIX, USERSPACE_SFLOW,
    sample_data,
)
from ofproto.codec.numbers cimport OFPP_NONE
from ofproto.xlate.state.context cimport flow_in_port
from ofproto.xlate.bridges.xbridge cimport NO_ODP_PORT, XPort
from ofproto.xlate.bridges.xsampling cimport XSampling

cdef enum:
    ALWAYS = 0xffffffff         # probability of ACT_SAMPLE
    OFPM_SLOWPATH = 0xfffffffd
    USERDATA_AT = 12            # in ACT_USERSPACE, header included
    # sFlow version 5, "interface" of a flow sample: format in the two high bits
    DISCARDED = 0x40000000 | 256    # reason 256: unknown
    MULTIPLE = 0x80000000


cdef int sample_in(XlateContext x) except -1:
    cdef XSampling sampling
    cdef sample_data data
    if x.bridge.sampling is None:
        return 0
    sampling = <XSampling> x.bridge.sampling
    start_data(sampling, &data)
    if sampling.sflow:
        x.sflow_at = emit(x, sampling.sflow, USERSPACE_SFLOW, &data)
    if sampling.ipfix and sampling.ipfix_input and flow_in_port(&x.flow) != OFPP_NONE:
        emit(x, sampling.ipfix, USERSPACE_IPFIX, &data)
    return 0


cdef int sample_out(XlateContext x, uint32_t odp_port) except -1:
    cdef XSampling sampling = <XSampling> x.bridge.sampling
    cdef sample_data data
    if sampling.ipfix and sampling.ipfix_output:
        start_data(sampling, &data)
        data.output = odp_port
        emit(x, sampling.ipfix, USERSPACE_IPFIX, &data)
    return 0


cdef int sample_tunnel(XlateContext x, XPort port) except -1:
    cdef XSampling sampling = <XSampling> x.bridge.sampling
    cdef sample_data data
    if sampling.ipfix and sampling.ipfix_output:
        start_data(sampling, &data)
        data.output = port.odp_port
        if sampling.ipfix_tunnels and port.tunnel.config.kind in sampling.tunnel_kinds:
            data.tunnel_out = port.odp_port
        emit(x, sampling.ipfix, USERSPACE_IPFIX, &data)
    return 0


cdef int finish_samples(XlateContext x) except -1:
    cdef sample_data data
    cdef XSampling sampling
    if not x.sflow_at or x.out.failed or x.out.length < x.sflow_at + sizeof(data):
        return 0
    sampling = <XSampling> x.sampled.sampling
    memcpy(&data, x.out.data + x.sflow_at, sizeof(data))
    data.tci = x.base.vlan[0].tci
    data.output = DISCARDED
    if x.n_outputs:
        data.output = sampling.ifindexes.get(x.last_output, 0) if x.n_outputs == 1 else 0
        if not data.output:
            data.output = MULTIPLE | x.n_outputs
    memcpy(x.out.data + x.sflow_at, &data, sizeof(data))
    return 0


cdef int sample_action(XlateContext x, Program program, const op *o, giving give) except -1:
    cdef XSampling sampling
    cdef sample_data data
    cdef uint32_t probability = <uint32_t> o.aux << 16 | o.aux
    if x.bridge.sampling is None or not (<XSampling> x.bridge.sampling).collectors:
        return 0
    sampling = <XSampling> x.bridge.sampling
    start_data(sampling, &data)
    action = program.actions[o.action]
    data.probability = o.aux
    data.collector_set, data.domain, data.point = action.collector_set, action.domain, action.point
    data.direction = {"": 0, "ingress": SAMPLE_INGRESS, "egress": SAMPLE_EGRESS}[action.direction]
    if o.port != OFPP_NONE and o.port != flow_in_port(&x.flow):
        port = x.bridge.ports.get(<uint16_t> o.port)
        if port is None or (<XPort> port).odp_port == <uint32_t> NO_ODP_PORT:
            return x.report("warn", "Can't use unspecified output port in flow sample action")
        data.output = (<XPort> port).odp_port
    x.commit()
    if data.output != NO_OUTPUT and tells_tunnel(sampling, action.collector_set, <XPort> port):
        data.tunnel_out = data.output
        give(x, <XPort> port)
    emit(x, probability, USERSPACE_FLOW_SAMPLE, &data)
    return 0


cdef bint tells_tunnel(XSampling sampling, number, XPort port) except -1:
    return (port.tunnel is not None and number in sampling.tunnel_sets
            and port.tunnel.config.kind in sampling.tunnel_kinds)


cdef void start_data(XSampling sampling, sample_data *data) noexcept:
    memset(data, 0, sizeof(sample_data))
    data.bridge = sampling.number
    data.output = data.tunnel_out = NO_OUTPUT


cdef uint32_t emit(XlateContext x, uint32_t probability, uint32_t reason,
                   const sample_data *data) except? 0:
    """Returns where the data stands in the actions."""
    cdef uint32_t nested = 0, at
    meter = x.bridge.meters.get(<uint32_t> OFPM_SLOWPATH)
    cdef bint bare = probability == <uint32_t> ALWAYS and meter is None
    if not bare:
        x.nesting = max(x.nesting, 1)
        nested = x.out.start_nested(ACT_SAMPLE, probability)
        if meter is not None:
            x.out.meter(<uint32_t> meter)
    at = x.out.length
    x.out.userspace(reason, data, sizeof(sample_data))
    if not bare:
        x.out.end_nested(nested)
    return at + USERDATA_AT
