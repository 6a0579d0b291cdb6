/* SPDX-License-Identifier: Apache-2.0
 *
 * aicore/meter.h - the C ABI between aicore and a meter: native code that sees the packets and the in-order streams of
 * each flow and adds fields to its record (the metering process of RFC 7011).
 *
 * A meter is one `aicore_meter` structure. A plugin package gives its address to aicore in a PyCapsule named
 * AICORE_METER_CAPSULE, found through the entry-point group `aicore.meters`: the capsule itself, or a class derived
 * from aicore.Meter, which reads and checks configuration in Python and returns the capsule from native(). A run loads
 * only the meters that it names.
 *
 * LIFE OF A FLOW
 *   opened   once, at the first packet of a flow that the flow table admits.
 *   packet   at every packet of the flow, the first one included, before its payload is looked at. Fragments that come
 *            before the first one of their datagram are counted with it, without calls of their own.
 *   stream   payload in order; see STREAMS.
 *   named    a dissector reported a name; see NAMES.
 *   record   an event row of the flow is being written (insert, update, remove): set the fields.
 *   ended    once, after the last row was written. Every `opened` is followed by exactly one `ended`, also when the run
 *            ends early.
 *   One packet leads to these calls, in this order: opened and packet, record for the insert, stream and named in the
 *   order in which bytes and names appear, record for the update. The end of a flow, which a later packet or the clock
 *   brings, leads to record for the last update (unless the update before said the same), record for the remove, ended.
 *   Several meters are called in the order in which the run names them. Every function may be NULL.
 *
 * STREAMS
 *   TCP: the new bytes of one direction, in order, each once. UDP: one datagram, put together from
 *   fragments if it came in some. `stream` gets the first `stream_bytes`
 *   bytes of each direction, UINT32_MAX for all of them. It goes on after the dissectors are done with the
 *   flow, and for flows that no dissector recognises. Segments that come out of order wait for the missing ones, within
 *   the limits of the run (stream_bytes and streams_bytes of the stack, 16 KiB per direction and 64 MiB in all by
 *   default); where bytes stay missing, the next chunk carries AICORE_GAP. Payload of a RST is left out.
 *
 * NAMES
 *   `named` gets every text that a dissector reports, each time and as it is on the wire, also when the record has it
 *   already or has no room for it: each Host of a keep-alive connection, each DNS question. It also gets layer7
 *   whenever that is set, and the rules that other meters report with host->detected().
 *
 * STATE
 *   `state` is `state_size` bytes per flow, zeroed by the core before `opened`, 8-byte aligned, private to this meter
 *   and this flow; NULL if `state_size` is 0. It lies in a table that is mapped once and touched only where flows were;
 *   all meters of a run together may have AICORE_METER_STATE_MAX bytes per flow.
 *   `self` is what `create` returned: one instance per worker, which may own memory of any kind, and sees the flows of
 *   its worker only. NULL if `create` is NULL.
 *
 * RELOAD
 *   On reload aicore calls `create` with the new configuration while packets go on, and replaces the instance between
 *   two packets. `state` stays. take_over(self, old) is the new instance's chance to move over what flows or the run
 *   still need (a ring of packets, an open file) or to map what `state` refers to in `old`. `old` is destroyed soon
 *   after it. If `create` fails the old instance stays. The structure must be the same before and after.
 *
 * THREADS AND ERRORS
 *   `create` and `destroy` are called on the thread that runs the stack; all others on an engine thread. None of them
 *   holds the Python GIL, and calls into one instance never overlap. They must not block, throw or call Python, and
 *   share nothing that changes with other instances. `create` reports an error in text; the run then does not start.
 *   The other functions cannot fail. Packets are hostile input: check every length.
 *
 * VERSIONS
 *   As in aicore/protocol.h: structures grow at their end only, whoever made one says how large it is, members that an
 *   older plugin lacks read as zero and AICORE_HAS asks for what an older aicore may lack. `size` of an aicore_meter
 *   must reach to `stream_bytes`, `field_size` to `type`.
 */
#ifndef AICORE_METER_H
#define AICORE_METER_H

#include <stddef.h>
#include <stdint.h>

#include "aicore/protocol.h" /* aicore_field, aicore_field_type, aicore_payload_flags, AICORE_HAS */

#ifdef __cplusplus
extern "C" {
#endif

#define AICORE_METER_ABI 1u
#define AICORE_METER_CAPSULE "aicore.meter"
#define AICORE_METER_STATE_MAX 16384u /* bytes of `state` per flow, of all meters of a run together */

struct aicore_meter_host;

enum aicore_event { AICORE_INSERT = 1, AICORE_UPDATE = 2, AICORE_REMOVE = 3 };

/* The flow of a call; valid during the call, as is what it points to. `src` is the initiator (of TCP: who sent the SYN,
 * else the sender of the first packet). Pairs: [0] from src to dst, [1] from dst to src; the packet of the call is
 * included. */
typedef struct aicore_meter_flow {
    uint32_t size;      /* of this structure */
    uint8_t ip_version; /* 4 or 6 */
    uint8_t proto;      /* IP protocol number: 6 TCP, 17 UDP */
    uint8_t event;      /* during `record` the aicore_event, else 0 */
    uint8_t midstream;  /* 1: a TCP flow whose SYN was not seen */
    const struct aicore_meter_host *host;
    void *core;              /* private to the core */
    const uint8_t *src;      /* 4 or 16 bytes, network order */
    const uint8_t *dst;      /* the same */
    const uint64_t *packets; /* pairs, as the next two; their sum is the number of the packet in the flow */
    const uint64_t *bytes;   /* IP bytes on the wire */
    const uint64_t *payload; /* transport payload bytes on the wire */
    int64_t last_seen;       /* highest packet time, nanoseconds since the epoch */
    uint16_t src_port;       /* host order */
    uint16_t dst_port;       /* host order */
    uint32_t reserved;       /* 0 */
} aicore_meter_flow;

enum aicore_packet_flags {
    AICORE_RETRANSMISSION = 1u, /* TCP: nothing in it is beyond what this direction sent before */
    AICORE_OUT_OF_ORDER = 2u,   /* TCP: bytes of this direction between the ones before and these were not seen yet */
    AICORE_FRAGMENT = 4u /* a part of an IP datagram; `transport` is NULL in all but the first, `payload` is its part */
};

enum aicore_tunnel { /* the innermost tunnel that the packet came through */
                     AICORE_NO_TUNNEL = 0,
                     AICORE_IPIP = 1,
                     AICORE_GRE = 2,
                     AICORE_ERSPAN = 3,
                     AICORE_VXLAN = 4,
                     AICORE_GENEVE = 5,
                     AICORE_GTPU = 6,
                     AICORE_TEREDO = 7,
                     AICORE_PBB = 8,
                     AICORE_TRILL = 9,
                     AICORE_ETHERIP = 10,
                     AICORE_L2TP = 11,
                     AICORE_CAPWAP = 12,
                     AICORE_AYIYA = 13,
                     AICORE_MPLS = 14, /* in UDP or IP */
                     AICORE_PIM = 15   /* register */
};

/* One packet; valid during the call. All pointers point into the frame, and what they point to is captured as far as
 * the lengths beside them say. Numbers are in host order. Of a packet in a tunnel the innermost headers are given. */
typedef struct aicore_packet {
    uint32_t size;   /* of this structure */
    uint16_t flags;  /* aicore_packet_flags */
    uint8_t reverse; /* 0: from src to dst, 1: from dst to src */
    uint8_t reserved;
    uint32_t link_type; /* DLT_ number of libpcap: 1 is Ethernet */
    uint32_t reserved2;
    const uint8_t *frame; /* from the link layer on */
    uint32_t frame_captured;
    uint32_t frame_length;    /* on the wire */
    int64_t time;             /* nanoseconds since the epoch */
    const uint8_t *ip;        /* IP header */
    const uint8_t *transport; /* TCP or UDP header, NULL in a fragment that is not the first */
    const uint8_t *payload;   /* behind the headers */
    uint32_t ip_length; /* IP header and all behind it, on the wire: IPv4 total length, IPv6 40 + payload length */
    uint32_t payload_captured;
    uint32_t payload_length; /* on the wire */
    uint32_t seq;            /* of TCP, as the next three; 0 otherwise */
    uint32_t ack;
    uint16_t window; /* as in the header, not scaled */
    uint8_t tcp_flags;
    uint8_t tunnel; /* aicore_tunnel */
} aicore_packet;

/* What few meters ask for is read where it stands. */

/* Captured bytes from `ip` to `transport` (else `payload`): IPv6 extensions included. */
static inline uint32_t aicore_ip_header(const aicore_packet *packet) {
    return (uint32_t)((packet->transport ? packet->transport : packet->payload) - packet->ip);
}
/* Captured bytes from `transport` to `payload`; those of TCP behind 20 are its options. */
static inline uint32_t aicore_transport_header(const aicore_packet *packet) {
    return packet->transport ? (uint32_t)(packet->payload - packet->transport) : 0;
}
/* TTL, or hop limit. */
static inline uint8_t aicore_ttl(const aicore_packet *packet) {
    return packet->ip[packet->ip[0] >> 4 == 4 ? 8 : 7];
}
/* DSCP in the upper six bits, ECN in the lower two. */
static inline uint8_t aicore_tos(const aicore_packet *packet) {
    const uint8_t *ip = packet->ip;
    return ip[0] >> 4 == 4 ? ip[1] : (uint8_t)(ip[0] << 4 | ip[1] >> 4);
}

/* New bytes of one direction; valid during the call. */
typedef struct aicore_chunk {
    uint32_t size;   /* of this structure */
    uint16_t flags;  /* AICORE_GAP, AICORE_MIDSTREAM, AICORE_TRUNCATED */
    uint8_t reverse; /* 0: from src to dst, 1: from dst to src */
    uint8_t reserved;
    const uint8_t *data;
    size_t length;
    uint64_t offset; /* bytes of this direction that were given before */
    int64_t time;    /* of the packet that made them known, nanoseconds since the epoch */
} aicore_chunk;

enum aicore_name_kind {
    AICORE_NAME_TEXT = 1,   /* a dissector gave `value` to the field `field` */
    AICORE_NAME_LAYER7 = 2, /* the flow's layer7 is `value` from now on */
    AICORE_NAME_RULE = 3    /* another meter reported that the rule `value` matched */
};

/* A name; valid during the call, but `field`, which an instance may compare by its address. */
typedef struct aicore_name {
    uint32_t size;        /* of this structure */
    uint16_t kind;        /* aicore_name_kind */
    uint16_t flags;       /* aicore_field_flags of the field: AICORE_NOTIFY marks host and domain names */
    const char *field;    /* its name in the record; "layer7" and "detections" of the other two kinds */
    const uint8_t *value; /* any bytes, not terminated */
    size_t length;
    int64_t time; /* of the packet, nanoseconds since the epoch */
} aicore_name;

/* What a meter may call. `field` is an index into the fields of the meter. A value for an index out of range, for a
 * field of another type or outside `record` is left out and counted as values_refused. Which function sets which type,
 * and what becomes of strings: see aicore_field_type and aicore_host. The fields of all meters may have 4096 values per
 * record, a list counts its items, and 32 KiB of text. */
typedef struct aicore_meter_host {
    uint32_t size; /* of this structure */
    uint32_t reserved;
    /* During `record` only. A row has what is set in this call, nothing stays from the row before. */
    void (*set_string)(aicore_meter_flow *flow, uint32_t field, const void *bytes, size_t length);
    void (*set_integer)(aicore_meter_flow *flow, uint32_t field, int64_t value);
    void (*set_real)(aicore_meter_flow *flow, uint32_t field, double value);
    void (*add_string)(aicore_meter_flow *flow, uint32_t field, const void *bytes, size_t length);
    void (*add_integer)(aicore_meter_flow *flow, uint32_t field, int64_t value);
    void (*add_real)(aicore_meter_flow *flow, uint32_t field, double value);
    /* During `opened`, `packet`, `stream` and `named`: an update of the flow is written at this packet. One update,
     * however often they are called. */
    void (*notify)(aicore_meter_flow *flow);
    /* The same, and the other meters are told that `rule` matched (AICORE_NAME_RULE), once this call has returned.
     * `rule` must stay valid until `destroy`. Of one packet at most 64 rules are told on. */
    void (*detected)(aicore_meter_flow *flow, const char *rule);
    /* At any time. */
    const char *(*layer7)(const aicore_meter_flow *flow);           /* "" if nothing was recognised */
    void (*flow_id)(const aicore_meter_flow *flow, uint8_t id[16]); /* flow_id of the record */
} aicore_meter_host;

typedef struct aicore_meter_setup {
    uint32_t size; /* of this structure */
    uint32_t reserved;
    const void *config;   /* what native() returned beside the capsule, never NULL; its form is the plugin's business */
    size_t config_length; /* 0 if there is none */
    char *error;          /* out: why it failed, terminated; zeroed before the call */
    size_t error_size;
} aicore_meter_setup;

typedef struct aicore_meter {
    uint32_t abi;          /* AICORE_METER_ABI */
    uint32_t size;         /* sizeof(aicore_meter) */
    const char *name;      /* ^[a-z][a-z0-9_-]{0,31}$ */
    const char *help;      /* one sentence */
    uint32_t state_size;   /* bytes per flow */
    uint32_t stream_bytes; /* bytes of each direction that `stream` gets, above 0 if it is set; UINT32_MAX = all */
    /* What follows may be zero. An array is NULL if its count is 0. */
    const aicore_field *fields; /* unless the Python class declares them; a field belongs to one meter alone */
    uint32_t field_count;
    uint32_t field_size;                              /* sizeof(aicore_field) */
    void *(*create)(const aicore_meter_setup *setup); /* NULL: failed, see setup->error */
    void (*destroy)(void *self);
    void (*take_over)(void *self, void *old);
    void (*opened)(void *self, aicore_meter_flow *flow, void *state);
    void (*packet)(void *self, aicore_meter_flow *flow, const aicore_packet *packet, void *state);
    void (*stream)(void *self, aicore_meter_flow *flow, const aicore_chunk *chunk, void *state);
    void (*named)(void *self, aicore_meter_flow *flow, const aicore_name *name, void *state);
    void (*record)(void *self, aicore_meter_flow *flow, void *state);
    void (*ended)(void *self, aicore_meter_flow *flow, void *state);
} aicore_meter;

#ifdef __cplusplus
}
#endif
#endif
