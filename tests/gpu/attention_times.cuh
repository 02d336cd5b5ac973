/* The table of times of test_attention_kernels.cu, and a run to profile. Included at its end,
 * because it uses its functions. */
#pragma once

static double median_us(const Family &f, const Problem &p, bool backward) {
    cudaEvent_t begin, end;
    CUDA(cudaEventCreate(&begin));
    CUDA(cudaEventCreate(&end));
    std::vector<double> times;
    for (int repeat = 0; repeat < 23; repeat++) {
        CUDA(cudaEventRecord(begin));
        Status status =
            backward ? f.backward(&p.call, &p.args, nullptr) : f.forward(&p.call, &p.args, nullptr);
        CUDA(cudaEventRecord(end));
        CUDA(cudaEventSynchronize(end));
        if (failed(status)) printf("%s\n", status_message());
        float ms;
        CUDA(cudaEventElapsedTime(&ms, begin, end));
        if (repeat >= 3) times.push_back((double)ms * 1e3);
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

struct Timing {
    Case shape;
    DType dtype;
};
static const Timing TIMINGS[] = {
    {{64, 12, 12, 1024, 1024, 64, UPPER, 0, 0}, DTYPE_BF16},
    {{12, 12, 12, 1024, 1024, 64, UPPER, 0, 0}, DTYPE_BF16},
    {{16, 12, 12, 4096, 4096, 64, UPPER, 0, 0}, DTYPE_BF16},
    {{8, 16, 16, 4096, 4096, 128, UPPER, 0, 0}, DTYPE_BF16},
    {{4, 16, 16, 16384, 16384, 64, UPPER, 0, 0}, DTYPE_BF16},
    {{2, 32, 8, 8192, 8192, 128, UPPER, 0, 0}, DTYPE_BF16},
    {{32, 10, 10, 1024, 1024, 80, UPPER, 0, 0}, DTYPE_BF16},
    {{32, 12, 4, 1024, 1024, 64, UPPER, 0, 0}, DTYPE_BF16},
    {{32, 32, 32, 1024, 1024, 32, FULL, 0, 0}, DTYPE_F16},
    {{8, 8, 8, 4096, 4096, 256, UPPER, 0, 0}, DTYPE_BF16},
    {{64, 12, 12, 1024, 1024, 64, UPPER, 0, 0.1}, DTYPE_BF16},
    {{64, 12, 12, 1024, 1024, 64, UPPER, 0, 0, DOCUMENTS, 256}, DTYPE_BF16},
    {{64, 12, 12, 1024, 1024, 64, UPPER, 0, 0, UNEVEN_DOCUMENTS, 256}, DTYPE_BF16},
    {{64, 12, 12, 1024, 1024, 64, UPPER, 0, 0, EQUAL_DOCUMENTS, 256}, DTYPE_BF16},
    {{64, 12, 12, 1024, 1024, 64, UPPER, 0, 0, EQUAL_DOCUMENTS, 1024}, DTYPE_BF16},
    {{1, 12, 12, 65536, 65536, 64, UPPER, 0, 0, EQUAL_DOCUMENTS, 1024}, DTYPE_BF16},
    {{1, 12, 12, 65536, 65536, 64, UPPER, 0, 0, UNEVEN_DOCUMENTS, 1024}, DTYPE_BF16},
    {{64, 12, 12, 1024, 1024, 64, FULL, 0, 0, PADDING}, DTYPE_BF16},
};

static void run_timings(const char *only, const char *like) {
    printf("%-6s %-4s %3s %3s %5s %4s %-6s %-8s %9s %9s %9s %8s %8s\n", "family", "type", "B", "NH",
           "T", "HS", "mask", "ranges", "fwd us", "bwd us", "both us", "fwd TF/s", "bwd TF/s");
    static const char *const RANGES[] = {"", "uniform", "uneven", "equal", "padding", "ragged"};
    for (const Timing &t : TIMINGS)
        for (const Family &f : FAMILIES) {
            if (only != NULL && strcmp(only, f.name) != 0) continue;
            if (strstr(describe(f, t.shape, t.dtype).c_str(), like) == NULL) continue;
            const Case &c = t.shape;
            Problem p = problem_create(c, t.dtype, f, 99);
            if (is_refused(f, p.call)) {
                problem_destroy(p);
                continue;
            }
            const double forward = median_us(f, p, false), backward = median_us(f, p, true);
            const double flops = 4.0 * (double)(c.B * c.NH * c.Tq * c.Tk * c.HS) *
                                 (c.causal == CAUSAL_NONE ? 1.0 : 0.5);
            printf("%-6s %-4s %3d %3d %5d %4d %-6s %-8s %9.1f %9.1f %9.1f %8.1f %8.1f\n", f.name,
                   t.dtype == DTYPE_BF16 ? "bf16" : "f16", (int)c.B, (int)c.NH, (int)c.Tq,
                   (int)c.HS, c.causal == CAUSAL_NONE ? "full" : "causal",
                   c.dropout > 0.0 ? "dropout" : RANGES[c.ranges], forward, backward,
                   forward + backward, flops / forward * 1e-6, 2.5 * flops / backward * 1e-6);
            fflush(stdout);
            problem_destroy(p);
        }
}

/* One call in each direction at GPT-2's shape, for a profiler. */
static int run_profile(const char *only) {
    for (const Family &f : FAMILIES) {
        if (only != NULL && strcmp(only, f.name) != 0) continue;
        Problem p = problem_create(TIMINGS[0].shape, TIMINGS[0].dtype, f, 99);
        if (!run_both(f, p)) return 1;
        problem_destroy(p);
    }
    return 0;
}
