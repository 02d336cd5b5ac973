#include "launch/study/report/chart.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WIDTH = 760, HEIGHT = 460, LABEL_HEIGHT = 22, LONGEST_LABEL = 30 };

Status charts_open(Charts *charts) {
    TRY(text_open(&charts->script));
    fputs("# Draws the charts again: gnuplot charts.gnuplot\nif (!exists('aside')) aside = ''\n",
          charts->script.file);
    return OK;
}

/* ---- the frame ------------------------------------------------------------------------------- */

static int label_order(const void *a, const void *b) {
    double x = ((const ChartLabel *)a)->place, y = ((const ChartLabel *)b)->place;
    return (x > y) - (x < y);
}

/* Moves overlapping labels apart, each by the same distance, within the axis. */
static void labels_place(ChartLabel *labels, int n, const Axis *y, double apart) {
    for (int i = 0; i < n; i++) labels[i].place = fmin(fmax(axis_share(y, labels[i].y), 0), 1);
    qsort(labels, (size_t)n, sizeof *labels, label_order);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i + 1 < n; i++) {
            double push = (apart - (labels[i + 1].place - labels[i].place)) / 2;
            if (push <= 0) continue;
            labels[i].place = fmax(labels[i].place - push, 0);
            labels[i + 1].place = fmin(labels[i + 1].place + push, 1);
        }
    }
}

/* As many characters as fit, with an ellipsis; never part of a character. */
static const char *shortened(Results *s, const char *text) {
    size_t bytes = 0, letters = 0;
    for (; text[bytes] != 0 && letters < LONGEST_LABEL; letters++) {
        for (bytes++; ((unsigned char)text[bytes] & 0xc0) == 0x80;) bytes++;
    }
    return text[bytes] == 0 ? text : or_empty(arena_printf(&s->arena, "%.*s…", (int)bytes, text));
}

static int longest_label(const ChartLabel *labels, int n) {
    size_t longest = 0;
    for (int i = 0; i < n; i++)
        longest = strlen(labels[i].text) > longest ? strlen(labels[i].text) : longest;
    return longest > LONGEST_LABEL ? LONGEST_LABEL : (int)longest;
}

static void labels_put(Results *s, FILE *file, const ChartLabel *labels, int n, const Axis *x,
                       const Axis *y) {
    for (int i = 0; i < n; i++) {
        const ChartLabel *label = &labels[i];
        double end = axis_share(x, label->x), height = axis_share(y, label->y);
        fprintf(
            file,
            "set arrow from graph %.5f, %.5f to graph 1.018, %.5f nohead lc rgb '%s' lw 0.6 dt 3\n",
            end, height, label->place, label->color.hex);
        fputs("set label ", file);
        put_gnuplot(file, shortened(s, label->text));
        fprintf(file, " at graph 1.025, %.5f left noenhanced tc rgb '%s'\n", label->place,
                label->color.hex);
    }
}

void chart_begin(Results *s, FILE *file, const char *title, const Axis *x, const Axis *y,
                 ChartLabel *labels, int n) {
    int rows = HEIGHT - 130, wanted = n * LABEL_HEIGHT;
    int height = wanted > rows ? HEIGHT + wanted - rows : HEIGHT;
    double right = n == 0 ? 0.97 : 1 - (8.8 * longest_label(labels, n) + 36) / WIDTH;
    fprintf(file,
            "\nreset\nset encoding utf8\nheight = %d\nset border 3 lc rgb '#777777'\nunset key\n",
            height);
    fputs("set tics nomirror out scale 0.6 textcolor rgb '#333333' noenhanced\nset grid x y lt 1 "
          "lc rgb '#e4e4e4' lw "
          "0.8\n",
          file);
    fprintf(file,
            "set lmargin at screen %.4f\nset rmargin at screen %.4f\nset tmargin at screen %.4f\n",
            fmax(0.12, (52 + 9.5 * axis_tick_width(y)) / WIDTH), right, 1 - 50.0 / height);
    fprintf(file, "set bmargin at screen %.4f\n", 76.0 / height);
    fputs("set label ", file);
    put_gnuplot(file, title);
    fprintf(file, " at screen 0.02, screen %.4f left noenhanced font ',18' tc rgb '#111111'\n",
            1 - 24.0 / height);
    fputs("set style textbox noborder\nset xlabel noenhanced offset 0,0.4 tc rgb '#333333'\n"
          "set ylabel noenhanced offset 0.5,0 tc rgb '#333333'\n",
          file);
    axis_put(file, x);
    axis_put(file, y);
    labels_place(labels, n, y, (double)LABEL_HEIGHT / (height - 126));
    labels_put(s, file, labels, n, x, y);
}

void chart_end(FILE *file, const char *name, const char *plot) {
    fprintf(file,
            "set terminal svg size %d,height dynamic name '%s' background rgb '#ffffff' font "
            "'sans-serif,16'\n"
            "set output aside.'%s.svg'\nplot %s\n",
            WIDTH, name, name, plot);
    fprintf(file,
            "set terminal pngcairo size %d,2*height background rgb '#ffffff' font 'sans-serif,12' "
            "fontscale 2 "
            "linewidth 2 pointscale 2\nset output aside.'%s.png'\nreplot\nset output\n",
            2 * WIDTH, name);
}

/* ---- drawing --------------------------------------------------------------------------------- */

static const char *path_of(Results *s, const char *directory, const char *aside, const char *name,
                           const char *ending) {
    return or_empty(arena_printf(&s->arena, "%s/%s%s.%s", directory, aside, name, ending));
}

/* Runs gnuplot with its output going to `log`; returns its exit status, or -1 if it is not
 * installed. */
static int gnuplot_run(const char *directory, const char *setting, int log) {
    char *const arguments[] = {"gnuplot", "-d", "-e", (char *)setting, "charts.gnuplot", NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status = -1;
    if (posix_spawn_file_actions_init(&actions) != 0) return -1;
    bool prepared =
        posix_spawn_file_actions_addchdir_np(&actions, directory) == 0 &&
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0) == 0 &&
        posix_spawn_file_actions_adddup2(&actions, log, STDOUT_FILENO) == 0 &&
        posix_spawn_file_actions_adddup2(&actions, log, STDERR_FILENO) == 0;
    bool started =
        prepared && posix_spawnp(&child, "gnuplot", &actions, NULL, arguments, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    while (started && waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return -1;
    }
    return status;
}

/* The first line of gnuplot's output, except those that only mark a position in the script. */
static const char *complaint(Results *s, FILE *log) {
    char line[512];
    rewind(log);
    while (fgets(line, sizeof line, log) != NULL) {
        line[strcspn(line, "\n")] = 0;
        if (strspn(line, " \t^") != strlen(line) && strstr(line, "line ") != NULL) {
            return or_empty(arena_printf(&s->arena, "no charts: gnuplot failed: %s",
                                         line + strspn(line, " \t")));
        }
    }
    return "no charts: gnuplot failed; run gnuplot charts.gnuplot in the report's directory";
}

/* Renames the new pictures. If any is missing, removes all of them and those of an earlier
 * report. */
static bool pictures_take(Results *s, const Charts *charts, const char *directory,
                          const char *aside, bool whole) {
    static const char *const endings[] = {"svg", "png"};
    for (int i = 0; i < 2 * charts->count; i++) {
        const char *name = charts->items[i / 2].name;
        const char *from = path_of(s, directory, aside, name, endings[i % 2]);
        const char *to = path_of(s, directory, "", name, endings[i % 2]);
        whole &= whole && rename(from, to) == 0;
        if (whole) continue;
        unlink(from);
        unlink(to);
    }
    return whole;
}

Status charts_draw(Results *s, const Charts *charts, const char *directory, const char **missing) {
    FILE *log = tmpfile();
    *missing = "";
    if (log == NULL)
        return ERROR(STATUS_FAILURE, "cannot create a temporary file for gnuplot: %s",
                     strerror(errno));
    const char *aside = or_empty(arena_printf(&s->arena, ".%d.", (int)getpid()));
    const char *setting = or_empty(arena_printf(&s->arena, "aside='%s'", aside));
    int status = gnuplot_run(directory, setting, fileno(log));
    bool whole = pictures_take(s, charts, directory, aside, status == 0);
    if (status == -1 || (WIFEXITED(status) && WEXITSTATUS(status) == 127))
        *missing =
            "no charts: gnuplot is not installed; install the package gnuplot-nox and make the "
            "report again";
    else if (!whole)
        *missing = complaint(s, log);
    fclose(log);
    return OK;
}
