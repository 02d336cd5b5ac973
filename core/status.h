/* Status: the result of every fallible function of the project.
 *
 * A function that can fail returns a nodiscard Status; TRY returns a failure to the caller and adds
 * a line to the trace. The message belongs to the calling thread and is one line: file, location,
 * fix. Quoted text contains no control characters: see core/base/escape.h. A config error adds the
 * source line below the message; the first line is complete without it. Libraries never exit or
 * abort; only a main function reports (status_report) and converts the code into an exit code. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

#define NODISCARD __attribute__((warn_unused_result))

typedef enum StatusCode {
    STATUS_OK = 0,
    STATUS_FAILURE, /* the machine or the library failed: disk full, a dead rank */
    STATUS_USAGE,   /* the command line is wrong */
    STATUS_DATA,    /* an input file is wrong */
    STATUS_STOPPED, /* stopped early on request, with a good checkpoint; can be resumed */
    STATUS_CONFIG,  /* the experiment config is wrong, or needs features that this machine lacks */
    STATUS_UNSUPPORTED,   /* a backend refuses this call, with a reason */
    STATUS_OUT_OF_MEMORY, /* not enough memory */
} StatusCode;

typedef struct Status {
    StatusCode code;
    int is_shared; /* agreed on by all ranks, with its message (dist/world.h) */
} Status;

#define OK ((Status){.code = STATUS_OK})

/* ERROR(code, format, ...): creates a failed Status and replaces the thread's last message. */
#define ERROR(code, ...) status_error((code), __FILE__, __LINE__, __VA_ARGS__)

/* OUT_OF_MEMORY("a config"), OUT_OF_MEMORY("%s", path): the failed Status of an allocation of the
 * host's memory. The first argument is a literal. */
#define OUT_OF_MEMORY(what, ...)                                                                   \
    ERROR(STATUS_OUT_OF_MEMORY, "out of memory for " what "; free memory, or raise its limit",     \
          ##__VA_ARGS__)

/* TRY(expression): returns from the calling function if the expression fails, and adds this line to
 * the trace. */
#define TRY(expression)                                                                            \
    do {                                                                                           \
        Status try_status_ = (expression);                                                         \
        if (try_status_.code != STATUS_OK)                                                         \
            return status_passed(try_status_, __FILE__, __LINE__, #expression);                    \
    } while (0)

/* TRY_ELSE(status, expression, label): the same for a function that must clean up: stores the
 * failure in the local variable `status` and jumps. */
#define TRY_ELSE(status, expression, label)                                                        \
    do {                                                                                           \
        (status) = (expression);                                                                   \
        if ((status).code != STATUS_OK) {                                                          \
            (status) = status_passed((status), __FILE__, __LINE__, #expression);                   \
            goto label;                                                                            \
        }                                                                                          \
    } while (0)

NODISCARD Status status_error(StatusCode code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
NODISCARD Status status_passed(Status status, const char *file, int line, const char *expression);

/* ERROR with additional lines below the message: `excerpt` keeps its newlines and tabs. */
NODISCARD Status status_error_excerpt(StatusCode code, const char *file, int line,
                                      const char *excerpt, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Prepends `PREFIX: ` to the message of a failure; keeps its code, excerpt and trace. */
NODISCARD Status status_prefixed(Status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A saved failure: survives later errors, and can be sent to another thread or rank. Plain
 * bytes. */
enum { STATUS_MESSAGE_BYTES = 2048 };
typedef struct StatusRecord {
    Status status;
    char message[STATUS_MESSAGE_BYTES];
} StatusRecord;

void status_keep(Status status, StatusRecord *out);

/* Restores the failure as this thread's last one; OK if none was saved. */
NODISCARD Status status_restore(const StatusRecord *record);

static inline int failed(Status status) { return status.code != STATUS_OK; }

/* The calling thread's last message, one line without a newline, valid until its next ERROR. */
const char *status_message(void);

/* The source lines where the last failure was created and passed up, one per line, for
 * HOURGLASS_TRACE=1 and for logs. */
const char *status_trace(void);

/* The documented exit code: 0 done, 1 failure, 64 usage, 65 data, 71 not enough memory, 75 stopped
 * early, 78 config. */
int status_exit_code(StatusCode code);

/* Prints `program: warning: MESSAGE` to stderr, one line for each line of `lines`; nothing if the
 * text is empty. */
void status_warn(const char *program, const char *lines);

/* Prints `program: error: MESSAGE` to stderr, with the trace if HOURGLASS_TRACE is set; returns the
 * exit code. */
int status_report(const char *program, Status status);

#ifdef __cplusplus
}
#endif
