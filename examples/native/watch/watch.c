/* SPDX-License-Identifier: Apache-2.0
 *
 * The native part of the meter watch. Its configuration: names, each terminated, in ascending order.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>
#include <string.h>

#include "aicore/meter.h"

enum { WATCHED }; /* the field, by its place in the class's list */
enum { NAME_MAX_BYTES = 255 };

/* One instance: never changed once it is made, a reload makes another one. */
typedef struct list {
    size_t count;
    const char **names; /* in `text`, sorted */
    char *text;
} list;

/* What a flow remembers: the text itself, for the list may be another one tomorrow. */
typedef struct state {
    char watched[NAME_MAX_BYTES + 1];
} state;

static void destroy(void *self) {
    list *l = self;
    free(l->names);
    free(l->text);
    free(l);
}

static void *create(const aicore_meter_setup *setup) {
    const char *p = setup->config, *end = p + setup->config_length;
    list *l = calloc(1, sizeof *l);
    if (!l) goto memory;
    for (const char *c = p; c < end; ++c)
        l->count += *c == '\0';
    l->names = malloc((l->count + 1) * sizeof *l->names);
    l->text = malloc(setup->config_length + 1);
    if (!l->names || !l->text) goto memory;
    memcpy(l->text, p, setup->config_length);
    for (size_t i = 0, at = 0; i < l->count; ++i) {
        l->names[i] = l->text + at;
        at += strlen(l->names[i]) + 1;
    }
    return l;
memory:
    if (l) destroy(l);
    strncpy(setup->error, "there is no memory for the list", setup->error_size - 1);
    return NULL;
}

static int compare(const void *name, const void *entry) {
    return strcmp(name, *(const char *const *)entry);
}

static void named(void *self, aicore_meter_flow *flow, const aicore_name *name, void *memory) {
    const list *l = self;
    state *s = memory;
    char lower[NAME_MAX_BYTES + 1];
    const char **found;
    if (!(name->flags & AICORE_NOTIFY) || name->kind != AICORE_NAME_TEXT || s->watched[0]) return;
    if (name->length > NAME_MAX_BYTES) return;
    for (size_t i = 0; i < name->length; ++i) {
        const uint8_t c = name->value[i];
        if (!c) return; /* what follows it would not be looked at */
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    lower[name->length] = '\0';
    found = bsearch(lower, l->names, l->count, sizeof *l->names, compare);
    if (!found) return;
    strcpy(s->watched, lower);
    flow->host->detected(flow, *found);
}

static void record(void *self, aicore_meter_flow *flow, void *memory) {
    const state *s = memory;
    (void)self;
    if (s->watched[0]) flow->host->set_string(flow, WATCHED, s->watched, strlen(s->watched));
}

static const aicore_meter watch = {
    .abi = AICORE_METER_ABI,
    .size = sizeof(aicore_meter),
    .name = "watch",
    .help = "Flows that name a host of a list",
    .state_size = sizeof(state),
    .create = create,
    .destroy = destroy,
    .named = named,
    .record = record,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_native", "Native part of watch.", -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    PyObject *self = PyModule_Create(&module);
    PyObject *capsule = PyCapsule_New((void *)&watch, AICORE_METER_CAPSULE, NULL);
    if (!self || !capsule || PyModule_AddObject(self, "watch", capsule) < 0) {
        Py_XDECREF(capsule);
        Py_XDECREF(self);
        return NULL;
    }
    return self;
}
