/* Status: how every fallible function of the project answers.
 *
 * A function that can fail returns a nodiscard Status; TRY passes a failure up and notes the place
 * it passed. The message belongs to the calling thread and is one line: it names the file, the
 * place and what to do. Whatever text it quotes, no control character is in it: see
 * core/base/escape.h. (A config's error adds the source line below it, for the eye; its first line
 * says it all.) Libraries never exit or abort; only a main reports (status_report) and turns the
 * code into an exit code. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

#define NODISCARD __attribute__((warn_unused_result))

typedef enum StatusCode {
    STATUS_OK = 0,
    STATUS_FAILURE,     /* the machine or the library failed: disk full, a dead rank */
    STATUS_USAGE,       /* the command line is wrong */
    STATUS_DATA,        /* an input file is wrong */
    STATUS_STOPPED,     /* stopped early on request, with a good checkpoint: start me again */
    STATUS_CONFIG,      /* the experiment config is wrong, or asks for what this machine lacks */
    STATUS_UNSUPPORTED, /* a backend refuses this call, with its reason */
    STATUS_NO_ROOM,     /* it does not fit the memory that there is */
} StatusCode;

typedef struct Status {
    StatusCode code;
    int is_shared; /* by all ranks, which have agreed on it and its message (dist/world.h) */
} Status;

#define OK ((Status){.code = STATUS_OK})

/* ERROR(code, format, ...): makes a failed Status with its message, replacing the thread's last
 * one. */
#define ERROR(code, ...) status_error((code), __FILE__, __LINE__, __VA_ARGS__)

/* TRY(expression): returns from the calling function where the expression failed, adding this place
 * to the trace. */
#define TRY(expression)                                                                            \
    do {                                                                                           \
        Status try_status_ = (expression);                                                         \
        if (try_status_.code != STATUS_OK)                                                         \
            return status_passed(try_status_, __FILE__, __LINE__, #expression);                    \
    } while (0)

/* TRY_ELSE(status, expression, label): the same for a function that must clean up: keeps the
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

/* An ERROR with lines below its message: `excerpt`, in which newlines and tabs stay. */
NODISCARD Status status_error_excerpt(StatusCode code, const char *file, int line,
                                      const char *excerpt, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Puts `PREFIX: ` before the message of a failure, whose code, excerpt and trace stay. */
NODISCARD Status status_prefixed(Status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A failure put aside, for what comes after it may fail, too; or on its way to another thread or
 * rank. Plain bytes. */
enum { STATUS_MESSAGE_BYTES = 2048 };
typedef struct StatusRecord {
    Status status;
    char message[STATUS_MESSAGE_BYTES];
} StatusRecord;

void status_keep(Status status, StatusRecord *out);

/* The failure again, as this thread's last one; OK where it was none. */
NODISCARD Status status_restore(const StatusRecord *record);

static inline int failed(Status status) { return status.code != STATUS_OK; }

/* The calling thread's last message, one line without a newline, valid until its next ERROR. */
const char *status_message(void);

/* Where the last failure arose and what passed it up, one place a line, for HOURGLASS_TRACE=1 and
 * for logs. */
const char *status_trace(void);

/* The documented exit code: 0 done, 1 failure, 64 usage, 65 data, 71 no room, 75 stopped early, 78
 * config. */
int status_exit_code(StatusCode code);

/* Prints `program: warning: MESSAGE` to stderr, a line for each line of `lines`; nothing for an
 * empty text. */
void status_warn(const char *program, const char *lines);

/* Prints `program: error: MESSAGE` to stderr (and the trace where HOURGLASS_TRACE is set); returns
 * the exit code. */
int status_report(const char *program, Status status);

#ifdef __cplusplus
}
#endif
