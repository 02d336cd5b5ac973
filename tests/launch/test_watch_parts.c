/* The parts of ./watch: following a file that is being written or replaced, drawing in characters,
 * panels beside each other. */
#include "core/base/file.h"
#include "launch/base/terminal.h"
#include "launch/watch/canvas.h"
#include "launch/watch/view.h"
#include "tests/harness.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *folder;

static const char *metrics_path(void) {
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/metrics.jsonl", folder);
    return path;
}

static void metrics_write(const char *mode, const char *text) {
    FILE *file = fopen(metrics_path(), mode);
    CHECK(file != NULL);
    if (file == NULL) return;
    fputs(text, file);
    fclose(file);
}

static double last_loss(const Follower *f) {
    return f->records.count == 0 ? NAN : f->records.items[f->records.count - 1].train_loss;
}

static void a_file_is_followed(void) {
    Follower f = {.offset = 0};
    CHECK_OK(follower_read(&f, folder)); /* no file yet */
    CHECK(f.records.count == 0);
    metrics_write("w", "{\"step\": 1, \"train/loss\": 5.5}\n{\"step\": 2, \"train/lo");
    CHECK_OK(follower_read(&f, folder));
    CHECK(f.records.count == 1 && last_loss(&f) == 5.5);
    CHECK_OK(follower_read(&f, folder)); /* the half line is read once it is whole */
    CHECK(f.records.count == 1);
    metrics_write("a", "ss\": 4.5}\nno record\n[3]\n{\"step\": 3, \"val/loss\": null}\n");
    CHECK_OK(follower_read(&f, folder));
    CHECK(f.records.count == 3 && isnan(last_loss(&f)) && f.records.items[1].train_loss == 4.5);
    for (int i = 0; i < 1000; i++) metrics_write("a", "{\"step\": 4, \"train/loss\": 3.5}\n");
    CHECK_OK(follower_read(&f, folder));
    CHECK(f.records.count == 1003 && last_loss(&f) == 3.5);
    follower_free(&f);
}

static void a_replaced_file_is_read_again(void) {
    Follower f = {.offset = 0};
    char other[PATH_MAX];
    metrics_write("w", "{\"step\": 1, \"train/loss\": 5}\n{\"step\": 2, \"train/loss\": 4}\n");
    CHECK_OK(follower_read(&f, folder));
    CHECK(f.records.count == 2);
    snprintf(other, sizeof other, "%s/other", folder); /* a resumed run replaces the file */
    CHECK(rename(metrics_path(), other) == 0);
    metrics_write("w", "{\"step\": 1, \"train/loss\": 6}\n{\"step\": 9, \"train/loss\": 7}\n"
                       "{\"step\": 10, \"train/loss\": 8}\n");
    CHECK_OK(follower_read(&f, folder));
    CHECK(f.records.count == 3 && f.records.items[0].train_loss == 6);
    metrics_write("w", "{\"step\": 1, \"train/loss\": 2}\n"); /* shorter */
    CHECK_OK(follower_read(&f, folder));
    CHECK(f.records.count == 1 && last_loss(&f) == 2);
    unlink(metrics_path());
    CHECK_OK(follower_read(&f, folder));
    CHECK(f.records.count == 0);
    unlink(other);
    follower_free(&f);
}

/* A row of the canvas as text, for free(). */
static char *row_of(const Canvas *canvas, int row) {
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    canvas_write(canvas, row, file);
    fclose(file);
    return text;
}

static void check_row(const Canvas *canvas, int row, const char *wanted) {
    char *text = row_of(canvas, row);
    CHECK(strcmp(text, wanted) == 0);
    free(text);
}

static void lines_in_braille(void) {
    Arena arena = {0};
    Canvas c;
    CHECK_OK(canvas_create(&arena, 3, 2, true, &c));
    check_row(&c, 0, "   ");
    canvas_line(&c, 0, 0, 0, 1); /* the left border */
    check_row(&c, 0, "⡇  ");
    check_row(&c, 1, "⡇  ");
    canvas_line(&c, 0, 0, 1, 0); /* the lower border */
    check_row(&c, 1, "⣇⣀⣀");
    canvas_line(&c, 1, 1, 1, 1);
    check_row(&c, 0, "⡇ ⠈");
    canvas_mark(&c, 2, 2, 'o'); /* outside: on the border */
    check_row(&c, 0, "⡇ o");
    CHECK_OK(canvas_create(&arena, 4, 1, true, &c));
    canvas_line(&c, 0, 0, 1, 1); /* 8 x 4 dots */
    check_row(&c, 0, "⣀⠤⠒⠉");
    CHECK_OK(canvas_create(&arena, 4, 1, false, &c));
    canvas_line(&c, 0.5, 0.5, 1, 1);
    check_row(&c, 0, "  **");
    CHECK(strcmp(bar_character(1, true), "█") == 0 && strcmp(bar_character(0, false), "_") == 0);
    arena_free(&arena);
}

/* A run with a falling loss. */
static WatchedRun run_of(const char *name, double tokens_per_step, int steps) {
    static Config config = {.training = {.stop = {.steps = 400, .early = {.percent = 100}}}};
    WatchedRun run = {.config = &config, .state = "running", .tokens_per_step = tokens_per_step};
    run.point = (StudyPoint){.name = name, .config = &config, .share = 1, .combination = -1};
    run.point.status = (PointStatus){.state = POINT_RUNNING,
                                     .step = steps,
                                     .train_loss = 2.5,
                                     .val_loss = 2.75,
                                     .best_val_loss = 2.75,
                                     .seconds_left = 75};
    run.follower.records.items = calloc((size_t)steps, sizeof(RunRecord));
    run.follower.records.count = (size_t)steps;
    for (int i = 0; i < steps; i++) {
        run.follower.records.items[i] = (RunRecord){.step = i + 1,
                                                    .tokens = tokens_per_step * (i + 1),
                                                    .train_loss = 2.5 + 3.0 / (i + 1),
                                                    .val_loss = i % 50 == 49 ? 2.75 : NAN,
                                                    .tok_per_s = 1e4 + 10 * i,
                                                    .mem_bytes = 0x1p30,
                                                    .mfu = NAN};
    }
    run.end = run_next_end(&config.training.stop, (RunPosition){.step = steps});
    return run;
}

/* The widest line, and the number of lines. */
static int widest(const char *text, int *lines) {
    int most = 0;
    *lines = 0;
    for (const char *end; (end = strchr(text, '\n')) != NULL; text = end + 1, ++*lines) {
        char line[2048];
        snprintf(line, sizeof line, "%.*s", (int)(end - text), text);
        int width = terminal_width_of(line);
        most = width > most ? width : most;
    }
    return most;
}

static bool stands_beside(const char *text, const char *a, const char *b) {
    const char *at = strstr(text, a);
    if (at == NULL) return false;
    size_t bytes = strcspn(at, "\n");
    const char *other = strstr(at, b);
    return other != NULL && (size_t)(other - at) < bytes;
}

static void views_fit_every_width(void) {
    WatchedRun runs[] = {run_of("first", 1024, 100), run_of("second", 1024, 200),
                         run_of("a-name-that-is-longer-than-a-panel-of-forty-columns", 1024, 10)};
    for (int columns = 40; columns <= 200; columns++) {
        for (int rows = 0; rows <= 60; rows += 30) {
            ViewSize size = {.columns = columns, .rows = rows, .unicode = columns % 2 == 0};
            char *text;
            int lines;
            CHECK_OK(view_text(runs, 3, &size, &text));
            CHECK(widest(text, &lines) <= columns);
            CHECK(rows == 0 || lines < rows);
            CHECK(stands_beside(text, "first ", "second ") == (columns >= 78));
            CHECK(strstr(text, "25% of 400 steps") != NULL && strstr(text, "loss 2.5000") != NULL);
            CHECK(strstr(text, "1 m 15 s left") != NULL && strstr(text, "1.0 GiB") != NULL);
            CHECK(strstr(text, "200 steps\n") != NULL || rows == 30);
            free(text);
        }
    }
    for (int i = 0; i < 3; i++) free(runs[i].follower.records.items);
}

/* Runs whose steps differ are compared over tokens. */
static void the_axis_of_a_view(void) {
    WatchedRun runs[] = {run_of("small", 1000, 100), run_of("large", 4000, 100)};
    ViewSize size = {.columns = 80};
    char *text;
    CHECK_OK(view_text(runs, 2, &size, &text));
    CHECK(strstr(text, "400 K tokens") != NULL);
    free(text);
    CHECK_OK(view_text(runs, 1, &size, &text));
    CHECK(strstr(text, "100 steps") != NULL && strstr(text, "o") != NULL);
    free(text);
    for (int i = 0; i < 2; i++) free(runs[i].follower.records.items);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(a_file_is_followed), TEST(a_replaced_file_is_read_again),
                          TEST(lines_in_braille), TEST(views_fit_every_width),
                          TEST(the_axis_of_a_view)};
    folder = harness_directory();
    return harness_run(argc, argv, "watch_parts", tests, COUNT(tests));
}
