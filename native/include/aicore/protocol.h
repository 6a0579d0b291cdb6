/* SPDX-License-Identifier: Apache-2.0
 *
 * aicore/protocol.h - the C ABI between aicore and a layer-7 protocol dissector.
 *
 * A protocol is one static `aicore_protocol` structure. A plugin package hands its address to aicore in a
 * PyCapsule named AICORE_PROTOCOL_CAPSULE, found through the entry-point group `aicore.protocols`. The core's own
 * http, tls and dns use exactly this header and nothing else.
 *
 * LIFE OF A FLOW
 *   1. The first payload of each direction selects that direction's candidates: every protocol of the flow's
 *      transport one of whose `prefixes` fits the first bytes, or one of whose `ports` is a port of the flow, or that
 *      declares neither. AICORE_NO drops a candidate of that direction only: in a connection caught in its middle one
 *      direction may begin inside a message and the other at the start of one.
 *   2. Candidates are asked in the order of `rank` (lower first). Each call shows the stream from its start until
 *      somebody answers AICORE_YES or AICORE_DONE: that protocol owns the flow from then on, the others are dropped.
 *      Fields set in a call that answers AICORE_NO or AICORE_MORE before recognition are discarded.
 *   3. The owner sees every further payload until it answers AICORE_DONE, the flow ends, or it hands the flow over.
 *   4. If no candidate is left, or the bound of buffered payload (16 KiB a direction by default) is reached, the
 *      flow stays unrecognised by payload; only then may one of `ports` name it (`layer7_by=port`).
 *
 * PAYLOAD
 *   UDP: one datagram. TCP: the in-order stream of one direction, without duplicates; `data` usually points into the
 *   packet itself and is valid during the call only. Nothing the callee is given may be kept; copy what you need into
 *   `state`.
 *   Before recognition `data` starts at the first byte of the direction. After recognition it starts behind what was
 *   consumed: AICORE_YES consumes everything unless `consumed` is set to less; AICORE_MORE consumes nothing unless
 *   `consumed` is set. What is not consumed is shown again, followed by what came after it.
 *   If the buffer of a direction is full and the owner still asks for more, the buffer is dropped and the next call
 *   carries AICORE_GAP. A gap in the capture drops what was not consumed, too.
 *   What the other direction sent before recognition is not consumed by it: it is shown with that direction's next
 *   payload (and is `other` in the recognising call). Both directions are consumed separately.
 *
 * STATE
 *   `state` is `state_size` bytes (at most AICORE_STATE_MAX), zeroed by the core, 8-byte aligned, private to this
 *   protocol and this flow. Before recognition it is zeroed anew for every call, except over UDP for a protocol with
 *   state that answered AICORE_MORE: at the flow's next datagram, of either direction, it finds what it left there (one
 *   protocol a flow, the first that asks). It lives until the flow ends or AICORE_DONE; there is no destructor, so it
 *   must not hold pointers to memory of its own.
 *
 * THREADS AND ERRORS
 *   All functions are called on the engine thread without the Python GIL. They must not block, throw, call Python or
 *   touch global mutable state. `inspect` must check every length itself; malformed input is answered AICORE_NO before
 *   recognition, and reported with host->anomaly() after it.
 *
 * VERSIONS
 *   `abi` must be AICORE_PROTOCOL_ABI and `size` sizeof(aicore_protocol) as compiled. Later versions only append
 *   members, so an older `size` is accepted and the missing members read as zero.
 */
#ifndef AICORE_PROTOCOL_H
#define AICORE_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AICORE_PROTOCOL_ABI 1u
#define AICORE_PROTOCOL_CAPSULE "aicore.protocol"
#define AICORE_STATE_MAX 1024u /* bytes of `state` a flow */

enum aicore_answer {
    AICORE_NO = 0,   /* not this protocol (before recognition); after recognition: ignored, the flow stays ours */
    AICORE_MORE = 1, /* cannot tell yet: show this again with more behind it */
    AICORE_YES = 2,  /* this protocol; show me what follows */
    AICORE_DONE = 3  /* this protocol, and nothing more to learn: never show this flow again */
};

enum aicore_transport { AICORE_TCP = 1u, AICORE_UDP = 2u }; /* bits of aicore_protocol.transports */

enum aicore_payload_flags {
    AICORE_GAP = 1u,       /* stream bytes are missing directly before `data` */
    AICORE_MIDSTREAM = 2u, /* the connection's SYN was not seen: `data` need not be the start of the stream */
    AICORE_TRUNCATED = 4u  /* the capture holds fewer bytes of this payload than were on the wire */
};

enum aicore_field_type { AICORE_STRING = 1, AICORE_INTEGER = 2, AICORE_LIST = 3 /* of strings */ };

enum aicore_field_flags {
    AICORE_NOTIFY = 1u /* learning this field the first time emits an update event (host and domain names) */
};

/* One field that a protocol adds to the record. All pointers must stay valid for the life of the process. */
typedef struct aicore_field {
    const char *name; /* column and JSON key, ^[a-z][a-z0-9_]{0,47}$; the same name may be shared by protocols if the
                         type agrees */
    uint32_t type;    /* aicore_field_type */
    uint32_t flags;   /* aicore_field_flags */
    uint32_t width;   /* bytes in fixed-width stores; 0 = 64 */
    const char *unit; /* NULL if none */
    const char *ecs;  /* name in the Elastic Common Schema, NULL if none */
    const char *help; /* one sentence */
} aicore_field;

/* First bytes that make a flow a candidate. A payload shorter than the prefix fits if it fits as far as it goes. */
typedef struct aicore_prefix {
    const char *bytes;
    uint32_t length; /* 0..16; 0 fits every payload: a protocol of any port that has `ports` to its name, too */
} aicore_prefix;

struct aicore_host;

/* The flow as a dissector may see it; valid during the call. Addresses are in network order, 4 or 16 bytes used;
 * `src` is the sender of the flow's first packet. Ports are in host order. */
typedef struct aicore_flow {
    const struct aicore_host *host;
    uint8_t src[16];
    uint8_t dst[16];
    uint16_t src_port;
    uint16_t dst_port;
    uint8_t ip_version; /* 4 or 6 */
    uint8_t transport;  /* AICORE_TCP or AICORE_UDP */
    uint8_t recognised; /* 1 once this protocol owns the flow */
    uint8_t reserved;
    uint64_t packets; /* of the flow so far, both directions, this one included */
    void *core;       /* private to the core */
} aicore_flow;

typedef struct aicore_payload {
    const uint8_t *data;
    size_t length;
    const uint8_t *other; /* before recognition: what the other direction has sent so far, else NULL */
    size_t other_length;
    uint8_t reverse; /* 0: from src to dst, 1: from dst to src */
    uint8_t flags;   /* aicore_payload_flags */
    uint8_t reserved[6];
    int64_t time;    /* of the packet, nanoseconds since the epoch */
    size_t consumed; /* out: see PAYLOAD above; preset by the core to SIZE_MAX = the default of the answer */
} aicore_payload;

/* What a dissector may call, during `inspect` only. `field`, `anomaly` and `alias` are indexes into the arrays of
 * the protocol. Bytes need not be UTF-8 or terminated: the core makes valid UTF-8 (a bad byte becomes \xNN text,
 * NUL too) and cuts a string at 1 KiB and the strings of a record at 32 KiB (counted). */
typedef struct aicore_host {
    uint32_t size;
    uint32_t reserved;
    void (*set_string)(aicore_flow *flow, uint32_t field, const void *bytes, size_t length); /* the last one wins */
    void (*set_integer)(aicore_flow *flow, uint32_t field, int64_t value);
    void (*add_string)(aicore_flow *flow, uint32_t field, const void *bytes, size_t length); /* to a list, once each */
    int (*has)(const aicore_flow *flow, uint32_t field);   /* 1 if the record has a value for it */
    void (*anomaly)(aicore_flow *flow, uint32_t anomaly);  /* counted; the flow's first stands in its record */
    void (*set_layer7)(aicore_flow *flow, uint32_t alias); /* name the flow by aliases[alias] instead of `name` */
    /* From the next payload on the flow is another protocol's (STARTTLS, CONNECT, WebSocket): `protocol` names the one
     * that owns it at once, or is NULL to recognise anew among all. What either direction has not consumed when the
     * call returns (answer AICORE_YES and set `consumed`) are the first bytes the successor sees. If nothing is
     * recognised then, or `protocol` is not loaded, layer7 stays and the flow is done. */
    void (*hand_over)(aicore_flow *flow, const char *protocol);
} aicore_host;

typedef struct aicore_protocol {
    uint32_t abi;          /* AICORE_PROTOCOL_ABI */
    uint32_t size;         /* sizeof(aicore_protocol) */
    const char *name;      /* layer7 in the record, ^[a-z][a-z0-9_-]{0,31}$ */
    const char *help;      /* one sentence */
    uint32_t transports;   /* AICORE_TCP | AICORE_UDP */
    uint32_t rank;         /* 0 = proof by magic bytes ... 100 = heuristic; order of asking */
    const uint16_t *ports; /* NULL if none */
    uint32_t port_count;
    uint32_t prefix_count;
    const aicore_prefix *prefixes; /* NULL if none */
    const aicore_field *fields;
    uint32_t field_count;
    uint32_t anomaly_count;
    const char *const *anomalies; /* counter names, ^[a-z][a-z0-9_]{0,47}$ */
    const char *const *aliases;   /* further layer7 names that set_layer7 may give */
    uint32_t alias_count;
    uint32_t state_size; /* bytes, at most AICORE_STATE_MAX */
    /* Returns an aicore_answer. */
    int (*inspect)(aicore_flow *flow, aicore_payload *payload, void *state);
} aicore_protocol;

#ifdef __cplusplus
}
#endif
#endif
