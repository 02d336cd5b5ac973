/* Checks the CUDA flash attention kernels directly, or times them:
 *
 *     build/tests/gpu/test_attention_kernels [check|small|time|profile] [sm80|sm90] [TEXT]
 *
 * The default is check.
 *
 * Check: against a naive reference in f64 on random inputs, with every output filled with NaN
 * first. The same naive composition rounded to the call's type after every step (scores, weights,
 * outputs) sets the bar: a kernel's error (relative, Frobenius) may be at most twice the error of
 * that composition. Then both directions are captured in a CUDA graph, whose replay must repeat the
 * results bit by bit. `small` skips the large cases, for compute-sanitizer; TEXT selects the cases
 * whose description contains it. Time: medians in microseconds by CUDA events, forward and forward
 * + backward. */
#include "nn/attention/cuda/flash_sm90/flash_sm90.h"
#include "tests/gpu/attention_problem.cuh"
#include "tests/gpu/attention_reference.cuh"

#include <algorithm>
#include <string.h>
#include <string>
#include <vector>

static Reference reference_create(const AttentionCall &c) {
    Reference r = {};
    const size_t square = (size_t)(c.B * c.NH * c.Tq * c.Tk),
                 rows = (size_t)(c.B * c.Tq * c.NH * c.HS);
    const size_t keys = (size_t)(c.B * c.Tk * c.NH_kv * c.HS), lse = (size_t)(c.B * c.NH * c.Tq);
    CUDA(cudaMalloc(&r.p, 8 * (2 * square + 2 * rows + 2 * keys + lse)));
    r.ds = r.p + square, r.out = r.ds + square, r.dq = r.out + rows, r.dk = r.dq + rows,
    r.dv = r.dk + keys;
    r.lse = r.dv + keys;
    return r;
}

static void reference_run(const Problem &p, const Reference &r, DType rounded) {
    const AttentionCall &c = p.call;
    reference_rows<<<dim3((unsigned)c.Tq, (unsigned)c.NH, (unsigned)c.B), 128>>>(c, p.args, r,
                                                                                 rounded, true);
    reference_keys<<<dim3((unsigned)c.Tk, (unsigned)c.NH_kv, (unsigned)c.B), 128>>>(c, p.args, r,
                                                                                    rounded);
    CUDA(cudaDeviceSynchronize());
}

static std::vector<double> fetch_doubles(const double *device, size_t count) {
    std::vector<double> host(count);
    CUDA(cudaMemcpy(host.data(), device, count * 8, cudaMemcpyDeviceToHost));
    return host;
}

/* Reads a strided tensor as doubles in (B, T, heads, HS). */
static std::vector<double> fetch(const void *device, HeadLayout layout, int64_t B, int64_t T,
                                 int64_t heads, int64_t HS, DType dtype) {
    const int64_t extent =
        (B - 1) * layout.batch + (T - 1) * layout.token + (heads - 1) * layout.head + HS;
    std::vector<uint16_t> raw((size_t)extent);
    CUDA(cudaMemcpy(raw.data(), device, (size_t)extent * 2, cudaMemcpyDeviceToHost));
    std::vector<double> host;
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < T; t++)
            for (int64_t h = 0; h < heads; h++)
                for (int64_t d = 0; d < HS; d++) {
                    const uint16_t bits =
                        raw[(size_t)(b * layout.batch + t * layout.token + h * layout.head + d)];
                    if (dtype == DTYPE_BF16) {
                        const uint32_t word = (uint32_t)bits << 16;
                        float x;
                        memcpy(&x, &word, 4);
                        host.push_back((double)x);
                    } else {
                        const __half x = __ushort_as_half(bits);
                        host.push_back((double)__half2float(x));
                    }
                }
    return host;
}

/* The error relative to the reference, with 0.1 added to its root mean square: a gradient may be
 * zero, and its error is then the rounding of the terms that cancel. */
static double distance(const std::vector<double> &x, const std::vector<double> &reference) {
    double difference = 0.0, norm = 1e-2 * (double)x.size();
    for (size_t at = 0; at < x.size(); at++) {
        difference += (x[at] - reference[at]) * (x[at] - reference[at]);
        norm += reference[at] * reference[at];
    }
    return sqrt(difference / norm);
}

struct Results {
    std::vector<double> tensor[4]; /* out, dq, dk, dv */
};

static Results fetch_results(const Problem &p) {
    const AttentionCall &c = p.call;
    const AttentionArgs &a = p.args;
    return {{fetch(a.out, c.out, c.B, c.Tq, c.NH, c.HS, c.dtype),
             fetch(a.dq, c.q, c.B, c.Tq, c.NH, c.HS, c.dtype),
             fetch(a.dk, c.k, c.B, c.Tk, c.NH_kv, c.HS, c.dtype),
             fetch(a.dv, c.v, c.B, c.Tk, c.NH_kv, c.HS, c.dtype)}};
}
static Results fetch_reference(const AttentionCall &c, const Reference &r) {
    const size_t rows = (size_t)(c.B * c.Tq * c.NH * c.HS),
                 keys = (size_t)(c.B * c.Tk * c.NH_kv * c.HS);
    return {{fetch_doubles(r.out, rows), fetch_doubles(r.dq, rows), fetch_doubles(r.dk, keys),
             fetch_doubles(r.dv, keys)}};
}

static bool run_both(const Family &f, const Problem &p) {
    if (failed(f.forward(&p.call, &p.args, nullptr)) ||
        failed(f.backward(&p.call, &p.args, nullptr))) {
        printf("  failed: %s\n", status_message());
        return false;
    }
    cudaError_t error = cudaDeviceSynchronize();
    if (error != cudaSuccess) {
        printf("  failed: %s\n", cudaGetErrorString(error));
        exit(1);
    }
    return true;
}

/* Captures both directions in a CUDA graph and replays it: nothing in them may synchronize or
 * allocate. */
static bool replay_both(const Family &f, const Problem &p) {
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    CUDA(cudaStreamCreate(&stream));
    CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    const bool started = !failed(f.forward(&p.call, &p.args, stream)) &&
                         !failed(f.backward(&p.call, &p.args, stream));
    CUDA(cudaStreamEndCapture(stream, &graph));
    if (started) {
        CUDA(cudaGraphInstantiate(&executable, graph, 0));
        CUDA(cudaGraphLaunch(executable, stream));
        CUDA(cudaStreamSynchronize(stream));
        CUDA(cudaGraphExecDestroy(executable));
    }
    CUDA(cudaGraphDestroy(graph));
    CUDA(cudaStreamDestroy(stream));
    return started;
}

static double lse_error(const Problem &p, const std::vector<double> &reference) {
    std::vector<float> lse(reference.size());
    CUDA(cudaMemcpy(lse.data(), p.args.lse, lse.size() * 4, cudaMemcpyDeviceToHost));
    double worst = 0.0;
    for (size_t at = 0; at < lse.size(); at++) {
        if (isinf(reference[at]) && lse[at] == (float)reference[at]) continue;
        const double error = fabs((double)lse[at] - reference[at]);
        if (!(error <= worst)) worst = error;
    }
    return worst;
}

static std::string describe(const Family &f, const Case &c, DType dtype) {
    static const char *const MASKS[] = {"full", "upper", "lower"};
    static const char *const RANGES[] = {
        "", " documents", " uneven documents", " equal documents", " padding", " ragged"};
    char line[200];
    snprintf(line, sizeof line, "%s %s B%d NH%d/%d T%dx%d HS%d %s w%d p%.1f%s", f.name,
             dtype == DTYPE_BF16 ? "bf16" : "f16", (int)c.B, (int)c.NH, (int)c.NH_kv, (int)c.Tq,
             (int)c.Tk, (int)c.HS, MASKS[c.causal], (int)c.window, c.dropout, RANGES[c.ranges]);
    return line;
}

/* 1 passed, 0 failed, -1 refused. */
static int check(const Family &f, const Case &c, DType dtype, uint64_t seed) {
    static const char *const NAMES[] = {"out", "dq", "dk", "dv"};
    Problem p = problem_create(c, dtype, f, seed);
    if (is_refused(f, p.call)) {
        problem_destroy(p);
        return -1;
    }
    Reference r = reference_create(p.call);
    reference_run(p, r, dtype);
    const Results plain = fetch_reference(p.call, r);
    reference_run(p, r, DTYPE_F64);
    const Results exact = fetch_reference(p.call, r);
    const std::vector<double> lse = fetch_doubles(r.lse, (size_t)(c.B * c.NH * c.Tq));
    poison(p);
    bool passed = run_both(f, p);
    if (passed) {
        const Results first = fetch_results(p);
        const double lse_worst = lse_error(p, lse);
        poison(p);
        passed = replay_both(f, p);
        const Results second = fetch_results(p);
        char line[400] = "";
        for (int t = 0; t < 4; t++) {
            const double error = distance(first.tensor[t], exact.tensor[t]);
            const double bar = distance(plain.tensor[t], exact.tensor[t]);
            const bool good = error <= 2.0 * bar + 1e-4, same = first.tensor[t] == second.tensor[t];
            if (!good || !same) passed = false;
            snprintf(line + strlen(line), sizeof line - strlen(line), " %s %.2e/%.2e%s%s", NAMES[t],
                     error, bar, good ? "" : " WRONG", same ? "" : " MOVES");
        }
        if (!(lse_worst < 2e-4)) passed = false;
        if (!passed || getenv("VERBOSE") != NULL) {
            printf("%s:%s lse %.1e %s\n", describe(f, c, dtype).c_str(), line, lse_worst,
                   passed ? "ok" : "FAILED");
        }
    }
    CUDA(cudaFree(r.p));
    problem_destroy(p);
    return passed;
}

/* Sequences of one length, packed into one row, must give the bits of the batch in the same memory:
 * the output, and, of sequences too short for the fused backward pass, which serves no documents,
 * the gradients too. */
static int check_packed(const Family &f, int64_t HS, int64_t T) {
    const Case batch = {65536 / T, 2, 2, T, T, HS, UPPER, 0, 0};
    const Case packed = {1, 2, 2, 65536, 65536, HS, UPPER, 0, 0, EQUAL_DOCUMENTS, T};
    Results results[2];
    bool passed = true, fused = false;
    for (int n = 0; n < 2; n++) {
        Problem p = problem_create(n ? packed : batch, DTYPE_BF16, f, 5);
        poison(p);
        fused |= strcmp(f.name, "sm90") == 0 && flash_is_fused(&p.call);
        passed = run_both(f, p) && passed;
        results[n] = fetch_results(p);
        problem_destroy(p);
    }
    for (int t = 0; t < (fused ? 1 : 4); t++)
        if (results[0].tensor[t] != results[1].tensor[t]) passed = false;
    if (!passed) printf("%s HS%d T%d packed to T=65536: FAILED\n", f.name, (int)HS, (int)T);
    return passed;
}

static int run_checks(const char *only, bool small, const char *like) {
    int passed = 0, wrong = 0, refused = 0;
    for (const Family &f : FAMILIES) {
        if (only != NULL && strcmp(only, f.name) != 0) continue;
        for (DType dtype : {DTYPE_BF16, DTYPE_F16})
            for (const Case &c : CHECKS) {
                if (small && (c.Tq * c.Tk > 150 * 350 || c.B * c.NH > 64)) continue;
                if (strstr(describe(f, c, dtype).c_str(), like) == NULL) continue;
                const int result = check(f, c, dtype, (uint64_t)(passed + wrong) + 11);
                if (result < 0)
                    refused++;
                else if (result)
                    passed++;
                else
                    wrong++;
                fflush(stdout);
            }
        for (int64_t HS : {64, 128})
            for (int64_t T : {512, 1024}) {
                if (small || *like != 0) continue;
                const int result = check_packed(f, HS, T);
                passed += result, wrong += !result;
            }
    }
    printf("%d passed, %d failed, %d skipped\n", passed, wrong, refused);
    return wrong;
}

#include "tests/gpu/attention_times.cuh"

int main(int count, char **arguments) {
    const char *mode = count > 1 ? arguments[1] : "check", *only = count > 2 ? arguments[2] : NULL;
    const char *like = count > 3 ? arguments[3] : "";
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        printf("no GPU\n0 passed, 0 failed, 1 skipped\n");
        return 0;
    }
    if (strcmp(mode, "profile") == 0) return run_profile(only);
    if (strcmp(mode, "time") != 0) return run_checks(only, strcmp(mode, "small") == 0, like) != 0;
    run_timings(only, like);
    return 0;
}
