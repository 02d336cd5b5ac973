#include "launch/base/options.h"
#include "launch/base/processor.h"
#include "tests/harness.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct Values {
    bool plan;
    const char *resume, *out;
    int format;
    int64_t samples;
    double temperature;
} Values;

static const Option options[] = {
    {"plan", OPTION_FLAG, offsetof(Values, plan), .doc = "print the plan"},
    {"resume", OPTION_TEXT, offsetof(Values, resume), "auto|none|PATH", "auto",
     .doc = "where to go on"},
    {"format", OPTION_CHOICE, offsetof(Values, format), "h5|bin", "h5", .doc = "what to write"},
    {"num-samples", OPTION_INT, offsetof(Values, samples), "N", "1", .low = 1, .high = 1000,
     .doc = "how many"},
    {"temperature", OPTION_NUMBER, offsetof(Values, temperature), "T", "0.8", .low = 0, .high = 10,
     .doc = "how hot"},
};
static void print_more(FILE *file) { fputs("More.\n", file); }
static const CommandLine train = {.name = "train",
                                  .purpose = "Trains.",
                                  .operands = "CONFIG",
                                  .least = 1,
                                  .most = 1,
                                  .takes_overrides = true,
                                  .options = options,
                                  .option_count = COUNT(options),
                                  .more = print_more};

static const Option required[] = {
    {"out", OPTION_TEXT, offsetof(Values, out), "DIR", .required = true, .doc = "where to"}};
static const CommandLine prepare = {.name = "prepare",
                                    .operands = "INPUT...",
                                    .least = 1,
                                    .most = -1,
                                    .options = required,
                                    .option_count = 1};

static const char *const words[] = {"attention", "ladder", "step", NULL};
static const CommandLine bench = {
    .name = "bench", .operands = "WHAT", .commands = words, .least = 1, .most = 1};

static const BuildInfo build = {"0123abc", "gcc 12.2.0", "zlib        1.2.13"};

#define PARSE(program, values, arguments, ...)                                                     \
    options_parse(&(program), (int)COUNT(((char *[]){"x", __VA_ARGS__})),                          \
                  (char *[]){"x", __VA_ARGS__}, &(values), &(arguments))

static void check_refused(const CommandLine *program, char *argument, char *second,
                          const char *part) {
    Values values = {0};
    Arguments arguments;
    char *argv[] = {"x", argument, second, NULL};
    int argc = argument == NULL ? 1 : second == NULL ? 2 : 3;
    Status status = options_parse(program, argc, argv, &values, &arguments);
    CHECK_ERROR(status, STATUS_USAGE, part);
    CHECK(status_exit_code(status.code) == 64);
    CHECK(strchr(status_message(), '\n') == NULL);
    arguments_destroy(&arguments);
}

static void defaults_hold(void) {
    Values v = {0};
    Arguments a;
    REQUIRE_OK(PARSE(train, v, a, "c.yaml"));
    CHECK(!v.plan && strcmp(v.resume, "auto") == 0 && v.format == 0 && v.samples == 1 &&
          v.temperature == 0.8);
    CHECK(a.operand_count == 1 && strcmp(a.operands[0], "c.yaml") == 0 && a.override_count == 0);
    arguments_destroy(&a);
}

static void everything_is_read(void) {
    Values v = {0};
    Arguments a;
    REQUIRE_OK(PARSE(train, v, a, "--plan", "seed=1", "c.yaml", "--resume=a=b", "--format=bin",
                     "--num-samples=0.5k", "--temperature=1e-1", "attention.backends=[flash]"));
    CHECK(v.plan && strcmp(v.resume, "a=b") == 0 && v.format == 1 && v.samples == 500 &&
          v.temperature == 0.1);
    CHECK(a.operand_count == 1 && a.override_count == 2);
    CHECK(strcmp(a.overrides[0], "seed=1") == 0 &&
          strcmp(a.overrides[1], "attention.backends=[flash]") == 0);
    arguments_destroy(&a);
}

static void operands_may_look_odd(void) {
    Values v = {0};
    Arguments a;
    REQUIRE_OK(PARSE(train, v, a, "c.yaml", "a.b=1", "a.bc=1", "a=null", "name=''"));
    CHECK(a.override_count == 4);
    arguments_destroy(&a);
    REQUIRE_OK(PARSE(train, v, a, "runs/lr=1/c.yaml"));
    CHECK(a.operand_count == 1 && a.override_count == 0);
    arguments_destroy(&a);
    REQUIRE_OK(PARSE(prepare, v, a, "--out=d", "-", "a=b", "--", "--odd", "--help"));
    CHECK(a.operand_count == 4 && strcmp(a.operands[2], "--odd") == 0 && strcmp(v.out, "d") == 0 &&
          !a.help);
    arguments_destroy(&a);
}

static void bad_lines_are_refused(void) {
    check_refused(&train, NULL, NULL, "CONFIG is missing: ./train CONFIG; see --help");
    check_refused(&train, "a", "b", "unexpected argument 'b'; ./train takes CONFIG; see --help");
    check_refused(&train, "--plam", NULL, "unknown option '--plam'; did you mean '--plan'?");
    check_refused(&train, "--hlep", NULL, "did you mean '--help'?");
    check_refused(&train, "--temp=1", NULL,
                  "unknown option '--temp=1'; did you mean '--temperature'?");
    check_refused(&train, "--PLAN", NULL, "did you mean '--plan'?");
    check_refused(&train, "-plan", NULL, "unknown option '-plan'; did you mean '--plan'?");
    check_refused(&train, "-Z", NULL, "unknown option '-Z'; see --help");
    check_refused(&train, "--resum=x", NULL,
                  "unknown option '--resum=x'; did you mean '--resume'?");
    check_refused(&train, "--frobnicate", NULL, "unknown option '--frobnicate'; see --help");
    check_refused(&train, "--plan=yes", NULL, "--plan takes no value");
    check_refused(&train, "--resume", "none", "--resume requires a value: --resume=auto|none|PATH");
    check_refused(&train, "--resume=", NULL, "--resume requires auto|none|PATH, not ''");
    check_refused(&train, "--format=hdf", NULL, "--format requires one of h5|bin, not 'hdf'");
    check_refused(&train, "--num-samples=ten", NULL,
                  "--num-samples requires an integer, N, not 'ten'");
    check_refused(&train, "--num-samples=0", NULL,
                  "--num-samples must be between 1 and 1000, not 0");
    check_refused(&train, "--temperature=nan", NULL,
                  "--temperature requires a number, T, not 'nan'");
    check_refused(&train, "--plan", "--plan", "--plan is given twice");
    check_refused(&train, "optimizer.lr=", NULL,
                  "'optimizer.lr=' lacks a value; write optimizer.lr=null for the default");
    check_refused(&prepare, "a.txt", NULL, "--out=DIR is missing; see --help");
    check_refused(&bench, "attentoin", NULL,
                  "unknown command 'attentoin'; did you mean 'attention'?");
    check_refused(&bench, "xyzzy", NULL, "unknown command 'xyzzy'; see --help");
}

static void options_of_other_programs_are_translated(void) {
    check_refused(&train, "--batch_size=12", NULL,
                  "unknown option '--batch_size=12'; use data.batch_size=12");
    check_refused(&train, "--batch-size=12", NULL, "; use data.batch_size=12");
    check_refused(&train, "--data.batch_size=12", NULL, "; use data.batch_size=12");
    check_refused(&train, "--lr=1e-3", NULL, "; use optimizer.lr=1e-3");
    check_refused(&train, "--learning_rate=1e-3", NULL, "; use optimizer.lr=1e-3");
    check_refused(&train, "--max_steps", "100", "; use training.stop.steps=VALUE");
    check_refused(&train, "--eval_only=True", NULL, "; use ./evaluate RUN");
    check_refused(&train, "--compile=False", NULL, "; leave it out: ");
    check_refused(&train, "-b", "64",
                  "unknown option '-b'; see --help, or for llm.c's use data.batch_size=VALUE");
    check_refused(&train, "--model=gpt2", NULL, "'--model=gpt2'; see --help"); /* a group */
    check_refused(&prepare, "--batch_size=12", NULL, "'--batch_size=12'; see --help");
}

static void help_answers_first(void) {
    Values v = {0};
    Arguments a;
    REQUIRE_OK(PARSE(train, v, a, "--nonsense", "--help"));
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    CHECK(options_answer(&train, &a, &build, file));
    fclose(file);
    CHECK(strncmp(text, "Usage: ./train CONFIG [key=value ...] [options]\n\nTrains.\n", 55) == 0);
    for (size_t i = 0; i < COUNT(options); i++) CHECK(strstr(text, options[i].doc) != NULL);
    CHECK(strstr(text, "--resume=auto|none|PATH") != NULL && strstr(text, "(auto)") != NULL);
    CHECK(strstr(text, "--version") != NULL && strstr(text, "More.\n") != NULL);
    free(text);
    arguments_destroy(&a);
}

static void usage_has_the_name_of_an_installation(void) {
    Values v = {0};
    Arguments a;
    char *argv[] = {"/usr/bin/hourglass-train", NULL};
    CHECK_ERROR(options_parse(&train, 1, argv, &v, &a), STATUS_USAGE,
                "CONFIG is missing: hourglass-train CONFIG; see --help");
    arguments_destroy(&a);
}

static void help_as_json_is_the_table(void) {
    Values v = {0};
    Arguments a;
    char text[4096] = "";
    REQUIRE_OK(PARSE(train, v, a, "--help=json"));
    FILE *file = fmemopen(text, sizeof text, "w");
    CHECK(options_answer(&train, &a, &build, file));
    fclose(file);
    json_t *json = json_loads(text, 0, NULL),
           *option = json_array_get(json_object_get(json, "options"), 2);
    CHECK(json_array_size(json_object_get(json, "options")) == COUNT(options));
    CHECK(strcmp(json_string_value(json_object_get(option, "name")), "format") == 0);
    CHECK(strcmp(json_string_value(json_object_get(option, "type")), "choice") == 0);
    CHECK(strcmp(json_string_value(json_object_get(option, "value")), "h5|bin") == 0);
    CHECK(strcmp(json_string_value(json_object_get(json, "more")), "More.\n") == 0);
    CHECK(json_is_null(json_object_get(json, "commands")));
    json_decref(json);
    arguments_destroy(&a);
}

static void version_and_neither(void) {
    Values v = {0};
    Arguments a;
    char text[256] = "", wanted[256];
    REQUIRE_OK(PARSE(bench, v, a, "--version"));
    FILE *file = fmemopen(text, sizeof text, "w");
    CHECK(options_answer(&bench, &a, &build, file));
    fclose(file);
    snprintf(wanted, sizeof wanted,
             "bench (Hourglass) " HOURGLASS_VERSION "\n"
             "commit      0123abc\ncompiler    gcc 12.2.0\nprocessor   %s\nzlib        1.2.13\n",
             processor_march);
    CHECK(strcmp(text, wanted) == 0);
    arguments_destroy(&a);
    REQUIRE_OK(PARSE(bench, v, a, "step"));
    CHECK(!options_answer(&bench, &a, &build, stdout));
    arguments_destroy(&a);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(defaults_hold),
                          TEST(everything_is_read),
                          TEST(operands_may_look_odd),
                          TEST(bad_lines_are_refused),
                          TEST(options_of_other_programs_are_translated),
                          TEST(help_answers_first),
                          TEST(help_as_json_is_the_table),
                          TEST(usage_has_the_name_of_an_installation),
                          TEST(version_and_neither)};
    return harness_run(argc, argv, "options", tests, COUNT(tests));
}
