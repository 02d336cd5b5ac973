#include "launch/base/options.h"

#include "launch/base/options_json.h"
#include "launch/base/processor.h"
#include "launch/config/other_programs.h"
#include "launch/config/suggest.h"
#include "launch/config/value.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const Option help_option = {"help", OPTION_FLAG, offsetof(Arguments, help),
                                   .doc = "print this"};
static const Option version_option = {"version", OPTION_FLAG, offsetof(Arguments, version),
                                      .doc = "print the version and how it was built"};

static const char *kind_of(const Option *option) {
    switch (option->type) {
    case OPTION_CHOICE: return "one of ";
    case OPTION_INT: return "an integer, ";
    case OPTION_NUMBER: return "a number, ";
    default: return "";
    }
}

static Status bad_value(const Option *option, const char *text) {
    return ERROR(STATUS_USAGE, "--%s requires %s%s, not '%.200s'; see --help", option->name,
                 kind_of(option), option->value, text);
}

static Status check_range(const Option *option, double value, const char *text) {
    if (option->low == option->high || (value >= option->low && value <= option->high)) return OK;
    return ERROR(STATUS_USAGE, "--%s must be between %g and %g, not %.200s", option->name,
                 option->low, option->high, text);
}

/* The position of `text` in `a|b|c`, or -1. */
static int choice_index(const char *choices, const char *text) {
    size_t length = strlen(text);
    for (int i = 0;; i++) {
        size_t bytes = strcspn(choices, "|");
        if (bytes == length && strncmp(choices, text, bytes) == 0) return i;
        if (choices[bytes] == '\0') return -1;
        choices += bytes + 1;
    }
}

static Status set_value(const Option *option, const char *text, void *values) {
    void *out = (char *)values + option->offset;
    switch (option->type) {
    case OPTION_FLAG: *(bool *)out = true; return OK;
    case OPTION_TEXT:
        if (*text == '\0' && !option->may_be_empty) return bad_value(option, text);
        *(const char **)out = text;
        return OK;
    case OPTION_CHOICE:
        *(int *)out = choice_index(option->value, text);
        return *(int *)out < 0 ? bad_value(option, text) : OK;
    case OPTION_INT:
        if (!value_parse_int(text, out)) return bad_value(option, text);
        return check_range(option, (double)*(int64_t *)out, text);
    case OPTION_NUMBER:
        if (!value_parse_float(text, out)) return bad_value(option, text);
        return check_range(option, *(double *)out, text);
    }
    return OK;
}

static const Option *find_option(const CommandLine *program, const char *name, size_t bytes) {
    for (size_t i = 0; i < program->option_count; i++) {
        const char *known = program->options[i].name;
        if (strncmp(known, name, bytes) == 0 && known[bytes] == '\0') return &program->options[i];
    }
    return NULL;
}

static Status unknown_option(const CommandLine *program, const char *argument) {
    const char *name = argument + strspn(argument, "-");
    char word[64], advice[256];
    if (program->takes_overrides && option_translate(argument, advice, sizeof advice))
        return ERROR(STATUS_USAGE, "unknown option '%.200s'; %s", argument, advice);
    snprintf(word, sizeof word, "%.*s", (int)strcspn(name, "="), name);
    const char *near = NULL;
    const char **names = calloc(program->option_count + 3, sizeof *names);
    if (names == NULL) return OUT_OF_MEMORY("the options");
    for (size_t i = 0; i < program->option_count; i++) names[i] = program->options[i].name;
    names[program->option_count] = help_option.name;
    names[program->option_count + 1] = version_option.name;
    near = suggest(word, names);
    free(names);
    if (near != NULL)
        return ERROR(STATUS_USAGE, "unknown option '%.200s'; did you mean '--%s'?", argument, near);
    return ERROR(STATUS_USAGE, "unknown option '%.200s'; see --help", argument);
}

static Status parse_option(const CommandLine *program, char *argument, void *values, bool *seen) {
    const char *name = argument + 2;
    size_t bytes = strcspn(name, "=");
    const Option *option = find_option(program, name, bytes);
    if (option == NULL) return unknown_option(program, argument);
    bool has_value = name[bytes] == '=';
    if (option->type == OPTION_FLAG && has_value) {
        return ERROR(STATUS_USAGE, "--%s takes no value", option->name);
    }
    if (option->type != OPTION_FLAG && !has_value) {
        return ERROR(STATUS_USAGE, "--%s requires a value: --%s=%s", option->name, option->name,
                     option->value);
    }
    if (seen[option - program->options])
        return ERROR(STATUS_USAGE, "--%s is given twice", option->name);
    seen[option - program->options] = true;
    return set_value(option, name + bytes + has_value, values);
}

/* Whether an argument is `key.path=...`. An argument with a slash before its '=' is a path. */
static bool is_override(const char *argument) {
    size_t bytes = 0;
    while (isalnum((unsigned char)argument[bytes]) ||
           (argument[bytes] != '\0' && strchr("_.-", argument[bytes])))
        bytes++;
    return bytes > 0 && argument[bytes] == '=';
}

/* An empty value is most likely an unset variable of a script. */
static Status parse_override(char *argument, Arguments *out) {
    int key = (int)strcspn(argument, "=");
    if (argument[key + 1] == '\0')
        return ERROR(STATUS_USAGE, "'%.200s' lacks a value; write %.*s=null for the default",
                     argument, key, argument);
    out->overrides[out->override_count++] = argument;
    return OK;
}

/* `temperature=1` for `--temperature=1`; otherwise one operand too many. */
static Status unexpected(const CommandLine *program, const char *prefix, const char *argument) {
    char most[32] = "";
    const Option *option = find_option(program, argument, strcspn(argument, "="));
    if (option != NULL && strchr(argument, '=') != NULL)
        return ERROR(STATUS_USAGE, "unexpected argument '%.200s'; did you mean '--%.200s'?",
                     argument, argument);
    if (strstr(program->operands, "...") != NULL)
        snprintf(most, sizeof most, ", at most %d", program->most);
    return ERROR(STATUS_USAGE, "unexpected argument '%.200s'; %s%s takes %s%s; see --help",
                 argument, prefix, program->name, program->operands, most);
}

static Status parse_operand(const CommandLine *program, char *argument, Arguments *out) {
    if (program->takes_overrides && is_override(argument)) return parse_override(argument, out);
    if (argument[0] ==
        '\0') { /* an unset variable of a script; as a path it would mean the root directory */
        return ERROR(STATUS_USAGE, "an argument is empty; %s%s takes %s; see --help", out->prefix,
                     program->name, program->operands);
    }
    if (program->most >= 0 && out->operand_count >= program->most) {
        return unexpected(program, out->prefix, argument);
    }
    out->operands[out->operand_count++] = argument;
    return OK;
}

static Status check_command(const CommandLine *program, const Arguments *arguments) {
    if (program->commands == NULL || arguments->operand_count == 0) return OK;
    const char *word = arguments->operands[0];
    for (size_t i = 0; program->commands[i] != NULL; i++) {
        if (strcmp(program->commands[i], word) == 0) return OK;
    }
    const char *near = suggest(word, program->commands);
    if (near != NULL)
        return ERROR(STATUS_USAGE, "unknown command '%.200s'; did you mean '%s'?", word, near);
    return ERROR(STATUS_USAGE, "unknown command '%.200s'; see --help", word);
}

static Status check_complete(const CommandLine *program, const Arguments *arguments,
                             const bool *seen) {
    if (arguments->operand_count < program->least) {
        return ERROR(STATUS_USAGE, "%s is missing: %s%s %s; see --help", program->operands,
                     arguments->prefix, program->name, program->operands);
    }
    for (size_t i = 0; i < program->option_count; i++) {
        const Option *option = &program->options[i];
        if (!option->required || seen[i]) continue;
        return ERROR(STATUS_USAGE, "--%s=%s is missing; see --help", option->name, option->value);
    }
    return check_command(program, arguments);
}

static Status set_defaults(const CommandLine *program, void *values) {
    for (size_t i = 0; i < program->option_count; i++) {
        const Option *option = &program->options[i];
        if (option->fallback != NULL) TRY(set_value(option, option->fallback, values));
    }
    return OK;
}

static bool asks(int argc, char **argv, const char *name) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0) return true;
    }
    return false;
}

static Status parse_all(const CommandLine *program, int argc, char **argv, void *values,
                        Arguments *out, bool *seen) {
    bool options_ended = false;
    for (int i = 1; i < argc; i++) {
        char *argument = argv[i];
        if (options_ended || argument[0] != '-' || argument[1] == '\0') {
            TRY(parse_operand(program, argument, out));
        } else if (strcmp(argument, "--") == 0) {
            options_ended = true;
        } else if (argument[1] != '-') {
            TRY(unknown_option(program, argument));
        } else {
            TRY(parse_option(program, argument, values, seen));
        }
    }
    return check_complete(program, out, seen);
}

/* Installed programs have a prefix, because other packages have a `convert`. */
static const char *prefix_of(const char *path) {
    static const char installed[] = "hourglass-";
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    return strncmp(name, installed, sizeof installed - 1) == 0 ? installed : "./";
}

Status options_parse(const CommandLine *program, int argc, char **argv, void *values,
                     Arguments *out) {
    *out = (Arguments){.help = asks(argc, argv, "help"),
                       .help_json = asks(argc, argv, "help=json"),
                       .version = asks(argc, argv, "version"),
                       .prefix = prefix_of(argv[0])};
    if (out->help_json) out->help = true;
    if (out->help || out->version) return OK;
    bool *seen = calloc(program->option_count + 1, sizeof *seen);
    out->operands = calloc((size_t)argc + 1, sizeof *out->operands);
    out->overrides = calloc((size_t)argc + 1, sizeof *out->overrides);
    Status status = OK;
    if (seen == NULL || out->operands == NULL || out->overrides == NULL) {
        status = OUT_OF_MEMORY("the options");
    }
    if (!failed(status)) status = set_defaults(program, values);
    if (!failed(status)) status = parse_all(program, argc, argv, values, out, seen);
    free(seen);
    if (failed(status)) arguments_destroy(out);
    return status;
}

static void print_option(const Option *option, FILE *file) {
    char usage[80];
    snprintf(usage, sizeof usage, "--%s%s%s", option->name, option->value == NULL ? "" : "=",
             option->value == NULL ? "" : option->value);
    fprintf(file, "  %-34s %s", usage, option->doc);
    if (option->fallback != NULL) fprintf(file, " (%s)", option->fallback);
    if (option->required) fputs(" (required)", file);
    fputc('\n', file);
}

static void print_help(const CommandLine *program, const char *prefix, FILE *file) {
    const char *operands = program->operands == NULL ? "" : program->operands;
    fprintf(file, "Usage: %s%s%s%s%s [options]\n\n%s\n", prefix, program->name,
            *operands == '\0' ? "" : " ", operands,
            program->takes_overrides ? " [key=value ...]" : "", program->purpose);
    if (program->commands != NULL) {
        fputs("\nCommands:", file);
        for (size_t i = 0; program->commands[i] != NULL; i++)
            fprintf(file, " %s", program->commands[i]);
        fputc('\n', file);
    }
    fputs("\nOptions:\n", file);
    for (size_t i = 0; i < program->option_count; i++) print_option(&program->options[i], file);
    print_option(&help_option, file);
    print_option(&version_option, file);
    if (program->more == NULL) return;
    fputc('\n', file);
    program->more(file);
}

static void print_version(const CommandLine *program, const BuildInfo *build, FILE *file) {
    fprintf(file, "%s (Hourglass) %s\n%-11s %s\n%-11s %s\n%-11s %s\n%s\n", program->name,
            HOURGLASS_VERSION, "commit", build->commit, "compiler", build->compiler, "processor",
            processor_march, build->libraries);
}

bool options_answer(const CommandLine *program, const Arguments *arguments, const BuildInfo *build,
                    FILE *file) {
    if (arguments->help_json) {
        options_write_json(program, file);
    } else if (arguments->help) {
        print_help(program, arguments->prefix, file);
    } else if (arguments->version) {
        print_version(program, build, file);
    }
    return arguments->help || arguments->version;
}

void arguments_destroy(Arguments *arguments) {
    free(arguments->operands);
    free(arguments->overrides);
    *arguments = (Arguments){0};
}
