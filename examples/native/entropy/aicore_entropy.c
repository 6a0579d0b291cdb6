/* SPDX-License-Identifier: Apache-2.0
 *
 * A meter in C against aicore/meter.h: the entropy of the first bytes that each side of a flow sends. Text has 4 to 5
 * bits per byte, compressed and encrypted bytes near 8.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <string.h>

#include "aicore/meter.h"

enum { BYTES = 256 }; /* of each direction */
enum { SRC_ENTROPY, DST_ENTROPY };

static const aicore_field fields[] = {
    {"src_entropy", AICORE_REAL, 0, 0, "bit", NULL, "Entropy per byte of the first 256 payload bytes sent"},
    {"dst_entropy", AICORE_REAL, 0, 0, "bit", NULL, "Entropy per byte of the first 256 payload bytes received"},
};

/* What a flow remembers: the bytes, because the events that need their entropy are few. */
typedef struct state {
    double entropy[2];
    uint16_t measured[2]; /* bytes that `entropy` is of */
    uint16_t length[2];
    uint8_t bytes[2][BYTES];
} state;

/* No more than BYTES of a direction come: the structure asks for so many. */
static void stream(void *self, aicore_meter_flow *flow, const aicore_chunk *chunk, void *memory) {
    state *s = memory;
    (void)self, (void)flow;
    memcpy(s->bytes[chunk->reverse] + chunk->offset, chunk->data, chunk->length);
    s->length[chunk->reverse] = (uint16_t)(chunk->offset + chunk->length);
}

/* What a byte adds to the sum of n * log2(n) over all byte values when its value occurred n times before: with this
 * table a flow of few bytes costs few steps. Filled when the module is loaded, constant from then on. */
static double added[BYTES];

static void fill_table(void) {
    for (int n = 1; n < BYTES; ++n)
        added[n] = (n + 1) * log2(n + 1) - n * log2(n);
}

static double entropy(const uint8_t *bytes, size_t length) {
    uint16_t counts[256] = {0};
    double sum = 0, bits;
    for (size_t i = 0; i < length; ++i)
        sum += added[counts[bytes[i]]++];
    bits = log2((double)length) - sum / (double)length;
    return bits > 1e-9 ? bits : 0; /* of equal bytes rounding leaves a trace, of either sign */
}

static void record(void *self, aicore_meter_flow *flow, void *memory) {
    state *s = memory;
    (void)self;
    for (uint32_t d = 0; d < 2; ++d) {
        if (s->length[d] == 0) continue;
        if (s->measured[d] != s->length[d]) {
            s->entropy[d] = entropy(s->bytes[d], s->length[d]);
            s->measured[d] = s->length[d];
        }
        flow->host->set_real(flow, d == 0 ? SRC_ENTROPY : DST_ENTROPY, s->entropy[d]);
    }
}

static const aicore_meter meter = {
    .abi = AICORE_METER_ABI,
    .size = sizeof(aicore_meter),
    .name = "entropy",
    .help = "Entropy of the first 256 payload bytes of each direction",
    .state_size = sizeof(state),
    .stream_bytes = BYTES,
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .field_size = sizeof *fields,
    .stream = stream,
    .record = record,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "aicore_entropy", "Entropy for aicore.", -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_aicore_entropy(void) {
    PyObject *self;
    PyObject *capsule;
    fill_table();
    self = PyModule_Create(&module);
    capsule = PyCapsule_New((void *)&meter, AICORE_METER_CAPSULE, NULL);
    if (!self || !capsule || PyModule_AddObject(self, "entropy", capsule) < 0) {
        Py_XDECREF(capsule);
        Py_XDECREF(self);
        return NULL;
    }
    return self;
}
