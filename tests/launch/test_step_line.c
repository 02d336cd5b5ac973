/* Log lines, the progress bar and folded lines in terminals of every width. */
#include "launch/base/readable.h"
#include "launch/base/terminal.h"
#include "launch/run/step_line.h"
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const Metric plain = {.step = 120,
                             .train_s = 30,
                             .train_loss = 3.2817,
                             .grad_norm = 0.41,
                             .lr = 6e-4,
                             .step_ms = 29.1,
                             .tok_per_s = 421e3,
                             .mfu = 0.412,
                             .mem_bytes = (size_t)9770 << 20};

static const char whole[] =
    "step 120/600 | loss 3.2817 | norm 0.41 | lr 6.0e-04 | 29.1 ms | 421 K tok/s | MFU 41.2% | "
    "9.5 GiB";

static void a_line_has_all_fields(void) {
    char text[STEP_LINE_BYTES];
    Metric metric = plain;
    step_line(&metric, 600, 0, text);
    CHECK(strcmp(text, whole) == 0);
    metric.mfu = NAN;
    step_line(&metric, 0, 0, text);
    CHECK(strstr(text, "step 120 | ") == text && strstr(text, "| MFU n/a |") != NULL);
    metric.is_of_cpu = true;
    metric.mem_bytes = 54 << 20;
    step_line(&metric, 0, 0, text);
    CHECK(strstr(text, "MFU") == NULL && strstr(text, "| 54 MiB") != NULL);
}

/* Fields disappear one by one, the loss last. */
static void a_line_fits(void) {
    char text[STEP_LINE_BYTES];
    size_t last = strlen(whole);
    for (int columns = 200; columns > 0; columns--) {
        step_line(&plain, 600, columns, text);
        size_t length = strlen(text);
        CHECK(length <= (size_t)columns || strcmp(text, "step 120/600") == 0);
        CHECK(length <= last && strstr(text, "step 120/600") == text);
        CHECK(columns < 27 || strstr(text, "| loss 3.2817") != NULL);
        last = length;
    }
    step_line(&plain, 600, 80, text);
    CHECK(strstr(text, " ms ") == NULL && strstr(text, "MFU") != NULL);
}

static void a_bar_fits(void) {
    char text[STEP_LINE_BYTES];
    RunEnd end = {.rule = "training.stop.time", .done = 0.25, .limit = "2 m 00 s"};
    for (int columns = 200; columns > 0; columns--) {
        bar_line(&plain, &end, columns, text);
        CHECK(strlen(text) <= 80 && strlen(text) <= (size_t)columns);
        CHECK(columns < 30 || strstr(text, " 25% of 2 m 00 s") != NULL);
    }
    bar_line(&plain, &end, 100, text);
    CHECK(strstr(text, "step 120 | loss 3.2817 | 1 m 30 s left") != NULL);
    size_t full = strspn(text, "#"), all = strspn(text, "#.");
    CHECK(all >= 6 && full == all / 4);
}

static void the_nearest_end(void) {
    ConfigStop stop = {.steps = 1000, .time = 100, .early = {.percent = 100}};
    RunEnd end = run_next_end(&stop, (RunPosition){0, 0, 0});
    CHECK(strcmp(end.rule, "training.stop.steps") == 0 && end.done == 0);
    end = run_next_end(&stop, (RunPosition){40, 4000, 10});
    CHECK(strcmp(end.rule, "training.stop.time") == 0 && strcmp(end.limit, "1 m 40 s") == 0);
    CHECK_CLOSE(end.done, 0.1, 1e-12);
    stop.tokens = 10000;
    end = run_next_end(&stop, (RunPosition){40, 4000, 10});
    CHECK(strcmp(end.rule, "training.stop.tokens") == 0 && strcmp(end.limit, "10.0 K tokens") == 0);
    stop = (ConfigStop){.steps = 1000, .early = {.percent = 20}};
    end = run_next_end(&stop, (RunPosition){300, 0, 1});
    CHECK(strcmp(end.rule, "training.stop.early") == 0 && strcmp(end.limit, "200 steps") == 0);
    CHECK(end.done == 1);
    stop.early = (ConfigLength){.steps = 50};
    end = run_next_end(&stop, (RunPosition){10, 0, 1});
    CHECK(strcmp(end.limit, "50 steps") == 0);
    CHECK_CLOSE(end.done, 0.2, 1e-12);
}

/* The parts of a folded line: none is too wide, and together they have its words. */
static void folded_check(const char *line, int columns) {
    char *text = NULL, words[512] = "";
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    terminal_fold(file, line, columns);
    fclose(file);
    CHECK(bytes > 0 && text[bytes - 1] == '\n');
    for (char *part = strtok(text, "\n"); part != NULL; part = strtok(NULL, "\n")) {
        CHECK(terminal_width_of(part) <= columns || strchr(part + strspn(part, " "), ' ') == NULL);
        if (words[0] != '\0') strcat(words, " ");
        strcat(words, part + strspn(part, " "));
    }
    CHECK(strcmp(words, line) == 0);
    free(text);
}

static void lines_fold_at_blanks(void) {
    static const char line[] =
        "AMD EPYC x 2, 1 threads | attention flash | Größe 26.4 MiB planned, "
        "averyverylongwordthatnobreakfits 7.4 MiB base per rank";
    for (int columns = 9; columns < 140; columns++) folded_check(line, columns);
    CHECK(terminal_width_of("Größe") == 5);
}

static void readable_numbers(void) {
    char text[32];
    CHECK((readable_seconds(44.6, text, sizeof text), strcmp(text, "45 s") == 0));
    CHECK((readable_seconds(750, text, sizeof text), strcmp(text, "12 m 30 s") == 0));
    CHECK((readable_seconds(3900, text, sizeof text), strcmp(text, "1 h 05 m") == 0));
    CHECK((readable_count(1.2e6, text, sizeof text), strcmp(text, "1.20 M") == 0));
    CHECK((readable_memory(312 * 0x1p20, text, sizeof text), strcmp(text, "312 MiB") == 0));
    CHECK((readable_memory(9.1 * 0x1p30, text, sizeof text), strcmp(text, "9.1 GiB") == 0));
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(a_line_has_all_fields), TEST(a_line_fits),          TEST(a_bar_fits),
        TEST(the_nearest_end),       TEST(lines_fold_at_blanks), TEST(readable_numbers),
    };
    return harness_run(argc, argv, "step_line", tests, COUNT(tests));
}
