/* Options: a program's command line, declared as one table that makes both the parsing and --help.
 *
 *   typedef struct Values { bool plan; const char *resume; int64_t seed; } Values;
 *   static const Option options[] = {
 *       {"plan", OPTION_FLAG, offsetof(Values, plan), .doc = "print the memory plan and stop"},
 *       {"resume", OPTION_TEXT, offsetof(Values, resume), "auto|none|PATH", "auto", .doc = "where
 *       to go on from"},
 *   };
 *   static const CommandLine program = {.name = "train", .purpose = "Trains a GPT.", .operands =
 *   "CONFIG",
 *                                   .least = 1, .most = 1, .takes_overrides = true,
 *                                   .options = options, .option_count = COUNT(options), .more =
 *                                   config_help};
 *
 * Options are --NAME, --NAME=VALUE; `--` ends them. Every program has --help and --version. */
#pragma once

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HOURGLASS_VERSION "0.1.0"

typedef enum OptionType {
    OPTION_FLAG,   /* bool: there or not */
    OPTION_TEXT,   /* const char *; borrows argv */
    OPTION_CHOICE, /* int: the index in value, `a|b|c` */
    OPTION_INT,    /* int64_t; 10k and 1M are understood */
    OPTION_NUMBER, /* double */
} OptionType;

typedef struct Option {
    const char *name; /* without its dashes */
    OptionType type;
    size_t offset;        /* in the program's struct of values */
    const char *value;    /* how --help calls the value; a choice's names as `a|b|c` */
    const char *fallback; /* the default as text; NULL: the member stays zero */
    double low, high;     /* of a number; low == high: any */
    bool required;
    const char *doc;
    bool may_be_empty; /* a text */
} Option;

typedef struct CommandLine {
    const char *name, *purpose;
    const char *operands; /* how the usage line calls them, such as `CONFIG` or `INPUT...` */
    const char *const
        *commands;   /* where the first operand is a word out of these; NULL-terminated, or NULL */
    int least, most; /* operands; most < 0: any number */
    bool takes_overrides; /* `key=value` arguments are overrides, not operands */
    const Option *options;
    size_t option_count;
    void (*more)(FILE *file); /* writes what follows the options in --help; or NULL */
} CommandLine;

typedef struct Arguments {
    bool help, version;
    int operand_count, override_count;
    char **operands, **overrides; /* borrow argv's strings */
} Arguments;

/* Parses argv into `values`, the program's struct, and `out`. With --help or --version nothing else
 * is checked. Errors: STATUS_USAGE, one line that names the argument and what would be right. `out`
 * may be destroyed either way. Not collective. */
NODISCARD Status options_parse(const CommandLine *program, int argc, char **argv, void *values,
                               Arguments *out);

/* Where --help or --version was asked: prints the answer and returns true; the program then exits
 * with 0. */
bool options_answer(const CommandLine *program, const Arguments *arguments, FILE *file);

void arguments_destroy(Arguments *arguments);
