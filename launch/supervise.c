/* supervise: a run under mpirun that starts again after a failure. */
#include "launch/supervise/supervisor.h"

#include "launch/base/at_load.h"
#include "launch/base/options.h"
#include "launch/base/process.h"
#include "launch/base/streams.h"
#include "launch/config/config_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const Option options[] = {
    {"ranks", OPTION_INT, offsetof(SupervisorOptions, ranks), "N", "1", 1, 100000,
     .doc = "ranks of the run; mpirun's -np"},
    {"hostfile", OPTION_TEXT, offsetof(SupervisorOptions, hostfile), "FILE",
     .doc = "hosts and their slots, as for mpirun; hosts that do not answer are left out"},
    {"tries", OPTION_INT, offsetof(SupervisorOptions, tries), "N", "10", 1, 1e6,
     .doc = "give up after this many failures without a new checkpoint"},
};

static void print_notes(FILE *file) {
    fputs("Exit codes 64, 65, 71 and 78 (command, data, memory, config) end it: they would come "
          "again. SIGUSR1,\n"
          "SIGTERM and Ctrl-C save and end the run with 75. See docs/cluster.md.\n",
          file);
}

static const CommandLine command = {
    .name = "supervise",
    .purpose = "Trains a config under mpirun, and starts again after failures: ./supervise CONFIG "
               "--ranks=N",
    .operands = "CONFIG",
    .least = 1,
    .most = 1,
    .takes_overrides = true,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .more = print_notes,
};

static Status supervise(SupervisorOptions *o, const Arguments *arguments, int *code) {
    Config *config = NULL;
    o->config_path = arguments->operands[0];
    o->overrides = arguments->overrides;
    o->override_count = arguments->override_count;
    TRY(config_load(o->config_path, o->override_count, arguments->overrides, &config));
    Status status = OK;
    if (config->sweep != NULL) {
        status = ERROR(STATUS_CONFIG, "%s: is a study; run it with ./sweep", o->config_path);
    } else if ((o->ranks > 1 || o->hostfile != NULL) && !process_can_find("mpirun")) {
        status = ERROR(STATUS_CONFIG, "mpirun is not in PATH; install Open MPI");
    } else {
        status = supervisor_run(config, o, code);
    }
    config_destroy(&config);
    return status;
}

int main(int argc, char **argv) {
    at_load_restore();
    streams_open();
    SupervisorOptions values = {0};
    Arguments arguments;
    int code = 0;
    Status status = options_parse(&command, argc, argv, &values, &arguments);
    if (!failed(status) && !options_answer(&command, &arguments, &build_info, stdout))
        status = supervise(&values, &arguments, &code);
    arguments_destroy(&arguments);
    int own = streams_report("supervise", status);
    return own != 0 ? own : code;
}
