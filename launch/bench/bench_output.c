#include "launch/bench/bench_output.h"

#include "launch/base/output.h"

#include <errno.h>
#include <libgen.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_ROOM = 4096, COMMAND_NOT_FOUND = 127 };

static Status cannot_write(const char *path) {
    return ERROR(STATUS_FAILURE, "%s: cannot write: %s", path, strerror(errno));
}

static Status check_writable(const char *path) {
    struct stat info;
    char folder[PATH_ROOM];
    if (path == NULL) return OK;
    if (snprintf(folder, sizeof folder, "%s", path) >= PATH_ROOM - 8) {
        return ERROR(STATUS_FAILURE, "%.60s...: the path is too long", path);
    }
    bool is_there = stat(path, &info) == 0;
    if (is_there && S_ISDIR(info.st_mode)) return ERROR(STATUS_FAILURE, "%s: is a directory", path);
    if (is_there && access(path, W_OK) != 0) return cannot_write(path);
    const char *parent = dirname(folder);
    if (stat(parent, &info) != 0) return cannot_write(path);
    if (!S_ISDIR(info.st_mode))
        return ERROR(STATUS_FAILURE, "%s: cannot write: %s is no directory", path, parent);
    return access(parent, W_OK) == 0 ? OK : cannot_write(path);
}

/* The gnuplot terminal for a path; NULL if there is none. */
static const char *terminal_of(const char *path) {
    const char *dot = strrchr(path, '.');
    if (dot != NULL && strcmp(dot, ".svg") == 0)
        return "svg size 820,420 dynamic background rgb 'white' font 'sans-serif,13'";
    return dot != NULL && strcmp(dot, ".png") == 0 ? "pngcairo size 1230,630 font 'sans-serif,14'"
                                                   : NULL;
}

/* The tables of this program, by their first columns, and gnuplot's pictures. */
static Status check_replaced(const char *csv_path, const char *plot_path) {
    static const char *const tables[] = {"device,dtype,B,NH,", "device,dtype,name,tensor,",
                                         "rung,vocabulary,ms,", "ranks,bytes,seconds,", NULL};
    static const char *const pictures[] = {
        "<?xml version=\"1.0\" encoding=\"utf-8\"  standalone=\"no\"?>\n<svg", "\x89PNG\r\n", NULL};
    if (csv_path != NULL) TRY(output_check_named(csv_path, tables, "a table of ./bench"));
    return plot_path == NULL ? OK : output_check_named(plot_path, pictures, "a chart of gnuplot");
}

Status bench_output_open(const char *csv_path, const char *plot_path, FILE *table,
                         BenchOutput *out) {
    *out = (BenchOutput){.csv_path = csv_path, .plot_path = plot_path, .table = table};
    out->csv = open_memstream(&out->csv_text, &out->csv_bytes);
    out->plot = open_memstream(&out->plot_text, &out->plot_bytes);
    if (out->csv == NULL || out->plot == NULL) return OUT_OF_MEMORY("a table");
    if (plot_path != NULL && terminal_of(plot_path) == NULL) {
        return ERROR(STATUS_USAGE, "--plot=%s: draws FILE.svg and FILE.png", plot_path);
    }
    TRY(check_writable(csv_path));
    TRY(check_writable(plot_path));
    return check_replaced(csv_path, plot_path);
}

static Status csv_write(const char *path, const char *text) {
    Output output;
    TRY(output_open_named(path, &output));
    bool is_written = fputs(text, output.file) >= 0;
    return output_finish(&output, is_written ? OK : cannot_write(path));
}

/* Runs gnuplot with its commands from one file and its picture to another; returns its exit code,
 * 127 if it is not installed. */
static int gnuplot_run(int commands, int picture) {
    char *const arguments[] = {(char *)"gnuplot", NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int code = COMMAND_NOT_FOUND, state;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, commands, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, picture, STDOUT_FILENO);
    if (posix_spawnp(&child, "gnuplot", &actions, NULL, arguments, environ) == 0) {
        while (waitpid(child, &state, 0) < 0 && errno == EINTR) continue;
        code = WIFEXITED(state) ? WEXITSTATUS(state) : 1;
    }
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

/* Returns gnuplot's exit code. */
static int picture_write(const BenchOutput *output, const Output *picture) {
    FILE *commands = tmpfile();
    if (commands == NULL) return 1;
    fprintf(commands, "set terminal %s\n%s", terminal_of(output->plot_path), output->plot_text);
    bool is_ready = fflush(commands) == 0 && lseek(fileno(commands), 0, SEEK_SET) == 0;
    int code = is_ready ? gnuplot_run(fileno(commands), picture->fd) : 1;
    fclose(commands);
    return code;
}

static Status draw(const BenchOutput *output, FILE *messages) {
    Output picture;
    TRY(output_open_named(output->plot_path, &picture));
    int code = picture_write(output, &picture);
    Status status =
        code == 0 ? OK : ERROR(STATUS_FAILURE, "%s: gnuplot could not draw it", output->plot_path);
    status = output_finish(&picture, status);
    if (code != COMMAND_NOT_FOUND) return status;
    fprintf(messages,
            "bench: no gnuplot here, so %s is not drawn; it is in the package gnuplot-nox\n",
            output->plot_path);
    return OK;
}

Status bench_output_close(BenchOutput *output, Status status, FILE *messages) {
    bool is_whole = true;
    if (output->csv != NULL) is_whole = fclose(output->csv) == 0;
    if (output->plot != NULL) is_whole = fclose(output->plot) == 0 && is_whole;
    if (!failed(status) && !is_whole) status = OUT_OF_MEMORY("a table");
    if (!failed(status) && output->csv_path != NULL)
        status = csv_write(output->csv_path, output->csv_text);
    if (!failed(status) && output->plot_path != NULL) status = draw(output, messages);
    free(output->csv_text);
    free(output->plot_text);
    return status;
}

void csv_put(FILE *file, const char *text) {
    if (strpbrk(text, ",\"\n") == NULL) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"') fputc('"', file);
        fputc(*text, file);
    }
    fputc('"', file);
}
