/* Options: a program's command line, declared as one table. The table drives both the parser and
 * --help.
 *
 *   typedef struct TrainOptions { bool plan; const char *resume; int64_t seed; } TrainOptions;
 *   static const Option options[] = {
 *       {"plan", OPTION_FLAG, offsetof(TrainOptions, plan), .doc = "print the plan"},
 *       {"resume", OPTION_TEXT, offsetof(TrainOptions, resume), "auto|none|PATH", "auto",
 *        .doc = "checkpoint to resume from"},
 *   };
 *   static const CommandLine program = {
 *       .name = "train", .purpose = "Trains a GPT.", .operands = "CONFIG",
 *       .least = 1, .most = 1, .takes_overrides = true,
 *       .options = options, .option_count = COUNT(options), .more = config_help,
 *   };
 *
 * Options are --NAME and --NAME=VALUE; `--` ends them. Every program has --help and --version, and
 * --help=json, the table for programs (options_json.h). */
#pragma once

#include "core/status.h"
#include "launch/base/command_line.h"

#include <stdbool.h>
#include <stdio.h>

#define HOURGLASS_VERSION "0.1.0"

/* How a program was built. The build generates build_info and links it into each program. */
typedef struct BuildInfo {
    const char *commit;    /* of the sources, with -dirty if they were changed; or unknown */
    const char *compiler;  /* and its version */
    const char *libraries; /* a line per library, with its version */
} BuildInfo;

extern const BuildInfo build_info;

typedef struct Arguments {
    bool help, help_json, version;
    const char *prefix; /* of the program's name in its usage: as it was called */
    int operand_count, override_count;
    char **operands, **overrides; /* borrow the strings of argv */
} Arguments;

/* Parses argv into `values`, the program's struct, and `out`. Checks nothing else if --help or
 * --version is given. Errors: STATUS_USAGE, one line with the argument and its valid form. `out`
 * may be destroyed in either case. Not collective. */
NODISCARD Status options_parse(const CommandLine *program, int argc, char **argv, void *values,
                               Arguments *out);

/* If --help or --version was given, prints the answer and returns true; the program then exits with
 * 0. --version prints version, commit, compiler, processor and libraries. */
bool options_answer(const CommandLine *program, const Arguments *arguments, const BuildInfo *build,
                    FILE *file);

void arguments_destroy(Arguments *arguments);
