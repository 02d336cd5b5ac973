#include "launch/base/streams.h"

#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int lost; /* errno of the first write that failed */

static ssize_t output_write(void *cookie, const char *from, size_t n) {
    (void)cookie;
    if (lost == 0) lost = file_write_all(STDOUT_FILENO, from, n);
    return (ssize_t)n;
}

/* A free descriptor below 3 would go to the next file that is opened, which would then receive
 * printed text. */
static void holes_fill(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        int hole = open("/dev/null", fd == STDIN_FILENO
                                         ? O_WRONLY
                                         : O_RDONLY); /* the lowest free one; its use gives EBADF */
        (void)hole;
    }
}

void streams_open(void) {
    holes_fill();
    FILE *output = fopencookie(NULL, "w", (cookie_io_functions_t){.write = output_write});
    if (output == NULL) return; /* libc's stdout works, except for EINTR */
    setvbuf(output, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, BUFSIZ);
    stdout = output;
}

Status streams_flush(Status status) {
    bool is_flushed = fflush(stdout) == 0;
    if (failed(status)) return status;
    if (lost == 0 && !is_flushed) lost = errno;
    return lost == 0 ? OK : file_cannot_write("standard output", lost);
}

int streams_report(const char *program, Status status) {
    char notice[512];
    status = streams_flush(status);
    if (file_notice_take(notice, sizeof notice)) status_warn(program, notice);
    return status_report(program, status);
}
