/* The phases of a lattice: positions and contexts are those of shared/wire/lattice.py. */
#include "native.h"

#include <math.h>

#define PHASES 3

typedef struct {
    Coder coder;
    int places, sums;
    const uint8_t *tables; /* phases x sent x places x sums: the table of a level */
} Lattice;

static const int PARTS[4][3] = {{0, 0, 0}, {1, 1, 1}, {2, 0, 1}, {2, 1, 0}}; /* phase, first row, column */

static int begin(Frame *frame) {
    (void)frame;
    return 0;
}

/* How many positions of one channel a phase codes. */
static size_t positions_of(const Coder *coder, int phase) {
    size_t count = 0;
    for (int part = 0; part < 4; part++)
        if (PARTS[part][0] == phase)
            count += (size_t)((coder->height - PARTS[part][1] + 1) / 2) *
                     (size_t)((coder->width - PARTS[part][2] + 1) / 2);
    return count;
}

static int look(Frame *frame, int phase) {
    const Lattice *lattice = (const Lattice *)frame->coder;
    const int height = lattice->coder.height, width = lattice->coder.width, row = width + 2;
    const int first = phase == 1 ? row + 1 : row, second = phase == 1 ? row - 1 : 1;
    const size_t sums = (size_t)lattice->sums, of_channel = (size_t)lattice->places * sums;
    size_t count = 0;
    if (reserve(frame, (size_t)frame->active * positions_of(frame->coder, phase))) return -1;
    for (int part = 0; part < 4; part++) {
        if (PARTS[part][0] != phase) continue;
        for (int a = 0; a < frame->active; a++) {
            const size_t channel = (size_t)phase * (size_t)lattice->coder.sent + (size_t)frame->channels[a];
            const uint8_t *inside = lattice->tables + channel * of_channel;
            const uint8_t *edge = lattice->places == 2 ? inside + sums : inside;
            for (int y = PARTS[part][1]; y < height; y += 2) {
                const size_t base = (size_t)a * padded(frame->coder) + (size_t)(y + 1) * (size_t)row + 1;
                const int on_edge = y == 0 || y == height - 1;
                for (int x = PARTS[part][2]; x < width; x += 2) {
                    const int8_t *cell = frame->cells + base + x;
                    const int sum = phase ? cell[-first] + cell[first] + cell[-second] + cell[second] : 0;
                    frame->tables[count] = (on_edge || x == 0 || x == width - 1 ? edge : inside)[sum];
                    frame->found[count++] = (uint32_t)(base + (size_t)x);
                }
            }
        }
    }
    return 0;
}

static int tell(Frame *frame, int phase) {
    (void)phase;
    for (size_t i = 0; i < frame->count; i++)
        frame->told[i] = frame->symbols[i] = (uint8_t)frame->cells[frame->found[i]];
    return 0;
}

static int place(Frame *frame, int phase) {
    (void)phase;
    for (size_t i = 0; i < frame->count; i++) {
        frame->told[i] = frame->symbols[i];
        frame->cells[frame->found[i]] = (int8_t)frame->symbols[i];
    }
    return 0;
}

static void restore(Frame *frame) {
    const Coder *coder = frame->coder;
    const size_t row = (size_t)coder->width + 2;
    for (int a = 0; a < frame->active; a++) {
        const int s = frame->channels[a];
        const float step = ldexpf(coder->steps[s], frame->coarser);
        float *values = frame->filled + (size_t)coder->index[s] * area(coder);
        const int8_t *inside = frame->cells + (size_t)a * padded(coder) + row + 1;
        for (size_t y = 0; y < (size_t)coder->height; y++)
            for (size_t x = 0; x < (size_t)coder->width; x++) *values++ = (float)inside[y * row + x] * step;
    }
}

static const Kind LATTICE = {begin, look, tell, place, restore};

PyObject *lattice(PyObject *module, PyObject *args) {
    int channels, height, width, levels, places;
    Py_buffer index, order, steps, tables;
    (void)module;
    if (!PyArg_ParseTuple(args, "iiiiiy*y*y*y*", &channels, &height, &width, &levels, &places, &index, &order,
                          &steps, &tables))
        return NULL;
    Lattice *made = new_coder(sizeof *made, &LATTICE, channels, height, width, &index, &order, &steps);
    if (!made) goto done;
    Coder *coder = &made->coder;
    coder->stages = PHASES, coder->most = levels - 1, coder->limit = (float)coder->most;
    for (int phase = 0; phase < PHASES; phase++) coder->symbols[phase] = levels;
    made->places = places;
    if (levels < 2 || levels > 64 || places < 1 || places > 2 ||
        tables.len != (Py_ssize_t)PHASES * coder->sent * places * (made->sums = 4 * (levels - 1) + 1)) {
        PyErr_SetString(PyExc_ValueError, "sizes of a lattice's tables do not fit each other");
    } else if ((made->tables = own(coder, tables.buf, (size_t)tables.len))) {
        goto done;
    }
    free_coder(coder);
    made = NULL;
done:
    PyBuffer_Release(&index);
    PyBuffer_Release(&order);
    PyBuffer_Release(&steps);
    PyBuffer_Release(&tables);
    return made ? capsule_of(&made->coder) : NULL;
}
