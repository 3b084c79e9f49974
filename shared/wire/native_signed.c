/* The stages of signed levels: masks, symbols and contexts are those of shared/wire/signed.py. */
#include "native.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STAGES 5 /* the first masks, the others, levels at even positions, at odd ones, digits */
#define MASK_CHANNELS 8
#define MASKS 256
#define FIRST_SHARE 4
#define BOUNDS 3
#define DIGITS 4
#define LIMIT 32767
#define MOST_LEVEL 31

typedef struct {
    Coder coder;
    int activities, classes, kinds, even;
    const int32_t *bounds;         /* BOUNDS x (activities - 1): the least of each activity after the first */
    const int32_t *kind_of;        /* sent */
    const uint8_t *mask_tables;    /* kinds x 2 x activities */
    const uint8_t *level_tables;   /* kinds x activities x classes */
    int8_t level_of[2][2 * MOST_LEVEL]; /* of a symbol, by whether its likelier sign is negative */
    uint8_t symbol_of[2][256];          /* of a level as an unsigned byte: the other way round */
    const uint8_t *class_of_sum;   /* of a sum of four levels as an unsigned byte */
    const uint8_t *mask_of_symbol; /* MASKS */
    const uint8_t *symbol_of_mask; /* MASKS */
    const uint32_t *position_of;   /* positions in coding order: which of the channel each is */
    const uint32_t *cell_of;       /* the cell of each in its channel */
} Signed;

/* How many masks a position has. */
static size_t masks_of(const Frame *frame) {
    return (size_t)(frame->active + MASK_CHANNELS - 1) / MASK_CHANNELS;
}

/* How many masks of a position the first stage tells. */
static size_t first_of(const Frame *frame) {
    return (size_t)(frame->active + MASK_CHANNELS * FIRST_SHARE - 1) / (MASK_CHANNELS * FIRST_SHARE);
}

static int ones_of(const uint8_t *masks, size_t count) {
    int ones = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t pairs = (uint8_t)(masks[i] - (masks[i] >> 1 & 0x55));
        const uint8_t fours = (uint8_t)((pairs & 0x33) + (pairs >> 2 & 0x33));
        ones += (fours + (fours >> 4)) & 15;
    }
    return ones;
}

/* Which of its channels a mask names first. */
static inline unsigned first_in(unsigned mask) {
#ifdef __GNUC__
    return (unsigned)__builtin_clz(mask << 24);
#else
    unsigned channel = 0;
    while (!(mask & 0x80u >> channel)) channel++;
    return channel;
#endif
}

/* The class of how many levels are not 0, of a stage of masks or of levels. */
static int activity_of(const Signed *levels, int stage, int ones) {
    const int32_t *bounds = levels->bounds + stage * (levels->activities - 1);
    int activity = 0;
    while (activity < levels->activities - 1 && bounds[activity] <= ones) activity++;
    return activity;
}

/* The masks of levels that are known. */
static void look_at_masks(Frame *frame, const Signed *levels, uint8_t *bits) {
    const size_t positions = area(frame->coder), plane = padded(frame->coder), masks = masks_of(frame);
    for (size_t mask = 0; mask < masks; mask++) {
        memset(bits, 0, plane);
        for (int j = 0; j < MASK_CHANNELS; j++) {
            const size_t a = mask * MASK_CHANNELS + (size_t)j;
            if (a >= (size_t)frame->active) break;
            const int8_t *cells = frame->cells + a * plane;
            const uint8_t bit = (uint8_t)(0x80 >> j);
            for (size_t i = 0; i < plane; i++) bits[i] |= cells[i] ? bit : 0;
        }
        for (size_t p = 0; p < positions; p++) frame->masks[p * masks + mask] = bits[levels->cell_of[p]];
    }
}

static int begin(Frame *frame) {
    const Signed *levels = (const Signed *)frame->coder;
    uint8_t *bits = PyMem_Malloc(padded(frame->coder));
    frame->masks = PyMem_Calloc(area(frame->coder), masks_of(frame) + 1);
    frame->kinds = PyMem_Malloc((size_t)frame->active + 1);
    frame->starts = PyMem_Malloc(((size_t)frame->active + 1) * sizeof *frame->starts);
    frame->step = ldexpf(frame->coder->steps[0], frame->coarser);
    const int failed = !bits || !frame->masks || !frame->kinds || !frame->starts;
    for (int a = 0; a < frame->active && !failed; a++) {
        const int s = frame->channels[a];
        frame->kinds[a] = (uint8_t)levels->kind_of[s];
        frame->starts[a] = (uint32_t)((size_t)frame->coder->index[s] * area(frame->coder));
    }
    if (frame->features && !failed) look_at_masks(frame, levels, bits);
    PyMem_Free(bits);
    if (failed) PyErr_NoMemory();
    return failed ? -1 : 0;
}

/* Which of a position's masks a stage tells. */
static void range_of(const Frame *frame, int stage, size_t *start, size_t *end) {
    *start = stage ? first_of(frame) : 0;
    *end = stage ? masks_of(frame) : first_of(frame);
}

static int look_for_masks(Frame *frame, int stage) {
    const Signed *levels = (const Signed *)frame->coder;
    const size_t positions = area(frame->coder), masks = masks_of(frame);
    const size_t activities = (size_t)levels->activities;
    size_t start, end, count = 0;
    range_of(frame, stage, &start, &end);
    if (reserve(frame, positions * (end - start))) return -1;
    for (size_t p = 0; p < positions; p++) {
        const int ones = stage ? ones_of(frame->masks + p * masks, start) : frame->active;
        const uint8_t *tables = levels->mask_tables + (size_t)activity_of(levels, stage, ones);
        for (size_t mask = start; mask < end; mask++) {
            const size_t kind = frame->kinds[mask * MASK_CHANNELS];
            frame->tables[count++] = tables[(2 * kind + (size_t)stage) * activities];
        }
    }
    return 0;
}

/* The sum of the four neighbours of a cell. */
static int sum_around(const Frame *frame, size_t cell) {
    const size_t row = (size_t)frame->coder->width + 2;
    const int8_t *cells = frame->cells;
    return cells[cell - row] + cells[cell + row] + cells[cell - 1] + cells[cell + 1];
}

static int look_for_levels(Frame *frame, int odd) {
    const Signed *levels = (const Signed *)frame->coder;
    const size_t positions = area(frame->coder), plane = padded(frame->coder), masks = masks_of(frame);
    const size_t start = odd ? (size_t)levels->even : 0, end = odd ? positions : (size_t)levels->even;
    const size_t classes = (size_t)levels->classes, of_kind = (size_t)levels->activities * classes;
    size_t count = 0;
    if (reserve(frame, (size_t)ones_of(frame->masks + start * masks, (end - start) * masks))) return -1;
    uint32_t *found = frame->found, *values = frame->values;
    for (size_t p = start; p < end; p++) {
        const uint8_t *mask = frame->masks + p * masks, *kinds = frame->kinds;
        const uint8_t *classes_of = levels->class_of_sum;
        const size_t its_cell = levels->cell_of[p], its_position = levels->position_of[p];
        const int activity = activity_of(levels, BOUNDS - 1, ones_of(mask, masks));
        const uint8_t *tables = levels->level_tables + (size_t)activity * classes;
        for (size_t m = 0; m < masks; m++)
            for (unsigned left = mask[m]; left;) {
                const unsigned first = first_in(left);
                const size_t a = m * MASK_CHANNELS + first, cell = a * plane + its_cell;
                const int sum = odd ? sum_around(frame, cell) : 0;
                left &= ~(0x80u >> first);
                frame->tables[count] = tables[kinds[a] * of_kind + (odd ? classes_of[(uint8_t)sum] : 0u)];
                frame->told[count] = sum < 0; /* the likelier sign, until the level is told */
                values[count] = frame->starts[a] + (uint32_t)its_position;
                found[count++] = (uint32_t)cell;
            }
    }
    return 0;
}

/* Refuse masks that name channels behind the last one. */
static int check_masks(const Frame *frame) {
    const size_t positions = area(frame->coder), masks = masks_of(frame);
    const unsigned spare = (1u << (masks * MASK_CHANNELS - (size_t)frame->active)) - 1u;
    for (size_t p = 0; p < positions && masks; p++)
        if (frame->masks[p * masks + masks - 1] & spare) {
            PyErr_SetString(PyExc_ValueError, "says that a channel behind the last one is not 0");
            return -1;
        }
    return 0;
}

static int look(Frame *frame, int stage) {
    if (stage < 2) return look_for_masks(frame, stage);
    if (stage == 2 && check_masks(frame)) return -1;
    if (stage < 4) return look_for_levels(frame, stage == 3);
    if (reserve(frame, frame->far_count * DIGITS)) return -1;
    memset(frame->tables, 0, frame->count);
    return 0;
}

/* Remember which of a stage's levels, which have been told, are outermost. */
static int note_outermost(Frame *frame) {
    const uint8_t most = (uint8_t)frame->coder->most, least = (uint8_t)-frame->coder->most;
    size_t count = 0;
    for (size_t i = 0; i < frame->count; i++) count += frame->told[i] == most || frame->told[i] == least;
    if (!count) return 0;
    uint32_t *far = PyMem_Realloc(frame->far, (frame->far_count + count) * sizeof *far);
    if (!far) {
        PyErr_NoMemory();
        return -1;
    }
    frame->far = far;
    for (size_t i = 0; i < frame->count; i++)
        if (frame->told[i] == most || frame->told[i] == least) far[frame->far_count++] = frame->values[i];
    return 0;
}

static void tell_digits(Frame *frame) {
    const float highest = (float)LIMIT * frame->coder->steps[0];
    for (size_t i = 0; i < frame->far_count; i++) {
        const float value = frame->features[frame->far[i]];
        const int beyond = abs((int)nearest(value, -highest, highest, frame->step)) - frame->coder->most;
        for (int digit = 0; digit < DIGITS; digit++)
            frame->told[i * DIGITS + (size_t)digit] = (uint8_t)(beyond >> 4 * digit & 15);
    }
    memcpy(frame->symbols, frame->told, frame->count);
}

static int tell(Frame *frame, int stage) {
    const Signed *levels = (const Signed *)frame->coder;
    if (stage < 2) {
        const size_t positions = area(frame->coder), masks = masks_of(frame);
        size_t start, end, count = 0;
        range_of(frame, stage, &start, &end);
        for (size_t p = 0; p < positions; p++, count += end - start)
            memcpy(frame->told + count, frame->masks + p * masks + start, end - start);
        for (size_t i = 0; i < frame->count; i++) frame->symbols[i] = levels->symbol_of_mask[frame->told[i]];
        return 0;
    }
    if (stage == 4) {
        tell_digits(frame);
        return 0;
    }
    const uint32_t *found = frame->found;
    uint8_t *told = frame->told;
    for (size_t i = 0; i < frame->count; i++) {
        const uint8_t level = (uint8_t)frame->cells[found[i]];
        frame->symbols[i] = levels->symbol_of[told[i]][level];
        told[i] = level;
    }
    return note_outermost(frame);
}

static int place_digits(Frame *frame) {
    memcpy(frame->told, frame->symbols, frame->count);
    if (!(frame->beyond = PyMem_Malloc((frame->far_count + 1) * sizeof *frame->beyond))) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < frame->far_count; i++) {
        unsigned beyond = 0;
        for (int digit = 0; digit < DIGITS; digit++)
            beyond |= (unsigned)frame->symbols[i * DIGITS + (size_t)digit] << 4 * digit;
        if (beyond > (unsigned)(LIMIT - frame->coder->most)) {
            PyErr_Format(PyExc_ValueError, "says a level above %d", LIMIT);
            return -1;
        }
        frame->beyond[i] = (uint16_t)beyond;
    }
    return 0;
}

static int place(Frame *frame, int stage) {
    const Signed *levels = (const Signed *)frame->coder;
    if (stage < 2) {
        const size_t positions = area(frame->coder), masks = masks_of(frame);
        size_t start, end, count = 0;
        range_of(frame, stage, &start, &end);
        for (size_t i = 0; i < frame->count; i++) frame->told[i] = levels->mask_of_symbol[frame->symbols[i]];
        for (size_t p = 0; p < positions; p++, count += end - start)
            memcpy(frame->masks + p * masks + start, frame->told + count, end - start);
        return 0;
    }
    if (stage == 4) return place_digits(frame);
    const uint32_t *found = frame->found, *values = frame->values;
    const float step = frame->step;
    uint8_t *told = frame->told;
    int8_t *cells = frame->cells;
    float *filled = frame->filled;
    for (size_t i = 0; i < frame->count; i++) {
        const int8_t level = levels->level_of[told[i]][frame->symbols[i]];
        told[i] = (uint8_t)level;
        cells[found[i]] = level;
        filled[values[i]] = (float)level * step;
    }
    return note_outermost(frame);
}

static void restore(Frame *frame) {
    for (size_t i = 0; i < frame->far_count; i++) {
        const int magnitude = frame->coder->most + frame->beyond[i];
        float *value = frame->filled + frame->far[i];
        *value = (float)(*value < 0 ? -magnitude : magnitude) * frame->step;
    }
}

static const Kind SIGNED = {begin, look, tell, place, restore};

/* Levels and symbols: 1, -1, 2, -2, ... or, where a level is likelier negative, the other sign first. */
static void number_levels(Signed *levels) {
    for (int symbol = 0; symbol < 2 * levels->coder.most; symbol++)
        for (int negative = 0; negative < 2; negative++) {
            const int magnitude = symbol / 2 + 1, level = (symbol & 1) == negative ? magnitude : -magnitude;
            levels->level_of[negative][symbol] = (int8_t)level;
            levels->symbol_of[negative][(uint8_t)level] = (uint8_t)symbol;
        }
}

/* The first table of each stage, in the order of levels, how coarse, digits and masks; how many symbols. */
static void number_stages(Coder *coder, int tables) {
    const int first[STAGES] = {tables + 2, tables + 2, 0, 0, tables + 1};
    const int symbols[STAGES] = {MASKS, MASKS, 2 * coder->most, 2 * coder->most, 16};
    memcpy(coder->first, first, sizeof first);
    memcpy(coder->symbols, symbols, sizeof symbols);
}

/* Positions in coding order, the even ones first; -1 with an error set. */
static int put_in_order(Signed *levels) {
    Coder *coder = &levels->coder;
    const uint32_t height = (uint32_t)coder->height, width = (uint32_t)coder->width;
    const size_t size = area(coder) * sizeof(uint32_t);
    uint32_t *positions = PyMem_Malloc(size), *cells = PyMem_Malloc(size);
    size_t count = 0;
    for (uint32_t odd = 0; odd < 2 && positions && cells; odd++) {
        for (uint32_t y = 0; y < height; y++)
            for (uint32_t x = (y + odd) % 2; x < width; x += 2, count++) {
                positions[count] = y * width + x;
                cells[count] = (y + 1) * (width + 2) + x + 1;
            }
        if (!odd) levels->even = (int)count;
    }
    if (!positions || !cells) {
        PyErr_NoMemory();
    } else if ((levels->position_of = own(coder, positions, size))) {
        levels->cell_of = own(coder, cells, size);
    }
    PyMem_Free(positions);
    PyMem_Free(cells);
    return levels->cell_of ? 0 : -1;
}

/* Whether sizes fit, so that no context lies outside the tables. */
static int fits(const Signed *levels, const Py_buffer *arrays) {
    const Py_ssize_t kinds = levels->kinds, activities = levels->activities, classes = levels->classes;
    const int most = levels->coder.most;
    if (most < 1 || most > MOST_LEVEL || kinds < 1 || kinds > 255 || activities < 1 || activities > 255 ||
        classes < 2 || classes > 255 ||
        arrays[0].len != BOUNDS * (activities - 1) * (Py_ssize_t)sizeof(int32_t) ||
        arrays[1].len != levels->coder.sent * (Py_ssize_t)sizeof(int32_t) ||
        arrays[2].len != kinds * 2 * activities || arrays[3].len != kinds * activities * classes ||
        arrays[4].len != 256 || arrays[5].len != MASKS || arrays[6].len != MASKS)
        return 0;
    for (int s = 0; s < levels->coder.sent; s++) {
        int32_t kind;
        memcpy(&kind, (const char *)arrays[1].buf + (size_t)s * sizeof kind, sizeof kind);
        if (kind < 0 || kind >= kinds) return 0;
    }
    for (int sum = 0; sum < 256; sum++)
        if (((const uint8_t *)arrays[4].buf)[sum] >= classes) return 0;
    return 1;
}

PyObject *signed_levels(PyObject *module, PyObject *args) {
    int channels, height, width, most, tables, kinds, activities, classes;
    Py_buffer index, order, steps, arrays[7];
    (void)module;
    if (!PyArg_ParseTuple(args, "iiiiiiiiy*y*y*y*y*y*y*y*y*y*", &channels, &height, &width, &most, &tables,
                          &kinds, &activities, &classes, &index, &order, &steps, arrays, arrays + 1,
                          arrays + 2, arrays + 3, arrays + 4, arrays + 5, arrays + 6))
        return NULL;
    Signed *made = new_coder(sizeof *made, &SIGNED, channels, height, width, &index, &order, &steps);
    if (!made) goto done;
    Coder *coder = &made->coder;
    coder->stages = STAGES, coder->most = most, coder->negative = 1, coder->limit = (float)LIMIT;
    made->kinds = kinds, made->activities = activities, made->classes = classes;
    if (!fits(made, arrays)) {
        PyErr_SetString(PyExc_ValueError, "sizes of a signed codec's tables do not fit each other");
    } else if ((made->bounds = own(coder, arrays[0].buf, (size_t)arrays[0].len)) &&
               (made->kind_of = own(coder, arrays[1].buf, (size_t)arrays[1].len)) &&
               (made->mask_tables = own(coder, arrays[2].buf, (size_t)arrays[2].len)) &&
               (made->level_tables = own(coder, arrays[3].buf, (size_t)arrays[3].len)) &&
               (made->class_of_sum = own(coder, arrays[4].buf, 256)) &&
               (made->mask_of_symbol = own(coder, arrays[5].buf, MASKS)) &&
               (made->symbol_of_mask = own(coder, arrays[6].buf, MASKS)) &&
               !put_in_order(made)) {
        number_levels(made);
        number_stages(coder, tables);
        goto done;
    }
    free_coder(coder);
    made = NULL;
done:
    PyBuffer_Release(&index);
    PyBuffer_Release(&order);
    PyBuffer_Release(&steps);
    for (int i = 0; i < 7; i++) PyBuffer_Release(arrays + i);
    return made ? capsule_of(&made->coder) : NULL;
}
