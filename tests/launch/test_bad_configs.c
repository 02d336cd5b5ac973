/* Runs bad_configs.txt: every config in it must be refused with its message, position and exit code
 * 78. */
#include "launch/config/config_load.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const table_path = "tests/launch/bad_configs.txt";

typedef struct Case {
    char title[80];
    FILE *file; /* being written */
    int n_overrides;
    char *overrides[8];
    int n_files;
    char files[4][32];
} Case;

static char start_directory[4096];
static char *table, *cursor;
static int cases_run;

static void open_file(Case *c, const char *name) {
    if (c->file != NULL) fclose(c->file);
    snprintf(c->files[c->n_files++], sizeof c->files[0], "%s", name);
    c->file = fopen(name, "wb");
}

/* {{e9}} stands for a byte. */
static void write_line(FILE *file, const char *line) {
    for (; *line != '\0'; line++) {
        unsigned byte;
        if (sscanf(line, "{{%2x}}", &byte) == 1 && strncmp(line + 4, "}}", 2) == 0) {
            fputc((int)byte, file);
            line += 5;
        } else {
            fputc(*line, file);
        }
    }
    fputc('\n', file);
}

static void run_case(Case *c, const char *expected) {
    fclose(c->file);
    Config *config = (Config *)1;
    Status status = config_load("case.yaml", c->n_overrides, c->overrides, &config);
    const char *message = status_message();
    size_t length = strcspn(message, "\n");
    bool same = strlen(expected) == length && strncmp(message, expected, length) == 0;
    bool refused =
        status.code == STATUS_CONFIG && status_exit_code(status.code) == 78 && config == NULL;
    if (!same || !refused) {
        printf("%s:\n  expected %s\n  got      %s\n", c->title, expected,
               failed(status) ? message : "no error");
    }
    CHECK(same);
    CHECK(refused);
    config_destroy(&config);
    for (int i = 0; i < c->n_files; i++) remove(c->files[i]);
    cases_run++;
}

static char *next_line(void) {
    char *line = cursor;
    cursor += strcspn(cursor, "\n");
    if (*cursor != '\0') *cursor++ = '\0';
    return line;
}

static void run_table(void) {
    Case c = {0};
    while (*cursor != '\0') {
        char *line = next_line();
        if (strncmp(line, "===== ", 6) == 0) {
            c = (Case){0};
            snprintf(c.title, sizeof c.title, "%s", line + 6);
            open_file(&c, "case.yaml");
        } else if (c.file == NULL) {
            continue; /* the table's opening comment */
        } else if (strncmp(line, "+++++ ", 6) == 0) {
            c.overrides[c.n_overrides++] = line + 6;
        } else if (strncmp(line, "%%%%% ", 6) == 0) {
            open_file(&c, line + 6);
        } else if (strncmp(line, ">>>>> ", 6) == 0) {
            run_case(&c, line + 6);
            c.file = NULL;
        } else {
            write_line(c.file, line);
        }
    }
}

static void every_bad_config_is_refused_at_its_place(void) {
    FILE *file = fopen(table_path, "rb");
    CHECK(file != NULL);
    if (file == NULL) return;
    table = calloc(1, 1 << 20);
    size_t bytes = fread(table, 1, (1 << 20) - 1, file);
    fclose(file);
    CHECK(bytes > 0 && bytes < (1 << 20) - 1);
    cursor = table;
    unsetenv("HOURGLASS_UNSET");
    CHECK(getcwd(start_directory, sizeof start_directory) != NULL &&
          chdir(harness_directory()) == 0);
    run_table();
    CHECK(chdir(start_directory) == 0);
    CHECK(cases_run >= 60);
    free(table);
}

/* Cases that the table cannot contain: files that are not text files. */
static void check_path(const char *path, const char *expected) {
    Config *config;
    CHECK_ERROR(config_load(path, 0, NULL, &config), STATUS_CONFIG, expected);
    CHECK(config == NULL);
}

static void files_that_cannot_be_read(void) {
    const char *directory = harness_directory();
    char path[512], message[600];
    snprintf(path, sizeof path, "%s/missing.yaml", directory);
    snprintf(message, sizeof message,
             "%s: error: cannot read this config: No such file or directory", path);
    check_path(path, message);
    check_path(directory, "it is a directory; name the YAML file in it");
    check_path("/dev/null", "it is not a regular file");

    snprintf(path, sizeof path, "%s/closed.yaml", directory);
    FILE *file = fopen(path, "w");
    fputs("seed: 1\n", file);
    fclose(file);
    CHECK(chmod(path, 0) == 0);
    if (access(path, R_OK) != 0)
        check_path(path, "Permission denied"); /* root can read everything */

    snprintf(path, sizeof path, "%s/large.yaml", directory);
    file = fopen(path, "w");
    for (int i = 0; i <= (1 << 20) / 8; i++) fputs("# 34567\n", file);
    fclose(file);
    check_path(path, "it is over 1 MiB");
}

static void check_large(const char *unit, const char *expected) {
    size_t count = (1 << 20) / strlen(unit) - 1;
    char *text = malloc(count * strlen(unit) + 1), *end = text;
    for (size_t i = 0; i < count; i++) end = stpcpy(end, unit);
    Config *config;
    CHECK_ERROR(config_load_text(text, "large.yaml", 0, NULL, &config), STATUS_CONFIG, expected);
    free(text);
}

static void large_texts_end_soon(void) {
    check_large("[", "nested deeper than 16 levels");
    check_large("- ", "nested deeper than 16 levels");
    check_large("{a: ", "nested deeper than 16 levels");
    check_large("a: 1\nb: 2\n", "duplicate key 'a'");
    check_large("a", "a config is a map of keys");
    check_large("- 1\n", "more than 10000 keys and values");
    check_large("? ", "a key must be a word");
}

static void long_texts_are_refused(void) {
    char text[4200];
    snprintf(text, sizeof text, "name: %04097d\n", 7);
    Config *config;
    CHECK_ERROR(config_load_text(text, "long.yaml", 0, NULL, &config), STATUS_CONFIG,
                "long.yaml:1:7: error: 'name' is over 4096 bytes");
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(every_bad_config_is_refused_at_its_place),
        TEST(files_that_cannot_be_read),
        TEST(large_texts_end_soon),
        TEST(long_texts_are_refused),
    };
    return harness_run(argc, argv, "bad configs", tests, COUNT(tests));
}
