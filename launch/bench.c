/* bench: how fast this machine is at what the project does. */
#include "launch/bench/bench.h"

#include <string.h>

static const Option options[] = {
    {"repeats", OPTION_INT, offsetof(BenchOptions, repeats), "N", "10", 1, 1e6, .doc = "timed runs; the median counts"},
    {"B", OPTION_INT, offsetof(BenchOptions, B), "N", NULL, 1, 1e6, .doc = "attention: batch"},
    {"NH", OPTION_INT, offsetof(BenchOptions, NH), "N", NULL, 1, 1e6, .doc = "attention: heads"},
    {"T", OPTION_INT, offsetof(BenchOptions, T), "N", NULL, 1, 1e6, .doc = "attention: one length, not the table"},
    {"HS", OPTION_INT, offsetof(BenchOptions, HS), "N", NULL, 1, 1e6, .doc = "attention: head size"},
    {"csv", OPTION_TEXT, offsetof(BenchOptions, csv), "PATH", NULL, .doc = "attention: write the rows there, too"},
};

static const char *const commands[] = {"step", "attention", NULL};

static const CommandLine command = {
    .name = "bench",
    .purpose = "Measures this machine: a training step (with key=value of the config), or the attention backends.",
    .operands = "step|attention",
    .commands = commands,
    .least = 1,
    .most = 1,
    .takes_overrides = true,
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

static Status bench(const char *what, const BenchOptions *values) {
    return strcmp(what, "step") == 0 ? bench_step(values, stdout) : bench_attention(values, stdout);
}

int main(int argc, char **argv) {
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
        status = bench(arguments.operands[0], &values);
    }
    int code = world_report(values.world, status);
    arguments_destroy(&arguments);
    world_destroy(&values.world);
    return code;
}
