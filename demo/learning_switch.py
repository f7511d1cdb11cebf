"""A learning switch of OpenFlow 1.3, as a controller application for os-ken or Ryu.

Runs in the controller's own virtual environment (.ci/controllers), not in ours.  The
table-miss flow sends what no flow matches to the controller; known addresses get a flow.
"""

try:
    from os_ken.base.app_manager import OSKenApp as App
    from os_ken.controller import ofp_event
    from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
    from os_ken.lib.packet import ethernet, packet
    from os_ken.ofproto import ofproto_v1_3
except ImportError:
    from ryu.base.app_manager import RyuApp as App
    from ryu.controller import ofp_event
    from ryu.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
    from ryu.lib.packet import ethernet, packet
    from ryu.ofproto import ofproto_v1_3

LLDP = 0x88CC


class LearningSwitch(App):
    """Learns (datapath, source address) -> port from packet-ins."""

    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ports = {}

    @staticmethod
    def add_flow(datapath, priority, match, actions, idle_timeout=0):
        parser, ofp = datapath.ofproto_parser, datapath.ofproto
        apply = parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions)
        datapath.send_msg(
            parser.OFPFlowMod(
                datapath=datapath,
                priority=priority,
                match=match,
                instructions=[apply],
                idle_timeout=idle_timeout,
            )
        )

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def switch_is_there(self, event):
        datapath = event.msg.datapath
        parser, ofp = datapath.ofproto_parser, datapath.ofproto
        to_controller = parser.OFPActionOutput(ofp.OFPP_CONTROLLER, ofp.OFPCML_NO_BUFFER)
        self.add_flow(datapath, 0, parser.OFPMatch(), [to_controller])

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        message = event.msg
        datapath = message.datapath
        parser, ofp = datapath.ofproto_parser, datapath.ofproto
        header = packet.Packet(message.data).get_protocol(ethernet.ethernet)
        if header.ethertype == LLDP:
            return
        in_port = message.match["in_port"]
        self.ports[datapath.id, header.src] = in_port
        out_port = self.ports.get((datapath.id, header.dst), ofp.OFPP_FLOOD)
        actions = [parser.OFPActionOutput(out_port)]
        if out_port != ofp.OFPP_FLOOD:
            match = parser.OFPMatch(in_port=in_port, eth_src=header.src, eth_dst=header.dst)
            self.add_flow(datapath, 1, match, actions)
        datapath.send_msg(
            parser.OFPPacketOut(
                datapath=datapath,
                buffer_id=message.buffer_id,
                in_port=in_port,
                actions=actions,
                data=message.data,
            )
        )
