/* watch: shows runs as they go, in a terminal or as a page. */
#include "core/base/clock.h"
#include "launch/base/at_load.h"
#include "launch/base/options.h"
#include "launch/base/streams.h"
#include "launch/watch/live.h"
#include "launch/watch/run_page.h"
#include "launch/watch/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { REFRESH_S = 1, PAGE_S = 10, COLUMNS_OF_TEXT = 80 };

typedef struct WatchOptions {
    bool once;
    const char *html;
} WatchOptions;

static const Option options[] = {
    {"once", OPTION_FLAG, offsetof(WatchOptions, once), .doc = "show what is there now and end"},
    {"html", OPTION_TEXT, offsetof(WatchOptions, html), "FILE",
     .doc = "write a page, again every 10 s until the runs end; a browser reloads it"},
};

static void print_notes(FILE *file) {
    fputs("RUN is the directory of a run, such as runs/quickstart. ./watch ends when the runs end. "
          "If the\noutput is no terminal, it prints them once. See docs/watching.md.\n",
          file);
}

static const CommandLine command = {
    .name = "watch",
    .purpose = "Shows runs as they go: loss curve, throughput, memory, time left.",
    .operands = "RUN...",
    .least = 1,
    .most = 64,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .more = print_notes,
};

typedef struct Watching {
    WatchedRun *runs;
    int n;
    const WatchOptions *values;
    Live live;
    double page_written; /* clock_seconds; 0: never */
} Watching;

static Status page(Watching *w, bool is_last) {
    bool is_due = w->page_written == 0 || clock_seconds() - w->page_written >= PAGE_S;
    if (w->values->html == NULL || !(is_due || is_last)) return OK;
    w->page_written = clock_seconds();
    return run_page_write(w->runs, w->n, PAGE_S, w->values->html);
}

/* Shows the runs in the terminal; elsewhere once, unless they go to a page. */
static Status show(Watching *w, bool is_last) {
    TerminalSize terminal = terminal_size();
    bool is_terminal = terminal.columns > 0, is_live = is_terminal && !w->values->once;
    if (!is_terminal && (w->values->html != NULL || !is_last)) return OK;
    ViewSize size = {.columns = is_terminal ? terminal.columns - 1 : COLUMNS_OF_TEXT,
                     .rows = is_live ? terminal.rows : 0,
                     .unicode = view_has_unicode()};
    char *text;
    Status status = view_text(w->runs, w->n, &size, &text);
    if (!failed(status) && is_live)
        live_draw(&w->live, text);
    else if (!failed(status))
        fputs(text, stdout);
    free(text);
    return status;
}

static Status runs_read(Watching *w) {
    for (int i = 0; i < w->n; i++) TRY(watched_run_read(&w->runs[i]));
    return OK;
}

static Status follow(Watching *w) {
    const struct timespec pause = {.tv_sec = REFRESH_S};
    bool follows = !w->values->once && (terminal_size().columns > 0 || w->values->html != NULL);
    for (bool is_last = false; !is_last;) {
        is_last = !follows || !watched_runs_go_on(w->runs, w->n);
        TRY(show(w, is_last));
        TRY(streams_flush(page(w, is_last)));
        if (is_last) break;
        nanosleep(&pause, NULL);
        TRY(runs_read(w));
    }
    return OK;
}

static Status watch(const Arguments *arguments, const WatchOptions *values) {
    int n = arguments->operand_count;
    Watching w = {.runs = calloc((size_t)n, sizeof *w.runs), .values = values};
    if (w.runs == NULL) return OUT_OF_MEMORY("%d runs", n);
    Status status = OK;
    for (; w.n < n && !failed(status); w.n++)
        status = watched_run_open(arguments->operands[w.n], &w.runs[w.n]);
    if (!failed(status)) status = follow(&w);
    for (int i = 0; i < w.n; i++) watched_run_close(&w.runs[i]);
    free(w.runs);
    return status;
}

int main(int argc, char **argv) {
    at_load_restore();
    streams_open();
    WatchOptions values = {0};
    Arguments arguments;
    Status status = options_parse(&command, argc, argv, &values, &arguments);
    if (!failed(status) && !options_answer(&command, &arguments, &build_info, stdout))
        status = watch(&arguments, &values);
    arguments_destroy(&arguments);
    return streams_report("watch", status);
}
