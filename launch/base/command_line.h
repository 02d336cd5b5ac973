/* The table of a program's command line: see options.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef enum OptionType {
    OPTION_FLAG,   /* bool: present or not */
    OPTION_TEXT,   /* const char *; borrows argv */
    OPTION_CHOICE, /* int: the index in value, `a|b|c` */
    OPTION_INT,    /* int64_t; accepts 10k and 1M */
    OPTION_NUMBER, /* double */
} OptionType;

/* The default of an option, as text, from a constant that is a number. */
#define OPTION_DEFAULT(number) OPTION_AS_TEXT(number)
#define OPTION_AS_TEXT(number) #number

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
