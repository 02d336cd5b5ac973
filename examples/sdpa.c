/* Calls the attention operator directly, without a model: PyTorch's tutorial of
 * scaled_dot_product_attention in C. Built by `scons tests`, run as
 *
 *   build/examples/sdpa [cpu|cuda]        default: a GPU if there is one
 *
 * The exit code is 0 if all claims below hold. */
#include "core/base/clock.h"
#include "core/rng.h"
#include "nn/attention/ranges.h"
#include "nn/attention/standalone.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 16 }; /* elements of the small tensors below */

static int claims_broken;

static void claim(bool holds, const char *what) {
    printf("  %-62s %s\n", what, holds ? "yes" : "NO");
    claims_broken += !holds;
}

/* A tensor of shape (B, T, NH, HS), as a projection produces it; no permutation is needed. */
static AttentionCall call_of(int64_t B, int64_t NH, int64_t Tq, int64_t Tk, int64_t HS,
                             DType dtype) {
    HeadLayout queries = attention_tokens(Tq, NH, HS), keys = attention_tokens(Tk, NH, HS);
    return (AttentionCall){.B = B,
                           .NH = NH,
                           .NH_kv = NH,
                           .Tq = Tq,
                           .Tk = Tk,
                           .HS = HS,
                           .dtype = dtype,
                           .scale = 1 / sqrtf((float)HS),
                           .q = queries,
                           .k = keys,
                           .v = keys,
                           .out = queries};
}

static void random_fill(float *x, int64_t count, uint64_t seed) {
    for (int64_t i = 0; i < count; i++)
        x[i] = 2 * rng_uniform(philox(seed, (uint64_t)i, 0).word[0]) - 1;
}

/* One call in f32, by the backend that the picker selects. q, k, v and out are in host memory;
 * ranges may be NULL. */
static Status attend(Device *device, const AttentionCall *call, const float *q, const float *k,
                     const float *v, const AttentionRanges *ranges, float *out) {
    KernelChoice any = {0};
    Sdpa *sdpa;
    TRY(sdpa_create(device, call, &any, &sdpa));
    Status status = OK;
    TRY_ELSE(status, device_upload(device, sdpa->q, q), end);
    TRY_ELSE(status, device_upload(device, sdpa->k, k), end);
    TRY_ELSE(status, device_upload(device, sdpa->v, v), end);
    if (call->ranges) {
        TRY_ELSE(status, device_upload(device, sdpa->key_ranges, ranges->keys), end);
        TRY_ELSE(status, device_upload(device, sdpa->query_ranges, ranges->queries), end);
    }
    TRY_ELSE(status, sdpa_forward(sdpa), end);
    TRY_ELSE(status, device_download(device, out, sdpa->out), end);
end:
    sdpa_destroy(&sdpa);
    return status;
}

static float difference(const float *a, const float *b, int64_t count) {
    float most = 0;
    for (int64_t i = 0; i < count; i++) most = fmaxf(most, fabsf(a[i] - b[i]));
    return most;
}

/* Microseconds of a forward pass, plus a backward pass if the call trains: the best of several. */
static Status time_passes(Device *device, Sdpa *sdpa, double *us) {
    *us = INFINITY;
    for (int run = 0; run < 6; run++) {
        double start = clock_seconds();
        TRY(sdpa_forward(sdpa));
        if (sdpa->call.training) TRY(sdpa_backward(sdpa));
        TRY(device_synchronize(device));
        *us = fmin(*us, (clock_seconds() - start) * 1e6);
    }
    return OK;
}

/* Prints the time of a backend, or the reason why it refuses. An empty name lets the picker
 * choose. */
static Status backend_show(Device *device, const AttentionCall *call, const char *name) {
    KernelChoice choice = {.count = name == NULL ? 0 : 1, .names = {name}};
    Sdpa *sdpa;
    double us;
    if (failed(sdpa_create(device, call, &choice, &sdpa))) {
        printf("  %-15s refuses: %s\n", name == NULL ? "(default)" : name, status_message());
        return OK;
    }
    Status status = time_passes(device, sdpa, &us);
    if (!failed(status)) {
        printf("  %-15s %10.1f us %10.2f MiB   %s\n", name == NULL ? "(default)" : name, us,
               (double)sdpa->bytes / 0x1p20, sdpa->backend->forward.name);
    }
    sdpa_destroy(&sdpa);
    return status;
}

static Status backends_show(Device *device) {
    static const char *const names[] = {NULL, "flash", "mem_efficient", "math", "baseline"};
    bool gpu = device->target.kind == DEVICE_CUDA;
    AttentionCall call =
        gpu ? call_of(32, 32, 1024, 1024, 32, DTYPE_F16) : call_of(2, 8, 256, 256, 32, DTYPE_F32);
    printf("one call by every backend: B=%d NH=%d T=%d HS=%d %s, on %s\n", (int)call.B,
           (int)call.NH, (int)call.Tq, (int)call.HS, dtype_name(call.dtype), device->name);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        TRY(backend_show(device, &call, names[i]));
    printf("the same with a mask of its own for every pair of tokens\n");
    call.bias = BIAS_ADDITIVE;
    call.bias_layout =
        (HeadLayout){.token = call.Tk}; /* (Tq, Tk), the same for every row and head */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        TRY(backend_show(device, &call, names[i]));
    return OK;
}

/* If the numbers of queries and keys differ, the diagonal starts in the upper left corner or ends
 * in the lower right. */
static Status alignments_show(Device *device) {
    static float q[MOST], k[MOST], v[MOST], upper[MOST], lower[MOST];
    printf("the causal mask's two alignments\n");
    for (int square = 0; square < 2; square++) {
        AttentionCall call = call_of(1, 4, square ? 40 : 24, 40, 32, DTYPE_F32);
        int64_t count = call.NH * call.Tq * call.HS, last = count - call.NH * call.HS;
        random_fill(q, count, 1);
        random_fill(k, call.NH * call.Tk * call.HS, 2);
        random_fill(v, call.NH * call.Tk * call.HS, 3);
        call.causal = CAUSAL_UPPER_LEFT;
        TRY(attend(device, &call, q, k, v, NULL, upper));
        call.causal = CAUSAL_LOWER_RIGHT;
        TRY(attend(device, &call, q, k, v, NULL, lower));
        if (square) {
            claim(difference(upper, lower, count) == 0,
                  "Tq = Tk = 40: upper_left and lower_right are one mask");
        } else {
            claim(difference(upper, lower, count) > 1e-3f, "Tq = 24, Tk = 40: they are not");
            claim(difference(upper, v, call.NH * call.HS) < 1e-6f,
                  "upper_left: the first query sees the first key alone");
            call.causal = CAUSAL_NONE;
            TRY(attend(device, &call, q, k, v, NULL, upper));
            claim(difference(upper + last, lower + last, call.NH * call.HS) < 1e-5f,
                  "lower_right: the last query sees every key");
        }
    }
    return OK;
}

/* Sequences of 70, 3 and 27 tokens concatenated in one row, without padding, causal within each:
 * the batch of PyTorch's nested tensors. */
static Status packed_show(Device *device) {
    static float q[MOST], k[MOST], v[MOST], packed[MOST], alone[MOST];
    static const int32_t starts[] = {0, 70, 73, 100};
    AttentionCall call = call_of(1, 4, 100, 100, 32, DTYPE_F32);
    AttentionRanges ranges;
    int64_t row = call.NH * call.HS;
    printf("three sequences packed without padding\n");
    random_fill(q, 100 * row, 4);
    random_fill(k, 100 * row, 5);
    random_fill(v, 100 * row, 6);
    call.ranges = true;
    TRY(ranges_create(1, 100, 100, &ranges));
    Status status = ranges_from_cumulative(&ranges, 0, starts, starts, 3, CAUSAL_LOWER_RIGHT, 0);
    if (!failed(status)) status = attend(device, &call, q, k, v, &ranges, packed);
    ranges_destroy(&ranges);
    TRY(status);
    for (int s = 0; s < 3; s++) {
        int64_t T = starts[s + 1] - starts[s], at = starts[s] * row;
        AttentionCall one = call_of(1, 4, T, T, 32, DTYPE_F32);
        one.causal = CAUSAL_UPPER_LEFT;
        TRY(attend(device, &one, q + at, k + at, v + at, NULL, alone + at));
    }
    claim(difference(packed, alone, 100 * row) < 1e-5f, "each gives what it gives by itself");
    return OK;
}

static Status time_causal(Device *device, const AttentionCall *call, const AttentionRanges *ranges,
                          double *us) {
    KernelChoice any = {0};
    Sdpa *sdpa;
    Status status = OK;
    TRY(sdpa_create(device, call, &any, &sdpa));
    if (call->ranges) {
        TRY_ELSE(status, device_upload(device, sdpa->key_ranges, ranges->keys), end);
        TRY_ELSE(status, device_upload(device, sdpa->query_ranges, ranges->queries), end);
    }
    TRY_ELSE(status, time_passes(device, sdpa, us), end);
end:
    sdpa_destroy(&sdpa);
    return status;
}

/* Training on rows of four documents: attention across their borders is not computed. */
static Status documents_show(Device *device) {
    static const int32_t starts[] = {0, 200, 512, 700, 1024};
    bool gpu = device->target.kind == DEVICE_CUDA;
    AttentionCall call =
        call_of(gpu ? 64 : 2, gpu ? 12 : 4, 1024, 1024, 64, gpu ? DTYPE_BF16 : DTYPE_F32);
    AttentionRanges ranges;
    double plain, apart;
    call.causal = CAUSAL_UPPER_LEFT;
    call.training = true;
    TRY(time_causal(device, &call, NULL, &plain));
    call.ranges = true;
    TRY(ranges_create(call.B, call.Tq, call.Tk, &ranges));
    Status status = OK;
    for (int64_t b = 0; b < call.B && !failed(status); b++) {
        status = ranges_from_cumulative(&ranges, b, starts, starts, 4, CAUSAL_NONE, 0);
    }
    if (!failed(status)) status = time_causal(device, &call, &ranges, &apart);
    ranges_destroy(&ranges);
    TRY(status);
    printf("forward and backward, causal, B=%d NH=%d T=1024 HS=64 %s\n", (int)call.B, (int)call.NH,
           dtype_name(call.dtype));
    printf("  one document a row %10.1f us\n  four               %10.1f us: %.2f times as fast\n",
           plain, apart, plain / apart);
    return OK;
}

static Status show(const char *where) {
    Device *device = NULL;
    bool cuda = where == NULL ? device_count_cuda() > 0 : strcmp(where, "cuda") == 0;
    TRY(cuda ? device_open_cuda(0, &device) : device_open_cpu(0, &device));
    Status status = backends_show(device);
    if (!failed(status)) status = alignments_show(device);
    if (!failed(status)) status = packed_show(device);
    if (!failed(status)) status = documents_show(device);
    device_close(&device);
    return status;
}

int main(int argc, char **argv) {
    if (argc > 2 || (argc == 2 && strcmp(argv[1], "cpu") != 0 && strcmp(argv[1], "cuda") != 0)) {
        fprintf(stderr, "usage: sdpa [cpu|cuda]\n");
        return 64;
    }
    Status status = show(argc == 2 ? argv[1] : NULL);
    if (failed(status)) return status_report("sdpa", status);
    return claims_broken == 0 ? 0 : 1;
}
