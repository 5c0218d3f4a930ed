/* What Python calls first when a compiled module is imported. It asks the processor which of the
   module's targets it runs, and lets that one go on. Compiled for any processor of the family: no
   instruction of a target is executed before the answer, and none ever where the answer is no.

   targets.h comes from cnnc/codegen/dispatch.py: the module's name, its targets, what they need. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>
#include <string.h>
#include "targets.h"

/* The targets of this family, the least capable first. `init` is there where the module holds one;
   `state` are the registers, as bits of XCR0, that the operating system must save. */
static const struct {
    const char *name;
    PyObject *(*init)(void);
    unsigned state;
} targets[] = {TARGET_ROWS};
enum { TARGETS = sizeof targets / sizeof *targets };

#if defined(__x86_64__)
#include <cpuid.h>

enum { LEAF_1_ECX, LEAF_7_EBX, EXTENDED_ECX, WORDS };

/* What a target needs beyond the one before it. */
static const struct {
    int target, word, bit;
    const char *name;
} features[] = {FEATURE_ROWS};
enum { FEATURES = sizeof features / sizeof *features };

/* CPUID's words, and the registers that the operating system saves. */
static unsigned ask(unsigned *words) {
    unsigned a, b, c, d, saved = 0;
    if (__get_cpuid(1, &a, &b, &c, &d)) words[LEAF_1_ECX] = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) words[LEAF_7_EBX] = b;
    if (__get_cpuid(0x80000001u, &a, &b, &c, &d)) words[EXTENDED_ECX] = c;
    /* XGETBV is an instruction only where bit 27, OSXSAVE, says so. */
    if (words[LEAF_1_ECX] >> 27 & 1) __asm__("xgetbv" : "=a"(saved), "=d"(d) : "c"(0));
    return saved;
}

/* The best target that this processor runs. `lacks` is told what it lacks for target `wanted`. */
static int processor(int wanted, char *lacks, size_t size) {
    unsigned words[WORDS] = {0}, saved = ask(words);
    int best = TARGETS - 1;
    for (int i = 0; i < FEATURES; i++) {
        if (words[features[i].word] >> features[i].bit & 1) continue;
        if (features[i].target <= best) best = features[i].target - 1;
        if (features[i].target > wanted) continue;
        size_t used = strlen(lacks);
        PyOS_snprintf(lacks + used, size - used, "%s%s", used ? ", " : "", features[i].name);
    }
    for (int i = best; i > 0; i--) {
        if ((saved & targets[i].state) == targets[i].state) break;
        best = i - 1;
        if (i <= wanted && !*lacks)
            PyOS_snprintf(lacks, size, "an operating system that saves its wide registers");
    }
    return best;
}
#else
/* There is one target, and every processor of the family runs it. */
static int processor(int wanted, char *lacks, size_t size) {
    (void)wanted, (void)lacks, (void)size;
    return TARGETS - 1;
}
#endif

/* The target that CNNC_PROCESSOR names, or `best` where it is unset; -1 and an exception where it
   names none that this processor runs. */
static int asked(int best) {
    const char *name = getenv("CNNC_PROCESSOR");
    if (!name || !*name) return best;
    for (int i = 0; i < TARGETS; i++) {
        if (strcmp(name, targets[i].name)) continue;
        if (i <= best) return i;
        PyErr_Format(PyExc_ImportError, "CNNC_PROCESSOR=%s: this processor is one for %s", name,
                     targets[best].name);
        return -1;
    }
    PyErr_Format(PyExc_ImportError, "CNNC_PROCESSOR=%s: the targets of this machine are " KNOWN,
                 name);
    return -1;
}

PyMODINIT_FUNC INIT(void) {
    char lacks[256] = "";
    int best = processor(LOWEST, lacks, sizeof lacks), at = asked(best);
    if (at < 0) return NULL;
    for (int i = at; i >= 0; i--)
        if (targets[i].init) return targets[i].init();
    if (best >= LOWEST)
        PyErr_Format(PyExc_ImportError,
                     MODULE " was compiled for " HELD ", which CNNC_PROCESSOR=%s leaves out",
                     targets[at].name);
    else
        PyErr_Format(PyExc_ImportError,
                     MODULE " was compiled for " HELD ", and this processor is one for %s: it lacks "
                     "%s; compile it for this one",
                     targets[best].name, lacks);
    return NULL;
}
