/* SPDX-License-Identifier: Apache-2.0
 *
 * IRC (RFC 1459) in C against aicore/protocol.h: a client's registration, in any order and with a password before it.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#include "aicore/protocol.h"

enum { NICK, USER };
static const aicore_field fields[] = {
    {"ircnick", AICORE_STRING, AICORE_NOTIFY, 64, NULL, NULL, "Nickname that the client asks for"},
    {"ircuser", AICORE_STRING, 0, 64, NULL, NULL, "User name of the client's machine"},
};

/* Only the client's first line decides who is asked; the server speaks first on some networks, and is no proof. */
static const aicore_prefix prefixes[] = {{"NICK ", 5}, {"USER ", 5}, {"PASS ", 5}, {"CAP ", 4}};

enum { LINE_MAX_BYTES = 512 }; /* RFC 1459, section 2.3 */

static int is_command(const uint8_t *line, size_t length, const char *command) {
    const size_t n = strlen(command);
    return length > n && memcmp(line, command, n) == 0 && line[n] == ' ';
}

static void set(aicore_flow *flow, uint32_t field, const uint8_t *line, size_t length) {
    const uint8_t *begin = line + 5, *space; /* behind "NICK " or "USER " */
    size_t n = length - 5;
    if (n && *begin == ':') ++begin, --n;
    space = memchr(begin, ' ', n);
    flow->host->set_string(flow, field, begin, space ? (size_t)(space - begin) : n);
}

/* Nothing is kept between calls: until the flow is recognised each call shows the stream from its start. */
static int inspect(aicore_flow *flow, aicore_payload *payload, void *state) {
    const uint8_t *p = payload->data, *end = p + payload->length;
    (void)state;
    while (p < end) {
        const uint8_t *newline = memchr(p, '\n', (size_t)(end - p));
        size_t length;
        if (!newline) return end - p > LINE_MAX_BYTES ? AICORE_NO : AICORE_MORE;
        length = (size_t)(newline - p);
        if (length && p[length - 1] == '\r') --length;
        if (is_command(p, length, "NICK"))
            set(flow, NICK, p, length);
        else if (is_command(p, length, "USER"))
            set(flow, USER, p, length);
        else if (!is_command(p, length, "PASS") && !is_command(p, length, "CAP"))
            return AICORE_NO;
        if (flow->host->has(flow, NICK) && flow->host->has(flow, USER)) return AICORE_DONE;
        p = newline + 1;
    }
    return AICORE_MORE;
}

static const aicore_protocol irc = {
    .abi = AICORE_PROTOCOL_ABI,
    .size = sizeof(aicore_protocol),
    .name = "irc",
    .help = "Internet Relay Chat",
    .transports = AICORE_TCP,
    .rank = 50,
    .inspect = inspect,
    .prefixes = prefixes,
    .prefix_count = sizeof prefixes / sizeof *prefixes,
    .prefix_size = sizeof *prefixes,
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .field_size = sizeof *fields,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "aicore_irc", "IRC for aicore.", -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_aicore_irc(void) {
    PyObject *self = PyModule_Create(&module);
    PyObject *capsule = PyCapsule_New((void *)&irc, AICORE_PROTOCOL_CAPSULE, NULL);
    if (!self || !capsule || PyModule_AddObject(self, "irc", capsule) < 0) {
        Py_XDECREF(capsule);
        Py_XDECREF(self);
        return NULL;
    }
    return self;
}
