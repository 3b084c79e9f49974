/* Levels and their contexts in compiled code: what shared/wire/lattice_levels.py and signed_levels.py do, in
 * a fraction of the time.
 *
 * It is optional: where there was no compiler, NumPy does the same and makes the same bytes. It never sees a
 * byte of the network: an entropy decoder has made symbols of them, and each is checked here before it is
 * used. This file goes through the stages; native_lattice.c and native_signed.c know what they are.
 */
#include "native.h"

#include <math.h>
#include <string.h>

#define REVISION 2 /* of these functions; shared/wire/compiled.py takes no other */
#define TABLES 256
#define MOST_CELLS (1 << 26)

static const char CODER[] = "siftfunnel.shared.wire.native.Coder";

void free_coder(Coder *coder) {
    for (int i = 0; i < coder->owns; i++) PyMem_Free(coder->owned[i]);
    PyMem_Free(coder);
}

static void free_capsule(PyObject *capsule) {
    Coder *coder = PyCapsule_GetPointer(capsule, CODER);
    if (coder) free_coder(coder);
}

PyObject *capsule_of(Coder *coder) {
    PyObject *capsule = PyCapsule_New(coder, CODER, free_capsule);
    if (!capsule) free_coder(coder);
    return capsule;
}

const void *own(Coder *coder, const void *data, size_t size) {
    void *copy = coder->owns < MOST_OWNED ? PyMem_Malloc(size ? size : 1) : NULL;
    if (!copy) {
        PyErr_NoMemory();
        return NULL;
    }
    memcpy(copy, data, size);
    return coder->owned[coder->owns++] = copy;
}

/* Whether all are below a bound and none is negative. */
static int all_below(const int32_t *values, int count, int bound) {
    for (int i = 0; i < count; i++)
        if (values[i] < 0 || values[i] >= bound) return 0;
    return 1;
}

void *new_coder(size_t size, const Kind *kind, int channels, int height, int width, const Py_buffer *index,
                const Py_buffer *order, const Py_buffer *steps) {
    const Py_ssize_t sent = index->len / (Py_ssize_t)sizeof(int32_t);
    if (channels < 1 || height < 1 || width < 1 || sent < 1 || sent > channels ||
        (double)channels * (height + 2.0) * (width + 2.0) > MOST_CELLS ||
        index->len != sent * (Py_ssize_t)sizeof(int32_t) || order->len != index->len ||
        steps->len != sent * (Py_ssize_t)sizeof(float)) {
        PyErr_SetString(PyExc_ValueError, "sizes of a codec's tables do not fit each other");
        return NULL;
    }
    Coder *coder = PyMem_Calloc(1, size);
    if (!coder) return PyErr_NoMemory();
    coder->kind = kind;
    coder->channels = channels, coder->height = height, coder->width = width, coder->sent = (int)sent;
    if (!(coder->index = own(coder, index->buf, (size_t)index->len)) ||
        !(coder->order = own(coder, order->buf, (size_t)order->len)) ||
        !(coder->steps = own(coder, steps->buf, (size_t)steps->len))) {
        free_coder(coder);
        return NULL;
    }
    if (!all_below(coder->index, coder->sent, channels) || !all_below(coder->order, coder->sent, coder->sent)) {
        PyErr_SetString(PyExc_ValueError, "a codec names a channel that the feature does not have");
        free_coder(coder);
        return NULL;
    }
    return coder;
}

int reserve(Frame *frame, size_t count) {
    frame->count = count;
    if (count <= frame->room) return 0;
    PyMem_Free(frame->found);
    frame->room = 0;
    /* one piece for all: the widest come first */
    if (!(frame->found = PyMem_Malloc(count * (3 * sizeof *frame->found + 3)))) {
        PyErr_NoMemory();
        return -1;
    }
    frame->room = count;
    frame->values = frame->found + count;
    frame->order = frame->values + count;
    frame->tables = (uint8_t *)(frame->order + count);
    frame->symbols = frame->tables + count;
    frame->told = frame->symbols + count;
    return 0;
}

static void drop(Frame *frame) {
    PyMem_Free(frame->channels);
    PyMem_Free(frame->flags);
    PyMem_Free(frame->cells);
    PyMem_Free(frame->found);
    PyMem_Free(frame->masks);
    PyMem_Free(frame->kinds);
    PyMem_Free(frame->starts);
    PyMem_Free(frame->far);
    PyMem_Free(frame->beyond);
}

/* The frame of a feature before its flags are known; -1 with an error set. */
static int start(Frame *frame, const Coder *coder, int coarser, const Py_buffer *features) {
    if (coarser < 0 || coarser > 255 ||
        (size_t)features->len != (size_t)coder->channels * area(coder) * sizeof(float)) {
        PyErr_SetString(PyExc_ValueError, "features are of another size than the codec's");
        return -1;
    }
    frame->coder = coder, frame->coarser = coarser;
    frame->channels = PyMem_Malloc((size_t)coder->sent * sizeof *frame->channels);
    frame->flags = PyMem_Calloc((size_t)coder->sent, 1);
    frame->cells = PyMem_Calloc((size_t)coder->sent, padded(coder));
    if (frame->channels && frame->flags && frame->cells) return 0;
    PyErr_NoMemory();
    return -1;
}

/* One channel's levels; returns whether any is not 0. */
static int quantise(const Coder *coder, const float *__restrict values, float step, int coarser,
                    int8_t *__restrict levels) {
    const size_t count = area(coder);
    const float divisor = ldexpf(step, coarser), reached = (float)coder->most * divisor;
    const float farthest = coder->limit * step, highest = farthest < reached ? farthest : reached;
    const float lowest = coder->negative ? -highest : 0.0f;
    int8_t any = 0;
    for (size_t i = 0; i < count; i++) levels[i] = (int8_t)nearest(values[i], lowest, highest, divisor);
    for (size_t i = 0; i < count; i++) any |= levels[i];
    return any != 0;
}

/* Levels of all channels, the flags, and which channels have any. */
static int quantise_all(Frame *frame) {
    const Coder *coder = frame->coder;
    const size_t row = (size_t)coder->width + 2, width = (size_t)coder->width;
    int8_t *levels = PyMem_Malloc(area(coder));
    if (!levels) {
        PyErr_NoMemory();
        return -1;
    }
    for (int i = 0; i < coder->sent; i++) {
        const int s = coder->order[i];
        const float *values = frame->features + (size_t)coder->index[s] * area(coder);
        if (!quantise(coder, values, coder->steps[s], frame->coarser, levels)) continue;
        int8_t *inside = frame->cells + (size_t)frame->active * padded(coder) + row + 1;
        for (size_t y = 0; y < (size_t)coder->height; y++) memcpy(inside + y * row, levels + y * width, width);
        frame->flags[s] = 1;
        frame->channels[frame->active++] = s;
    }
    PyMem_Free(levels);
    return 0;
}

/* Where the symbols of each table begin when they are sorted, behind `done`; appends the runs. */
static int runs_of(const Frame *frame, int stage, size_t done, size_t next[TABLES], PyObject *runs) {
    size_t counts[TABLES] = {0}, at = 0;
    int failed = 0;
    for (size_t i = 0; i < frame->count; i++) counts[frame->tables[i]]++;
    for (int table = 0; table < TABLES && !failed; table++) {
        next[table] = at;
        if (!counts[table]) continue;
        PyObject *run = Py_BuildValue("inn", frame->coder->first[stage] + table, (Py_ssize_t)(done + at),
                                      (Py_ssize_t)(done + at + counts[table]));
        failed = !run || PyList_Append(runs, run);
        Py_XDECREF(run);
        at += counts[table];
    }
    return failed ? -1 : 0;
}

/* What has been told so far, and the symbols in the order in which they are popped. */
typedef struct {
    size_t count, room;
    uint8_t *told;
    int32_t *symbols;
} Output;

static int append(Output *output, size_t count) {
    if (output->count + count > output->room) {
        const size_t room = 2 * (output->count + count);
        uint8_t *told = PyMem_Realloc(output->told, room);
        if (told) output->told = told;
        int32_t *symbols = PyMem_Realloc(output->symbols, room * sizeof *symbols);
        if (symbols) output->symbols = symbols;
        if (!told || !symbols) {
            PyErr_NoMemory();
            return -1;
        }
        output->room = room;
    }
    output->count += count;
    return 0;
}

static int tell_head(const Frame *frame, Output *output) {
    const size_t sent = (size_t)frame->coder->sent;
    if (append(output, 1 + sent)) return -1;
    output->told[0] = (uint8_t)frame->coarser;
    memcpy(output->told + 1, frame->flags, sent);
    for (size_t i = 0; i <= sent; i++) output->symbols[i] = output->told[i];
    return 0;
}

static PyObject *sort(PyObject *module, PyObject *args) {
    PyObject *capsule, *runs = NULL, *result = NULL;
    Py_buffer features;
    int coarser;
    (void)module;
    if (!PyArg_ParseTuple(args, "Oy*i", &capsule, &features, &coarser)) return NULL;
    Frame frame = {0};
    Output output = {0};
    size_t next[TABLES];
    const Coder *coder = PyCapsule_GetPointer(capsule, CODER);
    if (!coder || start(&frame, coder, coarser, &features)) goto done;
    frame.features = features.buf;
    if (quantise_all(&frame) || tell_head(&frame, &output) || coder->kind->begin(&frame)) goto done;
    if (!(runs = PyList_New(0))) goto done;
    for (int stage = 0; stage < coder->stages; stage++) {
        const size_t before = output.count;
        if (coder->kind->look(&frame, stage) || coder->kind->tell(&frame, stage) ||
            append(&output, frame.count) || runs_of(&frame, stage, before, next, runs))
            goto done;
        memcpy(output.told + before, frame.told, frame.count);
        int32_t *symbols = output.symbols + before;
        for (size_t i = 0; i < frame.count; i++) symbols[next[frame.tables[i]]++] = frame.symbols[i];
    }
    result = Py_BuildValue("y#y#O", output.told, (Py_ssize_t)output.count, output.symbols,
                           (Py_ssize_t)(output.count * sizeof *output.symbols), runs);
done:
    Py_XDECREF(runs);
    PyMem_Free(output.told);
    PyMem_Free(output.symbols);
    drop(&frame);
    PyBuffer_Release(&features);
    return result;
}

/* Take one run's symbols; -1 with an error set where one is none of the stage's. */
static int take(Frame *frame, int stage, PyObject *popped, size_t *at) {
    Py_buffer levels;
    if (PyObject_GetBuffer(popped, &levels, PyBUF_SIMPLE)) return -1;
    const size_t count = (size_t)levels.len / sizeof(int32_t);
    const int32_t *symbols = levels.buf;
    int wrong = (size_t)levels.len % sizeof(int32_t) || (uintptr_t)symbols % sizeof(int32_t) ||
                count > frame->count - *at;
    uint32_t most = 0;
    for (size_t i = 0; i < count && !wrong; i++)
        most = (uint32_t)symbols[i] > most ? (uint32_t)symbols[i] : most; /* one below 0 is above all */
    wrong |= most >= (uint32_t)frame->coder->symbols[stage];
    for (size_t i = 0; i < count && !wrong; i++) frame->symbols[frame->order[(*at)++]] = (uint8_t)symbols[i];
    PyBuffer_Release(&levels);
    if (wrong) PyErr_SetString(PyExc_ValueError, "holds other symbols than its tables have");
    return wrong ? -1 : 0;
}

/* Ask for the symbols of a stage and take them; -1 with an error set. */
static int ask(Frame *frame, int stage, PyObject *pop) {
    size_t next[TABLES], at = 0;
    PyObject *popped = NULL, *runs = PyList_New(0);
    if (!runs || runs_of(frame, stage, 0, next, runs)) goto failed;
    for (size_t i = 0; i < frame->count; i++) frame->order[next[frame->tables[i]]++] = (uint32_t)i;
    if (!(popped = PyObject_CallFunctionObjArgs(pop, runs, NULL))) goto failed;
    const Py_ssize_t parts = PyList_Size(popped);
    if (parts < 0) goto failed;
    for (Py_ssize_t part = 0; part < parts; part++)
        if (take(frame, stage, PyList_GetItem(popped, part), &at)) goto failed;
    if (at != frame->count) {
        PyErr_SetString(PyExc_ValueError, "holds fewer symbols than were asked for");
        goto failed;
    }
    Py_DECREF(popped);
    Py_DECREF(runs);
    return 0;
failed:
    Py_XDECREF(popped);
    Py_XDECREF(runs);
    return -1;
}

/* Which channels have levels; -1 with an error set. */
static int take_flags(Frame *frame, const Py_buffer *flags) {
    const Coder *coder = frame->coder;
    if (flags->len != coder->sent) {
        PyErr_SetString(PyExc_ValueError, "flags are not as many as the channels that are ever sent");
        return -1;
    }
    memcpy(frame->flags, flags->buf, (size_t)coder->sent);
    for (int i = 0; i < coder->sent; i++) {
        const int s = coder->order[i];
        if (frame->flags[s] > 1) {
            PyErr_SetString(PyExc_ValueError, "a flag is 0 or 1");
            return -1;
        }
        if (frame->flags[s]) frame->channels[frame->active++] = s;
    }
    return 0;
}

static PyObject *fill(PyObject *module, PyObject *args) {
    PyObject *capsule, *pop, *result = NULL;
    Py_buffer flags, features;
    int coarser;
    (void)module;
    if (!PyArg_ParseTuple(args, "Oy*iw*O", &capsule, &flags, &coarser, &features, &pop)) return NULL;
    Frame frame = {0};
    Output output = {0};
    const Coder *coder = PyCapsule_GetPointer(capsule, CODER);
    if (!coder || start(&frame, coder, coarser, &features) || take_flags(&frame, &flags)) goto done;
    frame.filled = memset(features.buf, 0, (size_t)features.len);
    if (tell_head(&frame, &output) || coder->kind->begin(&frame)) goto done;
    for (int stage = 0; stage < coder->stages; stage++) {
        const size_t before = output.count;
        if (coder->kind->look(&frame, stage) || (frame.count && ask(&frame, stage, pop)) ||
            coder->kind->place(&frame, stage) || append(&output, frame.count))
            goto done;
        memcpy(output.told + before, frame.told, frame.count);
    }
    coder->kind->restore(&frame);
    result = PyBytes_FromStringAndSize((const char *)output.told, (Py_ssize_t)output.count);
done:
    PyMem_Free(output.told);
    PyMem_Free(output.symbols);
    drop(&frame);
    PyBuffer_Release(&flags);
    PyBuffer_Release(&features);
    return result;
}

static PyObject *all_finite(PyObject *module, PyObject *values) {
    Py_buffer buffer;
    (void)module;
    if (PyObject_GetBuffer(values, &buffer, PyBUF_SIMPLE)) return NULL;
    const size_t count = (size_t)buffer.len / sizeof(uint32_t);
    const uint32_t *bits = buffer.buf;
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t magnitude = bits[i] & 0x7fffffffu;
        most = magnitude > most ? magnitude : most;
    }
    PyBuffer_Release(&buffer);
    return PyBool_FromLong(most < 0x7f800000u); /* infinity; NaN is above it */
}

static PyMethodDef methods[] = {
    {"all_finite", all_finite, METH_O, NULL}, {"lattice", lattice, METH_VARARGS, NULL},
    {"signed", signed_levels, METH_VARARGS, NULL}, {"sort", sort, METH_VARARGS, NULL},
    {"fill", fill, METH_VARARGS, NULL},       {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "native", "See shared/wire/native.pyi.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_native(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddIntConstant(module, "REVISION", REVISION)) Py_CLEAR(module);
    return module;
}
