/* What one core can do at most. LANES and the target's flags come from peak.py.
 *
 * fma_N: N independent chains a = a * x + y, enough of them to hide the latency, few enough for the
 * registers. Inputs come from memory that the compiler cannot see into, and results go back to it.
 */
#include <stddef.h>

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define FMA(N)                                                      \
    void fma_##N(long rounds, const float *in, float *out) {        \
        const vec *values = (const vec *)in;                        \
        vec a[N], x = values[0], y = values[1];                     \
        _Pragma("GCC unroll 32")                                    \
        for (int i = 0; i < N; i++) a[i] = values[2 + i];           \
        for (long r = 0; r < rounds; r++) {                         \
            _Pragma("GCC unroll 32")                                \
            for (int i = 0; i < N; i++) a[i] = a[i] * x + y;        \
        }                                                           \
        _Pragma("GCC unroll 32")                                    \
        for (int i = 0; i < N; i++) ((vec *)out)[i] = a[i];         \
    }

FMA(6) FMA(8) FMA(10) FMA(12) FMA(14) FMA(16) FMA(20) FMA(24) FMA(28)

/* Additions that wait for each other, one a cycle: 16 a round. */
long cycles(long rounds, long step) {
    long sum = step;
#define ADD sum += step; __asm__ volatile("" : "+r"(sum));
    for (long r = 0; r < rounds; r++) {
        ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD
    }
    return sum;
}

/* Sums `count` floats, a multiple of 8 vectors, `rounds` times. */
float read_all(long rounds, const float *in, size_t count) {
    const vec *values = (const vec *)in;
    vec sum[8] = {0};
    float total = 0;
    for (long r = 0; r < rounds; r++) {
        for (size_t i = 0; i < count / LANES; i += 8) {
            _Pragma("GCC unroll 8")
            for (int k = 0; k < 8; k++) sum[k] += values[i + k];
        }
    }
    for (int k = 0; k < 8; k++)
        for (int lane = 0; lane < LANES; lane++) total += sum[k][lane];
    return total;
}

/* STREAM's triad (McCalpin 1995): a = b + s * c. */
void triad(float *a, const float *b, const float *c, float s, size_t count) {
    for (size_t i = 0; i < count / LANES; i++)
        ((vec *)a)[i] = ((const vec *)b)[i] + s * ((const vec *)c)[i];
}
