#include "launch/prepare/progress.h"

#include "core/base/clock.h"
#include "launch/base/terminal.h"

#include <stdio.h>
#include <unistd.h>

static const double refresh = 0.1; /* seconds */

PrepareProgress progress_begin(void) {
    return (PrepareProgress){.is_terminal = isatty(STDERR_FILENO), .start = clock_seconds()};
}

/* `h:mm:ss` or `m:ss`. */
static void time_write(double seconds, char *out, size_t capacity) {
    long long whole = (long long)seconds, hours = whole / 3600, minutes = whole / 60 % 60;
    if (hours > 0)
        snprintf(out, capacity, "%lld:%02lld:%02lld", hours, minutes, whole % 60);
    else
        snprintf(out, capacity, "%lld:%02lld", minutes, whole % 60);
}

/* Cut to the terminal's width: a line that wraps is not drawn over. The last column may wrap. */
static void line_draw(const char *line) {
    int columns = terminal_size_of_errors().columns - 1;
    fprintf(stderr, "\r%.*s", (int)terminal_cut(line, columns > 0 ? columns : 0), line);
}

void progress_show(PrepareProgress *p, int64_t done) {
    double now = clock_seconds(), megabytes = (double)done * 1e-6,
           rate = megabytes / (now - p->start);
    char left[32], line[128];
    if (!p->is_terminal || now - p->shown < refresh) return;
    p->shown = now;
    if (p->bytes == 0) {
        snprintf(line, sizeof line, "%.1f MB, %.1f MB/s ", megabytes, rate);
        line_draw(line);
        return;
    }
    double total = (double)p->bytes * 1e-6;
    time_write((total - megabytes) / rate, left, sizeof left);
    snprintf(line, sizeof line, "%5.1f%% of %.1f MB, %.1f MB/s, %s left ", 100 * megabytes / total,
             total, rate, left);
    line_draw(line);
}

void progress_clear(const PrepareProgress *p) {
    if (p->is_terminal) fputs("\r\033[K", stderr);
}
