/* SPDX-License-Identifier: Apache-2.0
 *
 * aicore/protocol.h - the C ABI between aicore and a layer-7 protocol dissector.
 *
 * A protocol is one static `aicore_protocol` structure. A plugin package gives its address to aicore in a PyCapsule
 * named AICORE_PROTOCOL_CAPSULE, found through the entry-point group `aicore.protocols`. The core's own http, tls and
 * dns use this header like any plugin. C++ authors include aicore/dissector.h, which wraps it.
 *
 * LIFE OF A FLOW
 *   1. The first payload of each direction selects that direction's candidates: every protocol of the flow's transport
 *      one of whose `prefixes` matches the first bytes, or one of whose `ports` is a port of the flow, or that declares
 *      neither. AICORE_NO drops a candidate for that direction only: in a connection caught in its middle one direction
 *      may begin inside a message and the other at the start of one.
 *   2. Candidates are asked in order of `rank`, lowest first. Each call shows the stream from its start until one of
 *      them answers AICORE_YES or AICORE_DONE: that protocol owns the flow from then on, the others are dropped.
 *      Fields set in a call that answers AICORE_NO or AICORE_MORE before recognition are discarded.
 *   3. The owner sees every further payload until it answers AICORE_DONE, the flow ends, or it hands the flow over.
 *   4. A candidate that still asks for more when the limit of buffered payload (16 KiB per direction by default) is
 *      reached is dropped for that direction. The first payload of a direction is looked at whatever the other one has
 *      sent. If no candidate is left in either direction, payload does not identify the flow; only then may one of
 *      `ports` name it (`layer7_by=port`).
 *
 * PAYLOAD
 *   UDP: one datagram. TCP: the in-order stream of one direction, without duplicates. `data` usually points into the
 *   packet itself and is valid during the call only: keep none of the pointers, copy what you need into `state`.
 *   Before recognition `data` starts at the first byte of the direction. After recognition it starts behind what was
 *   consumed: AICORE_YES consumes everything unless `consumed` is set to less; AICORE_MORE consumes nothing unless
 *   `consumed` is set. What is not consumed is shown again, followed by what came after it.
 *   If `consumed` is more than `length`, as much of what follows is passed over: a body of gigabytes costs no calls and
 *   no memory, and a gap within it is none. SIZE_MAX - 1 passes over the rest of the direction. (TCP alone: a datagram
 *   has no rest.)
 *   If the buffer of a direction is full and the owner still asks for more, the buffer is dropped and the next call
 *   carries AICORE_GAP. A gap in the capture also drops what was not consumed.
 *   What the other direction sent before recognition is not consumed by it: it is shown with that direction's next
 *   payload (and is `other` in the recognising call). Each direction is consumed separately.
 *
 * STATE
 *   `state` is `state_size` bytes (at most AICORE_STATE_MAX), zeroed by the core, 8-byte aligned, private to this
 *   protocol and this flow. Before recognition it is zeroed anew for every call, except over UDP for a protocol with
 *   state that answered AICORE_MORE: at the flow's next datagram, in either direction, it finds what it left there (one
 *   protocol per flow, the first that asks). It lives until the flow ends or AICORE_DONE. There is no destructor, so it
 *   must not own memory.
 *
 * THREADS AND ERRORS
 *   All functions are called on an engine thread without the Python GIL. They must not block, throw, call Python or
 *   touch global mutable state. `inspect` must check every length itself; malformed input is answered AICORE_NO before
 *   recognition, and reported with host->anomaly() after it.
 *
 * VERSIONS
 *   Structures only ever grow at their end, so a plugin and an aicore that were built with different versions of this
 *   header work together as long as AICORE_PROTOCOL_ABI is the same. Whoever made a structure says how large it is.
 *   What the plugin gives:
 *     - aicore_protocol.size is sizeof(aicore_protocol) as the plugin was compiled, `field_size` and `prefix_size` are
 *       sizeof(aicore_field) and sizeof(aicore_prefix): the distance between elements.
 *     - The core copies what it knows of each structure. Members that an older plugin lacks read as zero; zero always
 *       means "as before the member existed". Members of a newer plugin that the core does not know are ignored.
 *     - A size too small for the members up to `inspect` (aicore_protocol), `type` (aicore_field) or `length`
 *       (aicore_prefix) is an error, and so is another `abi`: the plugin is listed as incompatible and not loaded.
 *     - Only the structures are copied. Strings, `ports`, and the arrays of strings stay the plugin's and must not
 *       change or move while the process lives.
 *   What the core gives (aicore_flow, aicore_payload, aicore_host):
 *     - `size` is the size as the core was compiled. Members in this header are all there in the aicore that it came
 *       with and in every later one. A plugin that wants to run on an older aicore, too, asks for what came later:
 *           if (AICORE_HAS(flow->host, something_new)) flow->host->something_new(flow, 1);
 *       Everything up to the first release of an ABI number is always there and need not be asked for.
 *     - Only the core makes these structures. A plugin that copies one copies no more than `size` bytes.
 *   Reserved members are zero. No structure ends in padding, so that a new member never lands in bytes which an older
 *   compiler left undefined. AICORE_PROTOCOL_ABI rises only if something that exists changes its meaning or place.
 */
#ifndef AICORE_PROTOCOL_H
#define AICORE_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AICORE_PROTOCOL_ABI 2u
#define AICORE_PROTOCOL_CAPSULE "aicore.protocol"
#define AICORE_STATE_MAX 1024u /* bytes of `state` per flow */

/* 1 if the structure that the core gave is large enough to have this member. */
#define AICORE_HAS(structure, member)                                                                                  \
    ((structure)->size >=                                                                                              \
     (size_t)((const char *)&(structure)->member - (const char *)(structure)) + sizeof((structure)->member))

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

/* Type of a field, and the function of aicore_host that gives it a value. */
enum aicore_field_type {
    AICORE_STRING = 1,   /* set_string */
    AICORE_INTEGER = 2,  /* set_integer: signed 64 bits */
    AICORE_STRINGS = 3,  /* add_string: a list, each string once, in order of arrival */
    AICORE_REAL = 4,     /* set_real: IEEE 754 double */
    AICORE_BOOLEAN = 5,  /* set_integer: 0 is false, anything else true */
    AICORE_INTEGERS = 6, /* add_integer: a list, in order of arrival, repetitions included */
    AICORE_REALS = 7,    /* add_real: likewise */
    AICORE_TIME = 8      /* set_integer: nanoseconds since 1970-01-01 00:00 UTC */
};

enum aicore_field_flags {
    /* Host and domain names: the first value of this field in a flow emits an update event. Of AICORE_STRINGS every new
     * one does, and the list holds the latest 16: each is the last of the list in some update, even if a payload has
     * more of them. What a flow named before, up to some 250 names back, is known as a repetition and changes nothing.
     */
    AICORE_NOTIFY = 1u
};

/* One field that a protocol adds to the record. */
typedef struct aicore_field {
    const char *name; /* column and JSON key, ^[a-z][a-z0-9_]{0,47}$; protocols may share a name if the type agrees */
    uint32_t type;    /* aicore_field_type */
    uint32_t flags;   /* aicore_field_flags */
    uint32_t width;   /* bytes in fixed-width stores; 0 = 64 */
    const char *unit; /* NULL if none */
    const char *ecs;  /* name in the Elastic Common Schema, NULL if none */
    const char *help; /* one sentence */
} aicore_field;

/* First bytes that make a flow a candidate. A payload shorter than the prefix is compared as far as it goes. */
typedef struct aicore_prefix {
    const char *bytes;
    size_t
        length; /* 0..16; 0 matches every payload: for a protocol on any port that also lists `ports` to name flows */
} aicore_prefix;

struct aicore_host;

/* The flow as a dissector may see it; valid during the call. Addresses are in network order, 4 or 16 bytes used;
 * `src` is the initiator (of TCP: who sent the SYN, else the sender of the first packet). Ports are in host order. */
typedef struct aicore_flow {
    uint32_t size; /* of this structure */
    uint16_t src_port;
    uint16_t dst_port;
    const struct aicore_host *host;
    uint8_t src[16];
    uint8_t dst[16];
    uint8_t ip_version; /* 4 or 6 */
    uint8_t transport;  /* AICORE_TCP or AICORE_UDP */
    uint8_t recognised; /* 1 once this protocol owns the flow */
    uint8_t reserved[5];
    void *core;       /* private to the core */
    uint64_t packets; /* of the flow so far, both directions, this one included */
} aicore_flow;

typedef struct aicore_payload {
    uint32_t size;   /* of this structure */
    uint16_t flags;  /* aicore_payload_flags */
    uint8_t reverse; /* 0: from src to dst, 1: from dst to src */
    uint8_t reserved;
    const uint8_t *data;
    size_t length;
    size_t consumed;      /* out: see PAYLOAD above; preset by the core to SIZE_MAX = the default of the answer */
    int64_t time;         /* of the packet, nanoseconds since the epoch */
    const uint8_t *other; /* before recognition: what the other direction has sent so far, else NULL */
    size_t other_length;
} aicore_payload;

/* What a dissector may call, during `inspect` only. `field`, `anomaly` and `alias` are indexes into the arrays of the
 * protocol; a value for an index out of range, or for a field of another type, is left out and counted as
 * values_refused. Strings need not be UTF-8 or terminated: the
 * core makes valid UTF-8 (a bad byte becomes \xNN text, NUL too) and cuts a string at 1 KiB and the strings of a record
 * at 32 KiB. A record holds at most 256 values of protocols. What is cut or left out is counted. */
typedef struct aicore_host {
    uint32_t size; /* of this structure */
    uint32_t reserved;
    /* set_: the last value wins. */
    void (*set_string)(aicore_flow *flow, uint32_t field, const void *bytes, size_t length);
    void (*set_integer)(aicore_flow *flow, uint32_t field, int64_t value);
    void (*set_real)(aicore_flow *flow, uint32_t field, double value);
    /* add_: appends to a list. */
    void (*add_string)(aicore_flow *flow, uint32_t field, const void *bytes, size_t length);
    void (*add_integer)(aicore_flow *flow, uint32_t field, int64_t value);
    void (*add_real)(aicore_flow *flow, uint32_t field, double value);
    int (*has)(const aicore_flow *flow, uint32_t field);   /* 1 if the record has a value for it */
    void (*anomaly)(aicore_flow *flow, uint32_t anomaly);  /* counted; the flow's first one is in its record */
    void (*set_layer7)(aicore_flow *flow, uint32_t alias); /* name the flow by aliases[alias] instead of `name` */
    /* From the next payload on the flow is another protocol's (STARTTLS, CONNECT, WebSocket): `protocol` names the one
     * that owns it at once; NULL starts recognition again among all. What either direction has not consumed when the
     * call returns (answer AICORE_YES and set `consumed`) are the first bytes the successor sees. If nothing is
     * recognised then, or `protocol` is not loaded, layer7 stays and the flow is done. */
    void (*hand_over)(aicore_flow *flow, const char *protocol);
} aicore_host;

typedef struct aicore_protocol {
    uint32_t abi;        /* AICORE_PROTOCOL_ABI */
    uint32_t size;       /* sizeof(aicore_protocol) */
    const char *name;    /* layer7 in the record, ^[a-z][a-z0-9_-]{0,31}$ */
    const char *help;    /* one sentence */
    uint32_t transports; /* AICORE_TCP | AICORE_UDP */
    uint32_t rank;       /* 0 = proof by magic bytes ... 100 = heuristic; order of asking */
    int (*inspect)(aicore_flow *flow, aicore_payload *payload, void *state); /* returns an aicore_answer */
    /* What follows may be zero. An array is NULL if its count is 0. */
    uint32_t state_size; /* bytes, at most AICORE_STATE_MAX */
    uint32_t port_count;
    const uint16_t *ports;
    const aicore_prefix *prefixes;
    uint32_t prefix_count;
    uint32_t prefix_size; /* sizeof(aicore_prefix) */
    const aicore_field *fields;
    uint32_t field_count;
    uint32_t field_size;          /* sizeof(aicore_field) */
    const char *const *anomalies; /* counter names, ^[a-z][a-z0-9_]{0,47}$ */
    const char *const *aliases;   /* further layer7 names that set_layer7 may give */
    uint32_t anomaly_count;
    uint32_t alias_count;
} aicore_protocol;

#ifdef __cplusplus
}
#endif
#endif
