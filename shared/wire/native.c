/* The levels of a lattice codec in compiled code: what shared/wire/lattice_levels.py says, done in one pass.
 *
 * It is optional: where there was no compiler, NumPy does the same and makes the same bytes. It never sees a
 * byte of the network: an entropy decoder has made levels of them, and each is checked here before it is used.
 * Positions, phases and contexts are those of shared/wire/lattice.py.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "float expressions must round to float, or levels would differ from NumPy's"
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#define REVISION 1 /* of these functions; shared/wire/compiled.py takes no other */
#define PHASES 3
#define KEYS 256
#define MOST_CELLS (1 << 26)

/* What is the same for every feature of a codec. */
typedef struct {
    int channels, height, width, levels, places, sums;
    int sent;       /* channels that are ever sent */
    int tables;     /* a key is phase * tables + table */
    int32_t *index; /* sent: which channel of the feature */
    float *steps;   /* sent */
    uint8_t *keys;  /* phases x sent x places x sums */
} Lattice;

/* One feature being filled, phase by phase. */
typedef struct {
    PyObject *owner; /* keeps the lattice alive */
    const Lattice *lattice;
    int phase, active;
    Py_ssize_t count; /* levels that the phase wants */
    int *channels;    /* active: which of the sent */
    uint8_t *flags;   /* sent */
    uint8_t *cells;   /* active x (height + 2) x (width + 2), zeros around */
    uint8_t *keys;    /* scratch, as many as a phase can have */
    uint32_t *found, *order;
    size_t done;      /* levels of the phases before */
    uint8_t *symbols; /* they, in coding order */
} Filling;

static const char LATTICE[] = "siftfunnel.shared.wire.native.Lattice";
static const char FILLING[] = "siftfunnel.shared.wire.native.Filling";
static const int PARTS[4][3] = {{0, 0, 0}, {1, 1, 1}, {2, 0, 1}, {2, 1, 0}}; /* phase, first row, column */

static size_t area(const Lattice *lattice) { return (size_t)lattice->height * (size_t)lattice->width; }

static size_t padded(const Lattice *lattice) {
    return (size_t)(lattice->height + 2) * (size_t)(lattice->width + 2);
}

/* Cells and keys of one phase in coding order; returns how many. */
static size_t keys_of_phase(
    const Lattice *lattice, int phase, const int *channels, int active, const uint8_t *cells, uint8_t *keys,
    uint32_t *found
) {
    const int height = lattice->height, width = lattice->width, row = width + 2;
    const int first = phase == 1 ? row + 1 : row, second = phase == 1 ? row - 1 : 1;
    size_t count = 0;
    for (int part = 0; part < 4; part++) {
        if (PARTS[part][0] != phase) continue;
        for (int a = 0; a < active; a++) {
            const size_t places = (size_t)lattice->places, sums = (size_t)lattice->sums;
            const uint8_t *inside =
                lattice->keys + ((size_t)phase * (size_t)lattice->sent + (size_t)channels[a]) * places * sums;
            const uint8_t *edge = places == 2 ? inside + sums : inside;
            for (int y = PARTS[part][1]; y < height; y += 2) {
                const size_t base = (size_t)a * padded(lattice) + (size_t)(y + 1) * (size_t)row + 1;
                const int on_edge = y == 0 || y == height - 1;
                for (int x = PARTS[part][2]; x < width; x += 2) {
                    const uint8_t *cell = cells + base + x;
                    const unsigned sum =
                        phase ? (unsigned)cell[-first] + cell[first] + cell[-second] + cell[second] : 0u;
                    keys[count] = (on_edge || x == 0 || x == width - 1 ? edge : inside)[sum];
                    found[count++] = (uint32_t)(base + (size_t)x);
                }
            }
        }
    }
    return count;
}

/* Stable counting sort of cells by key. */
static void sort_by_key(
    const uint8_t *keys, const uint32_t *found, size_t count, uint32_t *order, size_t counts[KEYS]
) {
    size_t next[KEYS], start = 0;
    memset(counts, 0, KEYS * sizeof *counts);
    for (size_t i = 0; i < count; i++) counts[keys[i]]++;
    for (int key = 0; key < KEYS; key++) {
        next[key] = start;
        start += counts[key];
    }
    for (size_t i = 0; i < count; i++) order[next[keys[i]]++] = found[i];
}

static void free_lattice(PyObject *capsule) {
    Lattice *lattice = PyCapsule_GetPointer(capsule, LATTICE);
    if (lattice) {
        PyMem_Free(lattice->index);
        PyMem_Free(lattice->steps);
        PyMem_Free(lattice->keys);
        PyMem_Free(lattice);
    }
}

static void drop(Filling *filling) {
    PyMem_Free(filling->channels);
    PyMem_Free(filling->flags);
    PyMem_Free(filling->cells);
    PyMem_Free(filling->keys);
    PyMem_Free(filling->found);
    PyMem_Free(filling->order);
    PyMem_Free(filling->symbols);
    Py_XDECREF(filling->owner);
    PyMem_Free(filling);
}

static void free_filling(PyObject *capsule) {
    Filling *filling = PyCapsule_GetPointer(capsule, FILLING);
    if (filling) drop(filling);
}

static void *copied(const void *data, size_t size) {
    void *copy = PyMem_Malloc(size ? size : 1);
    if (copy) memcpy(copy, data, size);
    return copy;
}

static PyObject *prepare(PyObject *module, PyObject *args) {
    int channels, height, width, levels, places, tables;
    Py_buffer index, steps, keys;
    PyObject *capsule = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "iiiiiiy*y*y*", &channels, &height, &width, &levels, &places, &tables, &index,
                          &steps, &keys))
        return NULL;
    const Py_ssize_t sent = index.len / (Py_ssize_t)sizeof(int32_t);
    const int sums = 4 * (levels - 1) + 1;
    Lattice *lattice = NULL;
    if (channels < 1 || height < 1 || width < 1 || levels < 2 || levels > 64 || places < 1 || places > 2 ||
        tables < 1 || PHASES * tables > KEYS || sent < 1 || sent > channels ||
        (double)channels * (height + 2.0) * (width + 2.0) > MOST_CELLS ||
        index.len != sent * (Py_ssize_t)sizeof(int32_t) || steps.len != sent * (Py_ssize_t)sizeof(float) ||
        keys.len != PHASES * sent * places * sums) {
        PyErr_SetString(PyExc_ValueError, "sizes of a lattice's tables do not fit each other");
        goto done;
    }
    for (Py_ssize_t s = 0; s < sent; s++) {
        int32_t channel;
        memcpy(&channel, (const char *)index.buf + s * (Py_ssize_t)sizeof channel, sizeof channel);
        if (channel < 0 || channel >= channels) {
            PyErr_SetString(PyExc_ValueError, "a lattice names a channel that the feature does not have");
            goto done;
        }
    }
    for (Py_ssize_t i = 0; i < keys.len; i++) {
        const int phase = (int)(i / (sent * places * sums)), key = ((const uint8_t *)keys.buf)[i];
        if (key < phase * tables || key >= (phase + 1) * tables) {
            PyErr_SetString(PyExc_ValueError, "a lattice names a table that it does not have");
            goto done;
        }
    }
    if (!(lattice = PyMem_Calloc(1, sizeof *lattice))) {
        PyErr_NoMemory();
        goto done;
    }
    lattice->channels = channels, lattice->height = height, lattice->width = width;
    lattice->levels = levels, lattice->places = places, lattice->sums = sums;
    lattice->sent = (int)sent, lattice->tables = tables;
    lattice->index = copied(index.buf, (size_t)index.len);
    lattice->steps = copied(steps.buf, (size_t)steps.len);
    lattice->keys = copied(keys.buf, (size_t)keys.len);
    if (!lattice->index || !lattice->steps || !lattice->keys) {
        PyErr_NoMemory();
    } else {
        capsule = PyCapsule_New(lattice, LATTICE, free_lattice);
    }
    if (!capsule) {
        PyMem_Free(lattice->index);
        PyMem_Free(lattice->steps);
        PyMem_Free(lattice->keys);
        PyMem_Free(lattice);
    }
done:
    PyBuffer_Release(&index);
    PyBuffer_Release(&steps);
    PyBuffer_Release(&keys);
    return capsule;
}

/* One channel; returns whether any level is above 0. */
static int quantise(
    const float *__restrict values, size_t count, float step, int most, int coarser, uint8_t *__restrict levels
) {
    const float highest = (float)most * step, divisor = ldexpf(step, coarser);
    const float magic = 12582912.0f; /* 1.5 * 2^23: what is added to it rounds half to even, as rint does */
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++) {
        const float below = values[i] < highest ? values[i] : highest;
        const float clipped = below > 0.0f ? below : 0.0f;
        const int32_t level = (int32_t)((clipped / divisor + magic) - magic);
        levels[i] = (uint8_t)(level < most ? level : most);
    }
    for (size_t i = 0; i < count; i++) any |= levels[i];
    return any != 0;
}

/* (table, start, end) for each table that a phase or all phases use, in the order of keys. */
static PyObject *runs_of(const Lattice *lattice, const size_t counts[KEYS], size_t start) {
    PyObject *runs = PyList_New(0);
    for (int key = 0; runs && key < KEYS; key++) {
        if (!counts[key]) continue;
        PyObject *run = Py_BuildValue("inn", key % lattice->tables, (Py_ssize_t)start,
                                      (Py_ssize_t)(start + counts[key]));
        if (!run || PyList_Append(runs, run)) Py_CLEAR(runs);
        Py_XDECREF(run);
        start += counts[key];
    }
    return runs;
}

static PyObject *sort(PyObject *module, PyObject *args) {
    PyObject *capsule, *told = NULL, *runs = NULL, *result = NULL;
    Py_buffer features, symbols;
    int coarser;
    (void)module;
    if (!PyArg_ParseTuple(args, "Oy*w*i", &capsule, &features, &symbols, &coarser)) return NULL;
    uint8_t *levels = NULL, *cells = NULL, *keys = NULL;
    uint32_t *found = NULL, *order = NULL;
    int *channels = NULL;
    const Lattice *lattice = PyCapsule_GetPointer(capsule, LATTICE);
    if (!lattice) goto done;
    const size_t n = area(lattice), sent = (size_t)lattice->sent, most = sent * n;
    if ((size_t)features.len != (size_t)lattice->channels * n * sizeof(float) ||
        (size_t)symbols.len != (1 + sent + most) * sizeof(int32_t) || coarser < 0 || coarser > 255) {
        PyErr_SetString(PyExc_ValueError, "features or symbols are of another size than the lattice's");
        goto done;
    }
    levels = PyMem_Malloc(n);
    channels = PyMem_Malloc(sent * sizeof *channels);
    cells = PyMem_Calloc(sent, padded(lattice));
    if (!levels || !channels || !cells) goto memory;
    int32_t *out = symbols.buf;
    out[0] = coarser;
    int active = 0;
    for (size_t s = 0; s < sent; s++) {
        const float *values = (const float *)features.buf + (size_t)lattice->index[s] * n;
        out[1 + s] = quantise(values, n, lattice->steps[s], lattice->levels - 1, coarser, levels);
        if (!out[1 + s]) continue;
        uint8_t *inside = cells + (size_t)active * padded(lattice) + (size_t)lattice->width + 3;
        for (int y = 0; y < lattice->height; y++)
            memcpy(inside + (size_t)y * (size_t)(lattice->width + 2),
                   levels + (size_t)y * (size_t)lattice->width, (size_t)lattice->width);
        channels[active++] = (int)s;
    }
    const size_t count = (size_t)active * n;
    keys = PyMem_Malloc(count ? count : 1);
    found = PyMem_Malloc((count ? count : 1) * sizeof *found);
    order = PyMem_Malloc((count ? count : 1) * sizeof *order);
    told = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(1 + sent + count));
    if (!keys || !found || !order || !told) goto memory;
    size_t at = 0, counts[KEYS];
    for (int phase = 0; phase < PHASES; phase++)
        at += keys_of_phase(lattice, phase, channels, active, cells, keys + at, found + at);
    sort_by_key(keys, found, count, order, counts);
    uint8_t *bytes = (uint8_t *)PyBytes_AsString(told);
    for (size_t s = 0; s <= sent; s++) bytes[s] = (uint8_t)out[s];
    for (size_t i = 0; i < count; i++) bytes[1 + sent + i] = cells[found[i]];
    for (size_t i = 0; i < count; i++) out[1 + sent + i] = cells[order[i]];
    runs = runs_of(lattice, counts, 1 + sent);
    if (runs) result = Py_BuildValue("OO", told, runs);
    goto done;
memory:
    if (!PyErr_Occurred()) PyErr_NoMemory();
done:
    Py_XDECREF(told);
    Py_XDECREF(runs);
    PyMem_Free(levels);
    PyMem_Free(channels);
    PyMem_Free(cells);
    PyMem_Free(keys);
    PyMem_Free(found);
    PyMem_Free(order);
    PyBuffer_Release(&features);
    PyBuffer_Release(&symbols);
    return result;
}

/* Sort the cells of the phase that comes; its runs, or None after the last. */
static PyObject *next_runs(Filling *filling) {
    const Lattice *lattice = filling->lattice;
    while (filling->phase < PHASES) {
        size_t counts[KEYS];
        const size_t count = keys_of_phase(lattice, filling->phase, filling->channels, filling->active,
                                           filling->cells, filling->keys, filling->found);
        if (!count) {
            filling->phase++;
            continue;
        }
        sort_by_key(filling->keys, filling->found, count, filling->order, counts);
        filling->count = (Py_ssize_t)count;
        return runs_of(lattice, counts, 0);
    }
    filling->count = 0;
    Py_RETURN_NONE;
}

static PyObject *begin(PyObject *module, PyObject *args) {
    PyObject *owner, *capsule, *runs;
    Py_buffer flags;
    Filling *filling = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "Oy*", &owner, &flags)) return NULL;
    const Lattice *lattice = PyCapsule_GetPointer(owner, LATTICE);
    if (!lattice) goto failed;
    const size_t sent = (size_t)lattice->sent;
    const uint8_t *flag = flags.buf;
    size_t active = 0;
    if ((size_t)flags.len != sent) {
        PyErr_SetString(PyExc_ValueError, "flags are not as many as the channels that are ever sent");
        goto failed;
    }
    for (size_t s = 0; s < sent; s++) {
        if (flag[s] > 1) {
            PyErr_SetString(PyExc_ValueError, "a flag is 0 or 1");
            goto failed;
        }
        active += flag[s];
    }
    if (!(filling = PyMem_Calloc(1, sizeof *filling))) {
        PyErr_NoMemory();
        goto failed;
    }
    const size_t most = active * area(lattice) + 1;
    Py_INCREF(owner);
    filling->owner = owner;
    filling->lattice = lattice;
    filling->channels = PyMem_Malloc((active + 1) * sizeof *filling->channels);
    filling->flags = copied(flags.buf, sent);
    filling->cells = PyMem_Calloc(active + 1, padded(lattice));
    filling->keys = PyMem_Malloc(most);
    filling->found = PyMem_Malloc(most * sizeof *filling->found);
    filling->order = PyMem_Malloc(most * sizeof *filling->order);
    filling->symbols = PyMem_Malloc(most);
    if (!filling->channels || !filling->flags || !filling->cells || !filling->keys || !filling->found ||
        !filling->order || !filling->symbols) {
        PyErr_NoMemory();
        goto failed;
    }
    for (size_t s = 0; s < sent; s++)
        if (flag[s]) filling->channels[filling->active++] = (int)s;
    if (!(capsule = PyCapsule_New(filling, FILLING, free_filling))) goto failed;
    PyBuffer_Release(&flags);
    if (!(runs = next_runs(filling))) {
        Py_DECREF(capsule);
        return NULL;
    }
    return Py_BuildValue("NN", capsule, runs);
failed:
    PyBuffer_Release(&flags);
    if (filling) drop(filling);
    return NULL;
}

/* Put one run's levels where they belong; -1 with an error set where one is no level. */
static int put(Filling *filling, PyObject *popped, Py_ssize_t *at) {
    Py_buffer levels;
    int wrong = 0;
    if (PyObject_GetBuffer(popped, &levels, PyBUF_SIMPLE)) return -1;
    const Py_ssize_t count = levels.len / (Py_ssize_t)sizeof(int32_t);
    if (levels.len % (Py_ssize_t)sizeof(int32_t) || count > filling->count - *at) wrong = 1;
    for (Py_ssize_t i = 0; i < count && !wrong; i++) {
        int32_t level;
        memcpy(&level, (const char *)levels.buf + i * (Py_ssize_t)sizeof level, sizeof level);
        wrong = level < 0 || level >= filling->lattice->levels;
        if (!wrong) filling->cells[filling->order[(*at)++]] = (uint8_t)level;
    }
    PyBuffer_Release(&levels);
    if (wrong) PyErr_SetString(PyExc_ValueError, "these are not the levels that the phase wants");
    return wrong ? -1 : 0;
}

static PyObject *fill(PyObject *module, PyObject *args) {
    PyObject *capsule, *popped;
    Py_ssize_t at = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &capsule, &popped)) return NULL;
    Filling *filling = PyCapsule_GetPointer(capsule, FILLING);
    if (!filling) return NULL;
    const Py_ssize_t parts = PyList_Size(popped);
    if (parts < 0) return NULL;
    for (Py_ssize_t part = 0; part < parts; part++)
        if (put(filling, PyList_GetItem(popped, part), &at)) return NULL;
    if (at != filling->count || filling->phase >= PHASES) {
        PyErr_SetString(PyExc_ValueError, "these are not the levels that the phase wants");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < filling->count; i++)
        filling->symbols[filling->done++] = filling->cells[filling->found[i]];
    filling->phase++;
    return next_runs(filling);
}

static PyObject *finish(PyObject *module, PyObject *args) {
    PyObject *capsule, *told = NULL;
    Py_buffer features;
    int coarser;
    (void)module;
    if (!PyArg_ParseTuple(args, "Ow*i", &capsule, &features, &coarser)) return NULL;
    Filling *filling = PyCapsule_GetPointer(capsule, FILLING);
    if (!filling) goto done;
    const Lattice *lattice = filling->lattice;
    const size_t n = area(lattice), sent = (size_t)lattice->sent;
    if (filling->phase < PHASES || coarser < 0 || coarser > 255 ||
        (size_t)features.len != (size_t)lattice->channels * n * sizeof(float)) {
        PyErr_SetString(PyExc_ValueError, "a phase is missing, or features are of another size");
        goto done;
    }
    told = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(1 + sent + filling->done));
    if (!told) goto done;
    uint8_t *bytes = (uint8_t *)PyBytes_AsString(told);
    bytes[0] = (uint8_t)coarser;
    memcpy(bytes + 1, filling->flags, sent);
    memcpy(bytes + 1 + sent, filling->symbols, filling->done);
    memset(features.buf, 0, (size_t)features.len);
    for (int a = 0; a < filling->active; a++) {
        const int s = filling->channels[a];
        const float step = ldexpf(lattice->steps[s], coarser);
        float *values = (float *)features.buf + (size_t)lattice->index[s] * n;
        const uint8_t *inside = filling->cells + (size_t)a * padded(lattice) + (size_t)lattice->width + 3;
        for (int y = 0; y < lattice->height; y++)
            for (int x = 0; x < lattice->width; x++)
                *values++ = (float)inside[(size_t)y * (size_t)(lattice->width + 2) + (size_t)x] * step;
    }
done:
    PyBuffer_Release(&features);
    return told;
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
    {"all_finite", all_finite, METH_O, NULL},
    {"prepare", prepare, METH_VARARGS, NULL}, {"sort", sort, METH_VARARGS, NULL},
    {"begin", begin, METH_VARARGS, NULL},     {"fill", fill, METH_VARARGS, NULL},
    {"finish", finish, METH_VARARGS, NULL},   {NULL, NULL, 0, NULL},
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
