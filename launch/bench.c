/* bench: how fast, and how exact, this machine is at what the project does. */
#include "launch/bench/bench.h"
#include "launch/base/at_load.h"
#include "launch/base/streams.h"
#include "launch/base/thread_wait.h"

#include <string.h>

static const Option options[] = {
    {"repeats", OPTION_INT, offsetof(BenchOptions, repeats), "N", "10", 1, 1e6,
     .doc = "step, attention, ladder, allreduce: timed runs; the median counts"},
    {"device", OPTION_CHOICE, offsetof(BenchOptions, device), "auto|cpu|cuda", "auto",
     .doc = "attention, ladder, numerics: where to compute; auto takes a GPU where there is one"},
    {"dtype", OPTION_CHOICE, offsetof(BenchOptions, dtype), "auto|f32|tf32|f16|bf16|f64", "auto",
     .doc = "attention: of q, k and v; auto is f16 on a GPU and f32 on the CPU"},
    {"B", OPTION_INT, offsetof(BenchOptions, B), "N", NULL, 1, 1e6,
     .doc = "attention, numerics: batch"},
    {"NH", OPTION_INT, offsetof(BenchOptions, NH), "N", NULL, 1, 1e6,
     .doc = "attention, numerics: heads"},
    {"T", OPTION_TEXT, offsetof(BenchOptions, T), "N[,N...]", NULL,
     .doc = "attention, numerics: length; attention takes several"},
    {"HS", OPTION_INT, offsetof(BenchOptions, HS), "N", NULL, 1, 4096,
     .doc = "attention, numerics: head size"},
    {"causal", OPTION_FLAG, offsetof(BenchOptions, causal),
     .doc = "attention, numerics: a query sees no later key"},
    {"window", OPTION_INT, offsetof(BenchOptions, window), "N", NULL, 1, 1e9,
     .doc = "attention: a query sees the last N keys (causal)"},
    {"documents", OPTION_INT, offsetof(BenchOptions, documents), "MEAN", NULL, 1, 1e9,
     .doc = "attention: also with documents of random lengths, kept apart (causal)"},
    {"NH_kv", OPTION_INT, offsetof(BenchOptions, NH_kv), "N", NULL, 1, 1e6,
     .doc = "attention: heads of k and v, shared by groups of heads of q; NH without it"},
    {"Tk", OPTION_INT, offsetof(BenchOptions, Tk), "N", NULL, 1, 1 << 24,
     .doc = "attention: keys of a row, where they are not as many as queries"},
    {"alignment", OPTION_CHOICE, offsetof(BenchOptions, alignment), "auto|upper_left|lower_right",
     "auto",
     .doc = "attention: the corner of the causal diagonal, where Tk is not T; auto is upper_left"},
    {"key-lengths", OPTION_TEXT, offsetof(BenchOptions, key_lengths), "N[,N...]", NULL,
     .doc = "attention: keys of the batch's rows in turn; what is behind them is padding"},
    {"bias", OPTION_CHOICE, offsetof(BenchOptions, bias), "none|boolean|additive", "none",
     .doc = "attention: a mask element by element: a boolean one hides half, an additive one has a "
            "gradient"},
    {"bias-dims", OPTION_CHOICE, offsetof(BenchOptions, bias_dims),
     "auto|qk|hqk|bqk|bhqk|k|hk|bk|bhk", "auto",
     .doc = "attention: its dimensions out of batch, heads, queries, keys; broadcast over the "
            "others; auto is qk"},
    {"dropout", OPTION_NUMBER, offsetof(BenchOptions, dropout), "P", NULL, 0, 0.999,
     .doc = "attention: the share of weights that training drops"},
    {"layout", OPTION_CHOICE, offsetof(BenchOptions, layout), "auto|packed|tokens|heads", "auto",
     .doc = "attention: q, k, v in one tensor, (B, T, NH, HS) or (B, NH, T, HS); auto is packed, "
            "with --Tk tokens"},
    {"backends", OPTION_TEXT, offsetof(BenchOptions, backends), "NAME[,NAME...]", NULL,
     .doc = "attention, numerics: those to measure, in this order; all without it"},
    {"csv", OPTION_TEXT, offsetof(BenchOptions, csv), "FILE", NULL,
     .doc = "attention, ladder, numerics, allreduce: the rows as CSV, too"},
    {"plot", OPTION_TEXT, offsetof(BenchOptions, plot), "FILE", NULL,
     .doc = "attention, ladder, numerics: a picture, FILE.svg or FILE.png, by gnuplot"},
};

static const char *const commands[] = {"step",     "attention", "ladder",
                                       "numerics", "allreduce", NULL};

static const CommandLine command = {
    .name = "bench",
    .purpose = "Measures this machine: a training step, the ladder of attention backends and sums "
               "over ranks, which take\n"
               "key=value of the config, and attention alone and its error.",
    .operands = "step|attention|ladder|numerics|allreduce",
    .commands = commands,
    .least = 1,
    .most = 1,
    .takes_overrides = true,
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

/* Each option's doc begins with the commands that it is for. */
static bool is_for(const Option *option, const char *what) {
    size_t head = strcspn(option->doc, ":"), length = strlen(what);
    for (const char *at = option->doc; (size_t)(at - option->doc) + length <= head; at++) {
        if (strncmp(at, what, length) == 0) return true;
    }
    return false;
}

/* An option that the command would pass over is refused. */
static Status check_options(const char *what, int argc, char **argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--", 2) != 0) continue;
        size_t length = strcspn(argv[i] + 2, "=");
        for (size_t k = 0; k < sizeof options / sizeof *options; k++) {
            bool is_it = strlen(options[k].name) == length &&
                         strncmp(options[k].name, argv[i] + 2, length) == 0;
            if (is_it && !is_for(&options[k], what)) {
                return ERROR(STATUS_USAGE, "--%s is not for bench %s; see --help", options[k].name,
                             what);
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
        if (world_rank(values.world) == 0) options_answer(&command, &arguments, stdout);
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
