#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES = 2048, TRACE_BYTES = 4096 };

static _Thread_local char message[MESSAGE_BYTES];
static _Thread_local char trace[TRACE_BYTES];

static void trace_append(const char *file, int line, const char *what) {
    size_t used = strlen(trace);
    snprintf(trace + used, TRACE_BYTES - used, "  at %s:%d: %s\n", file, line, what);
}

Status status_error(StatusCode code, const char *file, int line, const char *format, ...) {
    /* Formatted aside first: an argument may be the old message itself. */
    char text[MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    memcpy(message, text, sizeof message);
    trace[0] = '\0';
    trace_append(file, line, "raised");
    return (Status){.code = code};
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
    case STATUS_NO_ROOM: return 71;
    case STATUS_STOPPED: return 75;
    case STATUS_CONFIG:
    case STATUS_UNSUPPORTED: return 78;
    case STATUS_FAILURE: break;
    }
    return 1;
}

int status_report(const char *program, Status status) {
    if (failed(status)) {
        /* A message about a place in a file already reads `FILE:LINE:COLUMN: error: ...`. */
        if (strstr(message, ": error: ") == NULL) fprintf(stderr, "%s: error: ", program);
        fprintf(stderr, "%s\n", message);
        if (getenv("HOURGLASS_TRACE") != NULL) fputs(trace, stderr);
    }
    return status_exit_code(status.code);
}
