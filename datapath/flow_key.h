/* The flow key as C sees it; flow.pxd tells what each member means.
 *
 * A header of its own, because Cython declares such a struct but cannot check its layout:
 * the assertions below do, in every file that uses it.  Network byte order throughout. */
#ifndef PYVS_FLOW_KEY_H
#define PYVS_FLOW_KEY_H 1

#include <stddef.h>
#include <stdint.h>

typedef struct vlan_tag { uint16_t tpid, tci; } vlan_tag;

typedef struct flow_key {
    uint32_t recirc_id, in_port, skb_priority, pkt_mark, dp_hash, ct_state, ct_mark;
    uint16_t ct_zone;
    uint8_t ct_nw_proto, ct_pad;
    uint8_t ct_label[16];
    uint32_t packet_type, ct_nw_src, ct_nw_dst;
    uint16_t ct_tp_src, ct_tp_dst;

    uint8_t eth_dst[6], eth_src[6];
    uint16_t eth_type, pad_l2;
    vlan_tag vlan[2];
    uint32_t mpls_lse[3], pad_mpls;

    uint32_t nw_src, nw_dst;
    uint8_t ipv6_src[16], ipv6_dst[16];
    uint32_t ipv6_label;
    uint8_t nw_frag, nw_tos, nw_ttl, nw_proto;

    uint16_t tp_src, tp_dst, tcp_flags, pad_l4;
    uint32_t igmp_group_ip4, nd_reserved;

    uint8_t arp_sha[6], arp_tha[6], nd_options_type, pad_nd[3];
    uint8_t nd_target[16];
    uint8_t ct_ipv6_src[16], ct_ipv6_dst[16];
    uint8_t nsh_flags, nsh_ttl, nsh_mdtype, nsh_np;
    uint32_t nsh_path_hdr, nsh_context[4];

    uint64_t tun_id;
    uint32_t tun_src, tun_dst;
    uint8_t tun_ipv6_src[16], tun_ipv6_dst[16];
    uint16_t tun_flags;
    uint8_t tun_tos, tun_ttl;
    uint16_t tun_tp_src, tun_tp_dst;
    uint16_t tun_gbp_id;
    uint8_t tun_gbp_flags, tun_erspan_ver;
    uint32_t tun_erspan_idx;
    uint8_t tun_erspan_dir, tun_erspan_hwid, tun_gtpu_flags, tun_gtpu_msgtype;
    uint32_t pad_tun;
    uint8_t tun_metadata[256];

    uint64_t metadata;
    uint32_t regs[16];
    uint32_t actset_output, conj_id;
} flow_key;

enum {
    KEY_PACKET_SIZE = offsetof(flow_key, tun_id),
    KEY_DP_SIZE = offsetof(flow_key, metadata),
    KEY_SIZE = sizeof(flow_key),
    KEY_PACKET_WORDS = KEY_PACKET_SIZE / 8,
    KEY_DP_WORDS = KEY_DP_SIZE / 8,
    KEY_WORDS = KEY_SIZE / 8,
    FRAG_ANY = 1,
    FRAG_LATER = 2,
};

#define KEY_END(member) (offsetof(flow_key, member) + sizeof(((flow_key *) 0)->member))
_Static_assert(KEY_PACKET_SIZE % 8 == 0 && KEY_DP_SIZE % 8 == 0 && KEY_SIZE % 8 == 0,
               "each part of the key is whole words");
_Static_assert(KEY_END(nsh_context) == KEY_PACKET_SIZE, "no hidden padding before the tunnel part");
_Static_assert(KEY_END(tun_metadata) == KEY_DP_SIZE, "no hidden padding before the pipeline part");
_Static_assert(KEY_END(conj_id) == KEY_SIZE, "no hidden padding at the end");
_Static_assert(offsetof(flow_key, regs) % 8 == 0, "xreg alignment");

#endif
