/* bench: measures the speed and the precision of this project's operations on this machine. */
#include "launch/bench/bench.h"
#include "launch/base/at_load.h"
#include "launch/base/streams.h"
#include "launch/base/thread_wait.h"

#include <string.h>

static const Option options[] = {
    {"repeats", OPTION_INT, offsetof(BenchOptions, repeats), "N", "10", 1, 1e6,
     .doc = "step, attention, ladder, allreduce: timed runs; the median counts"},
    {"device", OPTION_CHOICE, offsetof(BenchOptions, device), "auto|cpu|cuda", "auto",
     .doc = "attention, ladder, numerics: compute device; auto takes a GPU if there is one"},
    {"dtype", OPTION_CHOICE, offsetof(BenchOptions, dtype), "auto|f32|tf32|f16|bf16|f64", "auto",
     .doc = "attention: type of q, k and v; auto is f16 on a GPU and f32 on the CPU"},
    {"B", OPTION_INT, offsetof(BenchOptions, B), "N", NULL, 1, 1e6,
     .doc = "attention, numerics: batch"},
    {"NH", OPTION_INT, offsetof(BenchOptions, NH), "N", NULL, 1, 1e6,
     .doc = "attention, numerics: heads"},
    {"T", OPTION_TEXT, offsetof(BenchOptions, T), "N[,N...]", NULL,
     .doc = "attention, numerics: length; attention takes several"},
    {"HS", OPTION_INT, offsetof(BenchOptions, HS), "N", NULL, 1, 4096,
     .doc = "attention, numerics: head size"},
    {"causal", OPTION_FLAG, offsetof(BenchOptions, causal),
     .doc = "attention, numerics: causal mask"},
    {"window", OPTION_INT, offsetof(BenchOptions, window), "N", NULL, 1, 1e9,
     .doc = "attention: a query sees the last N keys (causal)"},
    {"documents", OPTION_INT, offsetof(BenchOptions, documents), "MEAN", NULL, 1, 1e9,
     .doc = "attention: also with a mask of documents of random lengths (causal)"},
    {"NH_kv", OPTION_INT, offsetof(BenchOptions, NH_kv), "N", NULL, 1, 1e6,
     .doc = "attention: heads of k and v, shared by groups of heads of q; NH by default"},
    {"Tk", OPTION_INT, offsetof(BenchOptions, Tk), "N", NULL, 1, 1 << 24,
     .doc = "attention: keys per row, if different from the number of queries"},
    {"alignment", OPTION_CHOICE, offsetof(BenchOptions, alignment), "auto|upper_left|lower_right",
     "auto", .doc = "attention: corner of the causal diagonal if Tk is not T; auto is upper_left"},
    {"key-lengths", OPTION_TEXT, offsetof(BenchOptions, key_lengths), "N[,N...]", NULL,
     .doc = "attention: number of keys of the batch's rows in turn; the rest is padding"},
    {"bias", OPTION_CHOICE, offsetof(BenchOptions, bias), "none|boolean|additive", "none",
     .doc =
         "attention: elementwise mask; a boolean one hides half, an additive one has a gradient"},
    {"bias-dims", OPTION_CHOICE, offsetof(BenchOptions, bias_dims),
     "auto|qk|hqk|bqk|bhqk|k|hk|bk|bhk", "auto",
     .doc = "attention: dimensions of the bias, of batch, heads, queries, keys; broadcast over the "
            "others; auto is qk"},
    {"dropout", OPTION_NUMBER, offsetof(BenchOptions, dropout), "P", NULL, 0, 0.999,
     .doc = "attention: probability of dropping a weight"},
    {"layout", OPTION_CHOICE, offsetof(BenchOptions, layout), "auto|packed|tokens|heads", "auto",
     .doc = "attention: packed q, k and v, (B, T, NH, HS) or (B, NH, T, HS); auto is packed, or "
            "tokens with --Tk"},
    {"backends", OPTION_TEXT, offsetof(BenchOptions, backends), "NAME[,NAME...]", NULL,
     .doc = "attention, numerics: backends to measure, in this order; all by default"},
    {"csv", OPTION_TEXT, offsetof(BenchOptions, csv), "FILE", NULL,
     .doc = "attention, ladder, numerics, allreduce: also write the rows as CSV"},
    {"plot", OPTION_TEXT, offsetof(BenchOptions, plot), "FILE", NULL,
     .doc = "attention, ladder, numerics: draw a chart, FILE.svg or FILE.png, with gnuplot"},
};

static const char *const commands[] = {"step",     "attention", "ladder",
                                       "numerics", "allreduce", NULL};

static const CommandLine command = {
    .name = "bench",
    .purpose = "Measures this machine: a training step, the ladder of attention backends and sums "
               "over ranks, with\n"
               "key=value of the config; attention alone and its error.",
    .operands = "step|attention|ladder|numerics|allreduce",
    .commands = commands,
    .least = 1,
    .most = 1,
    .takes_overrides = true,
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

/* Each option's doc starts with the commands to which it applies. */
static bool is_for(const Option *option, const char *what) {
    size_t head = strcspn(option->doc, ":"), length = strlen(what);
    for (const char *at = option->doc; (size_t)(at - option->doc) + length <= head; at++) {
        if (strncmp(at, what, length) == 0) return true;
    }
    return false;
}

/* Refuses an option that the command does not use. */
static Status check_options(const char *what, int argc, char **argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--", 2) != 0) continue;
        size_t length = strcspn(argv[i] + 2, "=");
        for (size_t k = 0; k < sizeof options / sizeof *options; k++) {
            bool is_it = strlen(options[k].name) == length &&
                         strncmp(options[k].name, argv[i] + 2, length) == 0;
            if (is_it && !is_for(&options[k], what)) {
                return ERROR(STATUS_USAGE, "--%s does not apply to bench %s; see --help",
                             options[k].name, what);
            }
        }
    }
    return OK;
}

static Status bench(const char *what, const BenchOptions *values) {
    if (strcmp(what, "step") == 0) return bench_step(values, stdout);
    if (strcmp(what, "allreduce") == 0) return bench_allreduce(values, stdout);
    BenchOutput output;
    Status status = bench_output_open(values->csv, values->plot, stdout, &output);
    bool is_ladder = strcmp(what, "ladder") == 0, is_attention = strcmp(what, "attention") == 0;
    if (!failed(status) && !is_ladder && values->override_count > 0) {
        status = ERROR(STATUS_USAGE, "bench %s takes no key=value; see --help", what);
    }
    if (!failed(status)) {
        status = is_attention ? bench_attention(values, &output)
                 : is_ladder  ? bench_ladder(values, &output)
                              : bench_numerics(values, &output);
    }
    return bench_output_close(&output, status, stderr);
}

int main(int argc, char **argv) {
    at_load_restore();
    thread_wait_choose(argv);
    streams_open();
    BenchOptions values = {0};
    Arguments arguments;
    Status status = world_create(&argc, &argv, &values.world);
    if (failed(status)) return status_report("bench", status);
    status = world_agree(values.world, options_parse(&command, argc, argv, &values, &arguments));
    if (!failed(status) && (arguments.help || arguments.version)) {
        if (world_rank(values.world) == 0)
            options_answer(&command, &arguments, &build_info, stdout);
    } else if (!failed(status)) {
        values.override_count = arguments.override_count;
        values.overrides = arguments.overrides;
        status = check_options(arguments.operands[0], argc, argv);
        if (!failed(status)) status = bench(arguments.operands[0], &values);
    }
    int code = world_report(values.world, streams_flush(status));
    arguments_destroy(&arguments);
    world_destroy(&values.world);
    return code;
}
