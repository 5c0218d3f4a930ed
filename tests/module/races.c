/* The pool of threads under ThreadSanitizer, which holds it to C's memory model and not to the
   order of this processor's loads and stores. POOL is the C of templates/pool.pyx.j2. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
static unsigned long flush_denormals(void) { return 0; }
#include POOL

enum { CELLS = 2048, STEPS = 2000, PARTS = 40 };

struct job {
    unsigned *cells, step;
    int parts;
};

/* What a part reads, another thread may have written in the call before. */
static void advance(void *context, int part, int worker) {
    struct job *job = context;
    (void)worker;
    for (int i = part; i < CELLS; i += job->parts) job->cells[i] = job->cells[i] * 3 + job->step;
}

static void *caller(void *argument) {
    unsigned seed = (unsigned)(uintptr_t)argument;
    unsigned *cells = calloc(CELLS, sizeof *cells), wanted = 0;
    double ends[PARTS];
    for (unsigned step = 0; step < STEPS; step++) {
        struct job job = {cells, step, 1 + rand_r(&seed) % PARTS};
        for (int i = 0; i < job.parts; i++) ends[i] = (i ? ends[i - 1] : 0) + 1 + rand_r(&seed) % 9;
        double nanoseconds = step % 5 ? 1e9 : 5000;
        int threads = 1 + rand_r(&seed) % 5;
        pool_run(advance, &job, job.parts, step % 3 ? NULL : ends, threads, nanoseconds);
        wanted = wanted * 3 + step;
        for (int i = 0; i < CELLS; i++) {
            if (cells[i] != wanted) {
                fprintf(stderr, "step %u: a part is missing\n", step);
                exit(1);
            }
        }
        struct timespec pause = {0, 200000};
        if (step % 97 == 0) nanosleep(&pause, NULL);  /* until they sleep */
        if (step % 301 == 300) pool_stop();
    }
    free(cells);
    return NULL;
}

int main(void) {
    pthread_t other;
    pool.processors = pool_processors() + 3;
    if (pthread_create(&other, NULL, caller, (void *)7)) return 1;
    caller((void *)1);
    pthread_join(other, NULL);
    pool_stop();
    return 0;
}
