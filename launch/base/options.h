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
 * Options are --NAME and --NAME=VALUE; `--` ends them. Every program has --help and --version. */
#pragma once

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HOURGLASS_VERSION "0.1.0"

/* How a program was built. The build generates build_info and links it into each program. */
typedef struct BuildInfo {
    const char *commit;    /* of the sources, with -dirty if they were changed; or unknown */
    const char *compiler;  /* and its version */
    const char *libraries; /* a line per library, with its version */
} BuildInfo;

extern const BuildInfo build_info;

typedef enum OptionType {
    OPTION_FLAG,   /* bool: present or not */
    OPTION_TEXT,   /* const char *; borrows argv */
    OPTION_CHOICE, /* int: the index in value, `a|b|c` */
    OPTION_INT,    /* int64_t; accepts 10k and 1M */
    OPTION_NUMBER, /* double */
} OptionType;

typedef struct Option {
    const char *name; /* without dashes */
    OptionType type;
    size_t offset;        /* in the program's struct of values */
    const char *value;    /* the name of the value in --help; for a choice its names as `a|b|c` */
    const char *fallback; /* the default as text; NULL: zero */
    double low, high;     /* limits of a number; low == high: no limits */
    bool required;
    const char *doc;
    bool may_be_empty; /* for OPTION_TEXT */
} Option;

typedef struct CommandLine {
    const char *name, *purpose;
    const char *operands;        /* operands in the usage line, such as `CONFIG` or `INPUT...` */
    const char *const *commands; /* the words allowed as first operand; NULL-terminated, or NULL */
    int least, most;             /* number of operands; most < 0: unlimited */
    bool takes_overrides;        /* `key=value` arguments are overrides, not operands */
    const Option *options;
    size_t option_count;
    void (*more)(FILE *file); /* writes further text after the options in --help; may be NULL */
} CommandLine;

typedef struct Arguments {
    bool help, version;
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
