#include "launch/study/point.h"

#include "core/base/escape.h"
#include "launch/base/text_file.h"
#include "launch/base/utc.h"
#include "launch/run/run_lock.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAIL_BYTES = 1 << 16, OUT_OF_MEMORY = 71 };

const char *point_state_name(PointState state) {
    static const char *const names[] = {"waiting", "running", "interrupted",
                                        "done",    "failed",  "oom"};
    return names[state];
}

bool point_exit_is_final(int code) {
    return code == 64 || code == 65 || code == OUT_OF_MEMORY || code == 78;
}

const char *point_limit(const StudyPoint *point, char text[LIMIT_BYTES]) {
    snprintf(text, LIMIT_BYTES, "%s", point->limit == NULL ? "" : point->limit);
    if (point->combination >= 0)
        snprintf(text, LIMIT_BYTES, "training.stop.early=%.10g%%", 100 * point->share);
    return text;
}

bool point_is_given_up(const StudyPoint *point, int64_t retries) {
    const PointStatus *s = &point->status;
    if (s->state != POINT_FAILED || s->is_unreadable) return false;
    bool has_lost = s->has_diverged && point->combination >= 0;
    bool is_final = point_exit_is_final(s->exit_code) && !point->is_asked;
    return has_lost || is_final || s->failures > retries;
}

static void path_of(const StudyPoint *point, const char *name, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%s/%s", point->directory, name);
}

static void tally_line(PointTally *tally, const char *line) {
    int code;
    if (strncmp(line, "start ", 6) == 0) {
        tally->attempts++;
        tally->exit_code = -1;
    } else if (sscanf(line, "exit %d", &code) == 1) {
        tally->exit_code = code;
        if (code == 0) tally->failures = 0; /* the next stage has its own */
        tally->failures += code != 0 && code != 75 && !point_exit_is_final(code);
    }
}

static Status note(StudyPoint *point, const char *what, const char *where) {
    char path[PATH_MAX], line[256], now[UTC_BYTES];
    utc_now(now);
    snprintf(line, sizeof line, "%s %s%s", what, now, where);
    path_of(point, "attempts.log", path);
    Status status = text_file_append(path, line);
    point->is_lost_newest = failed(status);
    if (!failed(status)) return OK;
    point->lost.exit_code = -1; /* `stopped` follows a start */
    tally_line(&point->lost, line);
    return status;
}

Status point_note_start(StudyPoint *point) {
    char host[130] = " ";
    gethostname(host + 1, sizeof host - 2);
    return note(point, "start", host);
}

Status point_note_end(StudyPoint *point, int code, bool stopped) {
    char what[32];
    snprintf(what, sizeof what, "%s %d", stopped ? "stopped" : "exit", code);
    return note(point, what, "");
}

/* Parses attempts.log and counts attempts and failures, those that it lacks included. */
static Status read_attempts(StudyPoint *point, char *text, size_t capacity) {
    PointTally tally = {.exit_code = -1};
    const PointTally *lost = &point->lost;
    char path[PATH_MAX], *rest = text;
    path_of(point, "attempts.log", path);
    TRY(text_file_tail(path, text, capacity));
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
        tally_line(&tally, line);
    point->status.attempts = tally.attempts + lost->attempts;
    point->status.failures = tally.failures + lost->failures;
    point->status.exit_code = point->is_lost_newest ? lost->exit_code : tally.exit_code;
    return OK;
}

/* The last error line of a program, `NAME: error: ...`; NULL if there is none. Modifies the text:
 * its lines become strings. */
static const char *error_line_last(char *text) {
    const char *found = NULL;
    for (char *line = strsep(&text, "\n"); line != NULL; line = strsep(&text, "\n")) {
        if (strstr(line, "error: ") != NULL) found = line;
    }
    return found;
}

/* The last error of the last attempt, without the name of the program. */
static void read_message(StudyPoint *point, char *text, size_t capacity) {
    PointStatus *s = &point->status;
    char path[PATH_MAX];
    path_of(point, "stderr.log", path);
    const char *found = failed(text_file_tail(path, text, capacity)) ? NULL : error_line_last(text);
    if (found == NULL) {
        snprintf(s->message, sizeof s->message, "ended with exit code %d; see %.300s", s->exit_code,
                 path);
    } else {
        size_t prefix = strncmp(found, "train: error: ", 14) == 0 ? 14 : 0;
        escape_text(found + prefix, s->message, sizeof s->message);
    }
}

/* From the exit code or, if a launcher replaced it or it was not recorded, from the run's own
 * files. */
static bool has_no_room(const PointStatus *s, const char *outcome) {
    return s->exit_code == OUT_OF_MEMORY || strcmp(outcome, "no_room") == 0;
}

/* The end of a rung or of a trunk's stage; another run ends where its own config says. */
static bool has_reached(const StudyPoint *point) {
    if (point->limit != NULL) return run_share(&point->cut, point_position(point)) >= 1;
    return point->combination < 0 || point_share(point) >= point->share - 1e-9;
}

static PointState state_of(const StudyPoint *point, const char *summary_status,
                           const char *outcome) {
    const PointStatus *s = &point->status;
    bool is_done = strcmp(summary_status, "done") == 0; /* with this stage or the one before */
    if (is_done && has_reached(point)) return POINT_DONE;
    if (run_lock_is_taken(point->directory)) return POINT_RUNNING;
    if (has_no_room(s, outcome)) return POINT_OOM;
    if (is_done && s->exit_code <= 0) return POINT_WAITING; /* for the next stage */
    if (s->exit_code >= 0 && s->exit_code != 75) return POINT_FAILED;
    return s->attempts > 0 || summary_status[0] != '\0' ? POINT_INTERRUPTED : POINT_WAITING;
}

/* A run whose files cannot be read could be started for ever. One that trains, or is done, needs no
 * start. */
static void refresh_failed(StudyPoint *point) {
    PointStatus *s = &point->status;
    if (s->state == POINT_DONE || s->state == POINT_RUNNING) return;
    s->state = POINT_FAILED;
    s->is_unreadable = true;
    snprintf(s->message, sizeof s->message, "%s", status_message());
}

void point_refresh(StudyPoint *point) {
    char text[TAIL_BYTES];
    char summary_status[16], outcome[16];
    point->status = (PointStatus){.exit_code = -1};
    Status status = point_read_numbers(point, summary_status, outcome);
    if (!failed(status)) status = read_attempts(point, text, sizeof text);
    point->status.has_diverged = strcmp(outcome, "diverged") == 0;
    point->status.state = state_of(point, summary_status, outcome);
    if (failed(status)) {
        refresh_failed(point);
    } else if (point->status.state == POINT_FAILED || point->status.state == POINT_OOM) {
        read_message(point, text, sizeof text);
    }
}
