#include "core/status.h"

#include "core/base/escape.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRACE_BYTES = 4096 };

static _Thread_local char message[STATUS_MESSAGE_BYTES];
static _Thread_local char trace[TRACE_BYTES];

static void trace_append(const char *file, int line, const char *what) {
    size_t used = strlen(trace);
    snprintf(trace + used, TRACE_BYTES - used, "  at %s:%d: %s\n", file, line, what);
}

/* Format into a temporary first: an argument may be the old message. */
static void message_set(const char *excerpt, const char *format, va_list arguments) {
    char text[STATUS_MESSAGE_BYTES];
    vsnprintf(text, sizeof text, format, arguments);
    escape_text(text, message, sizeof message);
    size_t used = strlen(message);
    if (excerpt[0] == '\0') return;
    snprintf(message + used, sizeof message - used, "\n%s", excerpt);
    escape_mask(message + used);
}

Status status_error(StatusCode code, const char *file, int line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    message_set("", format, arguments);
    va_end(arguments);
    trace[0] = '\0';
    trace_append(file, line, "raised");
    return (Status){.code = code};
}

Status status_error_excerpt(StatusCode code, const char *file, int line, const char *excerpt,
                            const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    message_set(excerpt, format, arguments);
    va_end(arguments);
    trace[0] = '\0';
    trace_append(file, line, "raised");
    return (Status){.code = code};
}

Status status_prefixed(Status status, const char *format, ...) {
    char before[STATUS_MESSAGE_BYTES];
    va_list arguments;
    if (!failed(status)) return status;
    memcpy(before, message, sizeof before);
    va_start(arguments, format);
    message_set("", format, arguments);
    va_end(arguments);
    size_t used = strlen(message);
    snprintf(message + used, sizeof message - used, ": %s", before);
    return status;
}

void status_keep(Status status, StatusRecord *out) {
    *out = (StatusRecord){.status = status};
    if (failed(status)) memcpy(out->message, message, sizeof message);
}

Status status_restore(const StatusRecord *record) {
    if (!failed(record->status)) return OK;
    memcpy(message, record->message, sizeof message);
    message[sizeof message - 1] = '\0';
    return record->status;
}

Status status_passed(Status status, const char *file, int line, const char *expression) {
    trace_append(file, line, expression);
    return status;
}

const char *status_message(void) { return message; }

const char *status_trace(void) { return trace; }

int status_exit_code(StatusCode code) {
    switch (code) {
    case STATUS_OK: return 0;
    case STATUS_USAGE: return 64;
    case STATUS_DATA: return 65;
    case STATUS_OUT_OF_MEMORY: return 71;
    case STATUS_STOPPED: return 75;
    case STATUS_CONFIG:
    case STATUS_UNSUPPORTED: return 78;
    case STATUS_FAILURE: break;
    }
    return 1;
}

void status_warn(const char *program, const char *lines) {
    char text[STATUS_MESSAGE_BYTES];
    while (*lines != '\0') {
        size_t length = strcspn(lines, "\n");
        snprintf(text, sizeof text, "%.*s", (int)length, lines);
        fprintf(stderr, "%s: warning: ", program);
        escape_print(stderr, text);
        fputc('\n', stderr);
        lines += length + (lines[length] == '\n');
    }
}

int status_report(const char *program, Status status) {
    if (failed(status)) {
        /* A message about a position in a file already has the form `FILE:LINE:COLUMN: error:
         * ...`. */
        if (strstr(message, ": error: ") == NULL) fprintf(stderr, "%s: error: ", program);
        fprintf(stderr, "%s\n", message);
        if (getenv("HOURGLASS_TRACE") != NULL) fputs(trace, stderr);
    }
    return status_exit_code(status.code);
}
