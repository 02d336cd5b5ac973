/* train: trains a GPT from one YAML file. */
#include "core/base/clock.h"
#include "launch/base/at_load.h"
#include "launch/base/options.h"
#include "launch/base/process_age.h"
#include "launch/base/signals.h"
#include "launch/base/streams.h"
#include "launch/base/thread_wait.h"
#include "launch/config/config_load.h"
#include "launch/config/value.h"
#include "launch/run/config_agree.h"
#include "launch/run/experiment_plan.h"
#include "launch/run/memory_report.h"
#include "launch/run/profile.h"
#include "launch/run/run_log.h"
#include "launch/run/run_open.h"
#include "launch/run/run_train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct TrainOptions {
    bool plan, print_config, profile;
    const char *resume, *device_memory;
    const char *network;
    int64_t ranks, hosts;
} TrainOptions;

static const Option options[] = {
    {"plan", OPTION_FLAG, offsetof(TrainOptions, plan),
     .doc = "print the memory plan and stop; nothing is allocated"},
    {"device-memory", OPTION_TEXT, offsetof(TrainOptions, device_memory), "BYTES", NULL,
     .doc = "with --plan, for a GPU that this machine lacks: its memory (default: 80GiB)"},
    {"ranks", OPTION_INT, offsetof(TrainOptions, ranks), "N", NULL, 1, 1e6,
     .doc = "with --plan: number of ranks"},
    {"hosts", OPTION_INT, offsetof(TrainOptions, hosts), "M", NULL, 1, 1e6,
     .doc = "with --ranks: predict the time with communication, the ranks being on M hosts"},
    {"network", OPTION_TEXT, offsetof(TrainOptions, network), "RATE", NULL,
     .doc = "with --hosts above 1: bandwidth of each host, such as 400Gb/s"},
    {"print-config", OPTION_FLAG, offsetof(TrainOptions, print_config),
     .doc = "print the resolved config and stop"},
    {"profile", OPTION_FLAG, offsetof(TrainOptions, profile),
     .doc = "at the end, time every op of the last micro-batch; trace.json for Chrome"},
    {"resume", OPTION_TEXT, offsetof(TrainOptions, resume), "auto|none|PATH", "auto",
     .doc = "resume from the newest good checkpoint, from none, or from PATH"},
};

static const CommandLine command = {
    .name = "train",
    .purpose = "Trains a GPT from a config: mpirun -np N ./train CONFIG [key=value ...]",
    .operands = "CONFIG",
    .least = 1,
    .most = 1,
    .takes_overrides = true,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .more = config_help,
};

/* --hosts and --network. */
static Status network_suppose(const TrainOptions *values, PlanFor *plan) {
    if (values->hosts > 0 && values->ranks == 0) {
        return ERROR(STATUS_USAGE, "--hosts requires --ranks, the number of ranks on all hosts");
    }
    if (values->hosts > 0 && values->ranks % values->hosts != 0) {
        return ERROR(STATUS_USAGE, "--ranks=%lld does not divide into %lld hosts",
                     (long long)values->ranks, (long long)values->hosts);
    }
    if (values->network == NULL && values->hosts > 1)
        return ERROR(STATUS_USAGE, "--hosts above 1 requires --network, such as 400Gb/s");
    if (values->network != NULL && values->hosts < 2)
        return ERROR(STATUS_USAGE, "--network requires --hosts above 1");
    plan->hosts = values->hosts;
    if (values->network == NULL || value_parse_rate(values->network, &plan->network)) return OK;
    return ERROR(STATUS_USAGE, "--network requires a bandwidth such as 400Gb/s, not '%s'",
                 values->network);
}

static Status plan_suppose(const TrainOptions *values, PlanFor *plan) {
    ConfigBudget memory;
    const char *bytes = values->device_memory == NULL ? "80GiB" : values->device_memory;
    if (!value_parse_budget(bytes, &memory) || memory.bytes == 0) {
        return ERROR(STATUS_USAGE,
                     "--device-memory requires a number of bytes such as 80GiB, not '%s'", bytes);
    }
    *plan = (PlanFor){.only = values->plan, .device_bytes = memory.bytes, .ranks = values->ranks};
    if (!values->plan && values->ranks > 0) {
        return ERROR(STATUS_USAGE, "--ranks requires --plan; mpirun sets the ranks of a run");
    }
    if (!values->plan && values->device_memory != NULL) {
        return ERROR(STATUS_USAGE,
                     "--device-memory requires --plan; a run uses the memory of this machine");
    }
    if (values->plan && values->print_config) {
        return ERROR(STATUS_USAGE, "--plan and --print-config exclude each other; choose one");
    }
    return network_suppose(values, plan);
}

/* Checks the config, the machine and the data, without using a device or a run directory. */
static Status load(Run *run) {
    Experiment *e = &run->e;
    TRY(experiment_open_device(e));
    run_mark(run, "device");
    return experiment_open_data(e);
}

static Status profile(Run *run) {
    char path[4096];
    bool leads = world_rank(run->e.world) == 0;
    if (run->start_s == 0) {
        metrics_say(run->metrics, "no step was left to run, so there is none to profile");
        return OK;
    }
    snprintf(path, sizeof path, "%s/trace.json", run->directory);
    Status status = profile_step(&run->e, leads ? stdout : NULL, leads ? path : NULL);
    return world_agree(run->e.world, leads ? streams_flush(status) : status);
}

static Status train(Run *run, const TrainOptions *values) {
    run->e.base_bytes = memory_resident();
    TRY(world_agree(run->e.world, experiment_allocate(&run->e)));
    run_mark(run, "memory");
    signals_install(); /* from here on the run has a directory to complete, and a loop that polls
                          requests */
    TRY(run_open(run, values->resume));
    run_mark(run, "directory");
    TRY(run_introduce(run));
    TRY(world_agree(run->e.world, run_summarize(run, "running")));
    Status status = run_train(run);
    if (!failed(status) && values->profile) status = profile(run);
    return run_end(run, status);
}

/* Refuses to train the config of a study: its runs have directories below this one's. */
static Status study_refuse(const Config *config, const char *path, const TrainOptions *values) {
    if (config->sweep == NULL || values->plan || values->print_config) return OK;
    return ERROR(STATUS_CONFIG,
                 "%s: is a study; run it with ./sweep, or set sweep=null to train its base config",
                 path);
}

/* From the config to the last step. All ranks agree on a failure before training, and report it
 * once. */
static Status run_all(Run *run, const TrainOptions *values, const Arguments *arguments) {
    World *world = run->e.world;
    TRY(plan_suppose(values, &run->e.plan));
    TRY(world_agree(world, config_load(arguments->operands[0], arguments->override_count,
                                       arguments->overrides, &run->config)));
    TRY(world_agree(world, study_refuse(run->config, arguments->operands[0], values)));
    experiment_configure(&run->e, run->config);
    bool leads = world_rank(world) == 0;
    if (values->print_config) {
        return world_agree(world, leads ? streams_flush(config_write(run->config, stdout)) : OK);
    }
    TRY(world_agree(world, run_adopt(run)));
    TRY(config_agree(&run->e));
    TRY(world_agree(world, load(run)));
    TRY(experiment_connect(&run->e));
    TRY(world_agree(world, experiment_plan(&run->e)));
    run_mark(run, "plan");
    if (values->plan)
        return world_agree(world, leads ? streams_flush(memory_print(&run->e, stdout)) : OK);
    return train(run, values);
}

/* Reports a failure once, and records in summary.json that the run does not fit. */
static int report(Run *run, const TrainOptions *values, Status status) {
    char message[2048];
    snprintf(message, sizeof message, "%s", status_message());
    int code = world_report(run->e.world, status);
    if (status.code == STATUS_OUT_OF_MEMORY && !values->plan) run_note_no_room(run, message);
    return code;
}

int main(int argc, char **argv) {
    at_load_restore();
    signals_prepare(); /* before a second load, which would ignore SIGINT while it lasts */
    thread_wait_choose(argv);
    streams_open();
    signals_prepare(); /* for SIGUSR1, whose handler the second load has lost */
    Run run = {.born = clock_seconds() - process_age()};
    run.marked_at = run.born;
    TrainOptions values = {0};
    Arguments arguments;
    Status status = world_create(&argc, &argv, &run.e.world);
    if (failed(status)) return status_report("train", status);
    run_mark(&run, "ranks");
    status = world_agree(run.e.world, options_parse(&command, argc, argv, &values, &arguments));
    if (!failed(status)) {
        bool asks = arguments.help || arguments.version;
        if (!asks)
            status = run_all(&run, &values, &arguments);
        else if (world_rank(run.e.world) == 0 &&
                 options_answer(&command, &arguments, &build_info, stdout))
            status = streams_flush(OK);
    }
    int code = report(&run, &values, status);
    run_close(&run);
    arguments_destroy(&arguments);
    world_destroy(&run.e.world);
    return code;
}
