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
    uint32_t mpls_lse[3], pbb_isid;

    uint32_t nw_src, nw_dst;
    uint8_t ipv6_src[16], ipv6_dst[16];
    uint32_t ipv6_label;
    uint8_t nw_frag, nw_tos, nw_ttl, nw_proto;

    uint16_t tp_src, tp_dst, tcp_flags, ipv6_exthdr;
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
    uint8_t tun_opts_size, pad_tun[3];
    uint8_t tun_metadata[256];

    uint64_t tun_present;
    uint64_t metadata;
    uint32_t regs[16];
    uint32_t actset_output, conj_id, in_phy_port, pad_pipeline;
} flow_key;

enum {
    KEY_PACKET_SIZE = offsetof(flow_key, tun_id),
    KEY_DP_SIZE = offsetof(flow_key, tun_present),
    KEY_SIZE = sizeof(flow_key),
    KEY_PACKET_WORDS = KEY_PACKET_SIZE / 8,
    KEY_DP_WORDS = KEY_DP_SIZE / 8,
    KEY_WORDS = KEY_SIZE / 8,
    FRAG_ANY = 1,
    FRAG_LATER = 2,
    EXT_NONEXT = 1,
    EXT_ESP = 2,
    EXT_AUTH = 4,
    EXT_DEST = 8,
    EXT_FRAG = 16,
    EXT_ROUTER = 32,
    EXT_HOP = 64,
    EXT_UNREP = 128,
    EXT_UNSEQ = 256,
};

/* Every member that has a meaning, in the order of the struct: M(name, C expression).  The
 * position is the member's id in ACT_SET, so it is part of the datapath's protocol. */
#define KEY_MEMBERS(M) \
    M(recirc_id, recirc_id) M(in_port, in_port) M(skb_priority, skb_priority) \
    M(pkt_mark, pkt_mark) M(dp_hash, dp_hash) M(ct_state, ct_state) M(ct_mark, ct_mark) \
    M(ct_zone, ct_zone) M(ct_nw_proto, ct_nw_proto) M(ct_label, ct_label) \
    M(packet_type, packet_type) M(ct_nw_src, ct_nw_src) M(ct_nw_dst, ct_nw_dst) \
    M(ct_tp_src, ct_tp_src) M(ct_tp_dst, ct_tp_dst) M(eth_dst, eth_dst) M(eth_src, eth_src) \
    M(eth_type, eth_type) M(vlan0_tpid, vlan[0].tpid) M(vlan0_tci, vlan[0].tci) \
    M(vlan1_tpid, vlan[1].tpid) M(vlan1_tci, vlan[1].tci) M(mpls_lse0, mpls_lse[0]) \
    M(mpls_lse1, mpls_lse[1]) M(mpls_lse2, mpls_lse[2]) M(pbb_isid, pbb_isid) \
    M(nw_src, nw_src) M(nw_dst, nw_dst) M(ipv6_src, ipv6_src) M(ipv6_dst, ipv6_dst) M(ipv6_label, ipv6_label) M(nw_frag, nw_frag) \
    M(nw_tos, nw_tos) M(nw_ttl, nw_ttl) M(nw_proto, nw_proto) M(tp_src, tp_src) \
    M(tp_dst, tp_dst) M(tcp_flags, tcp_flags) M(ipv6_exthdr, ipv6_exthdr) \
    M(igmp_group_ip4, igmp_group_ip4) M(nd_reserved, nd_reserved) M(arp_sha, arp_sha) M(arp_tha, arp_tha) \
    M(nd_options_type, nd_options_type) M(nd_target, nd_target) M(ct_ipv6_src, ct_ipv6_src) \
    M(ct_ipv6_dst, ct_ipv6_dst) M(nsh_flags, nsh_flags) M(nsh_ttl, nsh_ttl) \
    M(nsh_mdtype, nsh_mdtype) M(nsh_np, nsh_np) M(nsh_path_hdr, nsh_path_hdr) \
    M(nsh_context0, nsh_context[0]) M(nsh_context1, nsh_context[1]) \
    M(nsh_context2, nsh_context[2]) M(nsh_context3, nsh_context[3]) M(tun_id, tun_id) \
    M(tun_src, tun_src) M(tun_dst, tun_dst) M(tun_ipv6_src, tun_ipv6_src) \
    M(tun_ipv6_dst, tun_ipv6_dst) M(tun_flags, tun_flags) M(tun_tos, tun_tos) \
    M(tun_ttl, tun_ttl) M(tun_tp_src, tun_tp_src) M(tun_tp_dst, tun_tp_dst) \
    M(tun_gbp_id, tun_gbp_id) M(tun_gbp_flags, tun_gbp_flags) M(tun_erspan_ver, tun_erspan_ver) \
    M(tun_erspan_idx, tun_erspan_idx) M(tun_erspan_dir, tun_erspan_dir) \
    M(tun_erspan_hwid, tun_erspan_hwid) M(tun_gtpu_flags, tun_gtpu_flags) \
    M(tun_gtpu_msgtype, tun_gtpu_msgtype) M(tun_opts_size, tun_opts_size) M(tun_metadata, tun_metadata) M(tun_present, tun_present) M(metadata, metadata) \
    M(reg0, regs[0]) M(reg1, regs[1]) M(reg2, regs[2]) M(reg3, regs[3]) M(reg4, regs[4]) \
    M(reg5, regs[5]) M(reg6, regs[6]) M(reg7, regs[7]) M(reg8, regs[8]) M(reg9, regs[9]) \
    M(reg10, regs[10]) M(reg11, regs[11]) M(reg12, regs[12]) M(reg13, regs[13]) \
    M(reg14, regs[14]) M(reg15, regs[15]) M(actset_output, actset_output) M(conj_id, conj_id) \
    M(in_phy_port, in_phy_port)

enum {
#define M(name, member) MEMBER_##name,
    KEY_MEMBERS(M)
#undef M
    N_MEMBERS
};

typedef struct key_member {
    const char *name;
    uint16_t offset, size;
} key_member;

static const key_member key_members[N_MEMBERS] __attribute__((unused)) = {
#define M(name, member) { #name, offsetof(flow_key, member), sizeof(((flow_key *) 0)->member) },
    KEY_MEMBERS(M)
#undef M
};

/* The map of the 8-byte words from one member to another; word 63 stands for all behind it. */
#define KEY_MAP(first, last) \
    ((~(uint64_t) 0 << (offsetof(flow_key, first) / 8)) & \
     (~(uint64_t) 0 >> (63 - (KEY_END(last) - 1) / 8)))
#define MAP_METADATA KEY_MAP(recirc_id, dp_hash)
#define MAP_CT (KEY_MAP(ct_state, ct_label) | KEY_MAP(ct_nw_src, ct_tp_dst))
#define MAP_CT6 KEY_MAP(ct_ipv6_src, ct_ipv6_dst)
#define MAP_PACKET_TYPE KEY_MAP(packet_type, packet_type)
#define MAP_ETHERNET KEY_MAP(eth_dst, pad_l2)
#define MAP_VLAN KEY_MAP(vlan, vlan)
#define MAP_MPLS KEY_MAP(mpls_lse, mpls_lse)
#define MAP_PBB KEY_MAP(pbb_isid, pbb_isid)
#define MAP_IPV4 KEY_MAP(nw_src, nw_dst)
#define MAP_IPV6 KEY_MAP(ipv6_src, ipv6_dst)
#define MAP_IP KEY_MAP(ipv6_label, nw_proto)
#define MAP_L4 KEY_MAP(tp_src, ipv6_exthdr)
#define MAP_IGMP KEY_MAP(igmp_group_ip4, nd_reserved)
#define MAP_ARP KEY_MAP(arp_sha, pad_nd)
#define MAP_NSH KEY_MAP(nsh_flags, nsh_context)
#define MAP_ND KEY_MAP(nd_target, nd_target)
#define MAP_TUNNEL (~(uint64_t) 0 << (KEY_PACKET_SIZE / 8))

#define KEY_END(member) (offsetof(flow_key, member) + sizeof(((flow_key *) 0)->member))
_Static_assert(KEY_PACKET_SIZE % 8 == 0 && KEY_DP_SIZE % 8 == 0 && KEY_SIZE % 8 == 0,
               "each part of the key is whole words");
_Static_assert(KEY_END(nsh_context) == KEY_PACKET_SIZE, "no hidden padding before the tunnel part");
_Static_assert(KEY_END(tun_metadata) == KEY_DP_SIZE, "no hidden padding before the pipeline part");
_Static_assert(KEY_END(pad_pipeline) == KEY_SIZE, "no hidden padding at the end");
_Static_assert(offsetof(flow_key, regs) % 8 == 0, "xreg alignment");

/* Zeroes the packet part.  As plain stores: for this size compilers choose `rep stos`, whose start
 * alone costs more than extraction of a whole packet.  The barrier keeps them from finding out. */
static inline void key_clear_packet(flow_key *key)
{
    typedef uint64_t words __attribute__((vector_size(16), aligned(8), may_alias));
    words *at = (words *) key;
    const words zero = { 0, 0 };
    for (size_t i = 0; i < KEY_PACKET_SIZE / sizeof zero; i += 4) {
        at[i] = at[i + 1] = at[i + 2] = at[i + 3] = zero;
        __asm__ volatile("" ::: "memory");
    }
}

#endif
