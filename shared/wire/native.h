/* What the compiled levels of every kind share; native.c says what they are for. */
#ifndef SIFTFUNNEL_NATIVE_H
#define SIFTFUNNEL_NATIVE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <float.h>
#include <stddef.h>
#include <stdint.h>

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "float expressions must round to float, or levels would differ from NumPy's"
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#define MOST_STAGES 5
#define MOST_OWNED 12

typedef struct Frame Frame;

/* What a kind of codec does in each stage; -1 is an error that has been set. */
typedef struct {
    int (*begin)(Frame *);      /* channels are known; when sorting, their levels too */
    int (*look)(Frame *, int);  /* `reserve`s, and finds table and cell of each symbol, in coding order */
    int (*tell)(Frame *, int);  /* sorting: the symbols, and what is told of them */
    int (*place)(Frame *, int); /* filling: puts the symbols where they belong, and what is told of them */
    void (*restore)(Frame *);   /* filling: puts what is still missing into the features */
} Kind;

/* What is the same for every feature of a codec; a kind puts more behind it. */
typedef struct {
    const Kind *kind;
    int stages;
    int first[MOST_STAGES], symbols[MOST_STAGES]; /* the first table of a stage, how many symbols it has */
    int channels, height, width;
    int sent;             /* channels that are ever sent */
    int most, negative;   /* the largest level of a cell; whether there are negative ones */
    float limit;          /* the largest magnitude of a feature, in steps */
    const int32_t *index; /* sent: which channel of the feature, in the order of flags */
    const int32_t *order; /* sent: which of them, in coding order */
    const float *steps;   /* sent */
    void *owned[MOST_OWNED];
    int owns;
} Coder;

/* One feature on its way, into symbols or back. Of symbols it holds those of one stage, in coding order. */
struct Frame {
    const Coder *coder;
    const float *features; /* what is being sorted; NULL where one is being filled */
    float *filled;         /* what is being filled: 0 where nothing has been put */
    int coarser, active;
    int *channels;    /* active: which of the sent, in coding order */
    uint8_t *flags;   /* sent */
    int8_t *cells;    /* active x (height + 2) x (width + 2) levels, zeros around every channel */
    size_t count, room;
    uint8_t *tables;  /* of each symbol, counted from the stage's first */
    uint32_t *found;  /* the cell of each, where it has one */
    uint32_t *values; /* where in the features each is, where it has a cell */
    uint32_t *order;  /* scratch */
    uint8_t *symbols, *told;
    /* of signed levels alone */
    float step;       /* of all channels, as coarse as it is */
    uint8_t *masks;   /* positions x all masks of one, in coding order */
    uint8_t *kinds;   /* active: of each channel */
    uint32_t *starts; /* active: where in the features each channel begins */
    uint32_t *far;    /* where in the features outermost levels are, in coding order */
    uint16_t *beyond; /* how far beyond, of each */
    size_t far_count;
};

static inline size_t area(const Coder *coder) { return (size_t)coder->height * (size_t)coder->width; }

static inline size_t padded(const Coder *coder) {
    return (size_t)(coder->height + 2) * (size_t)(coder->width + 2);
}

/* Room for the symbols of a stage. */
int reserve(Frame *frame, size_t count);

/* The level of a feature, clipped to a magnitude before it is divided, which could overflow. */
static inline float nearest(float value, float lowest, float highest, float divisor) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: what is added to it rounds half to even, as rint does */
    const float below = value < highest ? value : highest;
    const float clipped = below > lowest ? below : lowest;
    return (clipped / divisor + magic) - magic;
}

/* A codec whose arrays are checked: index, order and steps of channels. NULL with an error set. */
void *new_coder(size_t size, const Kind *kind, int channels, int height, int width, const Py_buffer *index,
                const Py_buffer *order, const Py_buffer *steps);

/* A copy that lives as long as the codec; NULL with an error set. */
const void *own(Coder *coder, const void *data, size_t size);

/* What Python holds; takes the codec, which is freed where this fails. */
PyObject *capsule_of(Coder *coder);
void free_coder(Coder *coder);

PyObject *lattice(PyObject *module, PyObject *args);
PyObject *signed_levels(PyObject *module, PyObject *args);

#endif
