"""Texts of actions and instructions, for the codec's tests: FLOWS are (match, actions) as a user
writes them, at least one for each class."""

ANY, IP, IPV6, ARP, TCP, UDP, SCTP = "", "ip", "ipv6", "arp", "tcp", "udp", "sctp"
PBB = "dl_type=0x88e7"
MPLS, VLAN, ND = "mpls", "dl_vlan=1", "icmp6,icmp_type=135,icmp_code=0"
NSH = "dl_type=0x894f"
ADVERT = "icmp6,icmp_type=136,icmp_code=0"

_BY_MATCH = {
    ANY: """
        output:1
        LOCAL,ALL,FLOOD,IN_PORT,NORMAL,TABLE
        CONTROLLER:65535
        CONTROLLER:100
        controller(reason=invalid_ttl)
        controller(reason=no_match,max_len=5,id=7)
        controller(reason=action_set,id=65535)
        controller(reason=group)
        controller(reason=packet_out)
        controller(userdata=01.02.03.04)
        controller(userdata=01.02.03.04,pause)
        controller(pause)
        controller(meter_id=5)
        sample(probability=12345,collector_set_id=23456,obs_domain_id=34567,obs_point_id=45678)
        sample(probability=5,collector_set_id=2,obs_domain_id=3,obs_point_id=4,sampling_port=56)
        sample(probability=5,collector_set_id=2,obs_domain_id=3,obs_point_id=4,sampling_port=5,egress)
        sample(probability=5,collector_set_id=2,obs_domain_id=3,obs_point_id=4,ingress)
        output(port=1,max_len=100)
        output(port=LOCAL,max_len=1500)
        check_pkt_larger(1000)->NXM_NX_REG0[0]
        check_pkt_larger(100)->NXM_NX_TUN_ID[5]
        debug_recirc
        debug_slow
        controller(reason=group,max_len=100,id=7,userdata=0a,pause,meter_id=77)
        output:NXM_NX_REG0[]
        output:NXM_NX_REG0[0..15]
        output:NXM_OF_VLAN_TCI[3]
        output:NXM_NX_DP_HASH[0..15]
        enqueue:1:2
        drop
        push_vlan:0x8100,set_field:4099->vlan_vid
        push_vlan:0x88a8,set_field:3->vlan_pcp
        mod_vlan_vid:5
        mod_vlan_pcp:5
        mod_vlan_vid:5,mod_vlan_pcp:3
        mod_vlan_vid:0
        set_field:0x1005->vlan_tci
        set_field:0xf005->vlan_tci
        set_field:0->vlan_tci
        load:0x5->NXM_OF_VLAN_TCI[0..11]
        mod_dl_src:00:11:22:33:44:55
        mod_dl_dst:00:11:22:33:44:55
        set_field:00:11:22:33:44:55->eth_src
        set_field:00:11:22:33:44:55->eth_dst
        set_field:00:11:00:00:00:00/ff:ff:00:00:00:00->eth_dst
        load:0x1122->NXM_OF_ETH_SRC[0..15]
        load:0x112233445566->NXM_OF_ETH_DST[]
        set_tunnel:0x5
        set_tunnel:0
        set_tunnel:0x100000000
        set_tunnel64:0x5
        set_field:0x5->tun_id
        set_field:0x5/0xf->tun_id
        load:0x5->NXM_NX_TUN_ID[]
        set_field:1.2.3.4->tun_src
        set_field:1.2.3.4->tun_dst
        set_field:::1->tun_ipv6_src
        set_field:fe80::->tun_ipv6_dst
        set_field:5->tun_gbp_id
        set_field:0x5->tun_gbp_flags
        set_field:oam->tun_flags
        set_field:1->tun_erspan_ver
        set_field:0x5->tun_erspan_idx
        set_field:0x5->reg0
        set_field:0x5/0xff->reg15
        load:0x5->NXM_NX_REG0[]
        load:0x5->NXM_NX_REG0[3..7]
        load:0->NXM_NX_REG0[5]
        load:0x1->OXM_OF_PKT_REG0[]
        set_field:0x5->xreg0
        set_field:0x5->xxreg0
        set_field:0x10000000000000000000000000000000/0xf0000000000000000000000000000000->xxreg1
        load:0x1->NXM_NX_XXREG0[64..127]
        load:0x1ffffffffffffffff->NXM_NX_XXREG0[]
        set_field:0x5->pkt_mark
        set_field:0x5->metadata
        set_field:0x5/0xff->metadata
        load:0x5->OXM_OF_METADATA[]
        set_field:1->in_port
        set_field:LOCAL->in_port
        load:0x1->NXM_OF_IN_PORT[]
        move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]
        move:NXM_NX_REG0[0..5]->NXM_NX_REG1[3..8]
        move:NXM_NX_REG0[3]->NXM_NX_REG1[4]
        move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]
        move:NXM_NX_TUN_ID[]->OXM_OF_METADATA[]
        move:NXM_NX_XXREG0[]->NXM_NX_XXREG1[]
        move:NXM_NX_DP_HASH[]->NXM_NX_REG3[]
        resubmit:1
        resubmit:LOCAL
        resubmit(,3)
        resubmit(1,3)
        set_queue:5
        pop_queue
        set_queue:5,output:1,pop_queue
        note:01.02.03.00.00.00
        note:01.02.03.04.05.06.07.00.00.00.00.00.00.00
        exit
        push:NXM_NX_REG0[]
        push:NXM_OF_ETH_TYPE[]
        push:NXOXM_ET_ERSPAN_IDX[2..5]
        pop:NXOXM_ET_ERSPAN_IDX[]
        move:NXOXM_ET_ERSPAN_IDX[]->NXM_NX_REG3[0..19]
        output:NXOXM_ET_ERSPAN_IDX[0..15]
        push:NXM_NX_DP_HASH[2..5]
        pop:NXM_NX_REG0[3..7]
        pop:NXM_OF_ETH_SRC[]
        clone(output:1,set_field:0x5->reg0)
        clone(drop)
        clone(clone(output:1))
        group:5
        meter:5
        meter:5,output:1
        learn(table=1)
        learn(table=1,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])
        learn(table=2,eth_dst=00:11:22:33:44:55,load:0x1122334455667788->NXM_NX_XXREG0[0..79])
        learn(table=3,eth_type=0x800,nw_proto=6,tcp_dst=80,NXM_NX_REG0[0..3]=0x5)
        bundle(eth_src,0,hrw,ofport,members:4,8)
        bundle(symmetric_l4,60,active_backup,ofport,members:2,3,5)
        bundle(symmetric_l3l4+udp,60,hrw,ofport,members:)
        bundle_load(eth_src,0,hrw,ofport,NXM_NX_REG0[],members:4,8)
        bundle_load(symmetric_l3,5,hrw,ofport,NXM_NX_REG1[16..31],members:4,8)
        multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[])
        multipath(symmetric_l3,50,iter_hash,4,9,NXM_NX_REG0[0..7])
        conjunction(5,1/2)
        conjunction(4294967295,64/64)
        conjunction(1,1/2),conjunction(2,3/3),note:01.02.03.00.00.00
        clear_actions
        write_actions(output:1,set_field:0x5->reg0)
        write_metadata:0x5
        write_metadata:0x5/0xff
        write_metadata:0
        goto_table:5
        output:1,goto_table:5
        output:1,write_actions(output:2),write_metadata:0x5,goto_table:5
        meter:5,output:1,clear_actions,write_actions(group:2),write_metadata:0x5,goto_table:5
    """,
    VLAN: """
        pop_vlan
        strip_vlan
        mod_vlan_vid:5
        mod_vlan_pcp:5
        set_field:4101->vlan_vid
        set_field:3->vlan_pcp
        load:0x5->OXM_OF_VLAN_VID[0..7]
        push_vlan:0x8100,mod_vlan_vid:7,pop_vlan,pop_vlan,mod_vlan_vid:9
    """,
    MPLS: """
        push_mpls:0x8847
        pop_mpls:0x0800
        pop_mpls:0x8847
        set_mpls_label(10)
        set_mpls_tc(3)
        set_mpls_ttl(3)
        dec_mpls_ttl
        set_field:3->mpls_label
        set_field:3->mpls_tc
        set_field:3->mpls_ttl
    """,
    IP: """
        push_mpls:0x8848,set_field:10->mpls_label
        mod_nw_src:1.2.3.4
        mod_nw_dst:1.2.3.4
        set_field:1.2.3.4->ip_src
        set_field:1.2.0.0/16->ip_dst
        set_field:0.2.0.4/0.255.0.255->ip_dst
        mod_nw_tos:252
        mod_nw_tos:0
        mod_nw_ecn:2
        set_field:2->nw_ecn
        set_field:8->nw_tos
        set_field:2->ip_dscp
        mod_nw_ttl:5
        set_field:5->nw_ttl
        dec_ttl
        dec_ttl(1,2)
        dec_ttl(1,2,3,4,5)
        move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]
    """,
    IPV6: """
        dec_ttl
        set_field:2001:db8::1->ipv6_src
        set_field:2001:db8::/64->ipv6_src
        set_field:0x12345->ipv6_label
        move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[]
    """,
    ARP: """
        set_field:2->arp_op
        set_field:1.2.3.4->arp_spa
        set_field:1.2.3.4->arp_tpa
        set_field:00:11:22:33:44:55->arp_sha
        set_field:00:11:22:33:44:55->arp_tha
        load:0x2->NXM_OF_ARP_OP[]
        move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]
    """,
    TCP: """
        mod_tp_src:80
        mod_tp_dst:80
        set_field:80->tcp_src
        set_field:80/0xf0->tcp_dst
        fin_timeout(idle_timeout=5,hard_timeout=15)
        fin_timeout()
    """,
    "tcp6": """
        mod_tp_dst:80
    """,
    UDP: """
        mod_tp_src:80
        mod_tp_dst:80
        set_field:80->udp_src
    """,
    SCTP: """
        mod_tp_dst:80
        set_field:80->sctp_dst
    """,
    "icmp": """
        set_field:8->icmp_type
        set_field:3->icmp_code
    """,
    "icmp6": """
        set_field:128->icmpv6_type
        set_field:0->icmpv6_code
    """,
    ND: """
        set_field:fe80::1->nd_target
        set_field:00:11:22:33:44:55->nd_sll
    """,
    ADVERT: """
        set_field:00:11:22:33:44:55->nd_tll
        set_field:5->nd_reserved
        set_field:2->nd_options_type
    """,
}
FLOWS = [
    (match, line.strip()) for match, text in _BY_MATCH.items() for line in text.split("\n")
    if line.strip()
]  # fmt: skip
# OpenFlow's, which Open vSwitch does not have
OURS = [
    (MPLS, "copy_ttl_in"),
    (MPLS, "copy_ttl_out"),
    (ANY, "push_pbb:0x88e7,set_field:5->pbb_isid,push_vlan:0x88a8,set_field:4101->vlan_vid"),
    (PBB, "pop_pbb"),
    (PBB, "set_field:5->pbb_isid"),
    (PBB, "set_field:1->pbb_uca"),
    (PBB, "set_field:1280/0xff00->pbb_isid"),
    (PBB, "load:0x5->OXM_OF_PBB_ISID[0..7]"),
    (PBB, "move:OXM_OF_PBB_ISID[]->NXM_NX_REG0[0..23]"),
    (PBB, "write_actions(pop_pbb,output:1)"),
    (IPV6, "move:OXM_OF_IPV6_EXTHDR[]->NXM_NX_REG0[0..8]"),
]
# Coded, and not executed yet
_CODED = {
    ANY: """
        ct_clear
    """,
    IP: """
        ct()
        ct(commit)
        ct(commit,force,table=5,zone=6)
        ct(zone=NXM_NX_REG0[0..15])
        ct(commit,exec(load:0x1->NXM_NX_CT_MARK[0..7]))
        ct(nat)
        ct(commit,nat)
        ct(commit,nat(src))
        ct(commit,nat(src=10.0.0.240))
        ct(commit,nat(src=10.0.0.240-10.0.0.254:32768-65535,persistent,random))
        ct(table=0,zone=1,nat)
    """,
    TCP: """
        ct(commit,nat(dst=10.0.0.1:80),exec(set_field:0x1->ct_mark))
        ct(commit,zone=5,exec(set_field:0x5->ct_mark),alg=ftp)
    """,
    IPV6: """
        ct(commit,nat(dst=[fe80::1]-[fe80::ff]:80,hash))
        ct(commit,nat(src=fe80::1))
        ct(commit,nat(src=fe80::1-fe80::5))
    """,
    "ip,ct_state=+trk+est": """
        resubmit(,5,ct)
        resubmit(1,5,ct)
    """,
    NSH: """
        set_field:0x5->nsh_spi
    """,
}
_CODED_13 = """
    encap(ethernet)
    encap(nsh)
    encap(nsh(md_type=1))
    encap(nsh(md_type=2,tlv(0x1000,10,0x12345678)))
    encap(nsh(md_type=2,tlv(0x1000,10,0x12345678),tlv(0x2000,20,0xfedcba9876543210)))
    encap(mpls)
    encap(mpls_mc)
    decap()
    decap(packet_type(ns=0,type=0))
    decap(packet_type(ns=1,type=0x894f))
"""
CODED = [
    (match, line.strip()) for match, text in _CODED.items() for line in text.split("\n")
    if line.strip()
]  # fmt: skip
CODED_13 = [(ANY, line.strip()) for line in _CODED_13.split("\n") if line.strip()]
CODED_13.append((NSH, "dec_nsh_ttl"))
NOT_EXECUTED = {
    "Ct", "Nat", "CtClear", "DecNshTtl",
    "Encap", "Decap", "DeleteField",
}  # fmt: skip
