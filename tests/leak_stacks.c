/* Preloaded under the sanitizers: with it the two innermost callers of an allocation tell
 * LeakSanitizer that it was one of MPI's (tests/leaks.supp). Otherwise each allocation would have
 * to unwind its whole stack, which takes three quarters of the time of a run under mpirun.
 *
 * Modules stay loaded, so that their addresses have names. The caller of asprintf, which libc's
 * hides, is found by the frame pointers that this file is compiled with. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int dlclose(void *handle) {
    (void)handle;
    return 0;
}

int vasprintf(char **out, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    *out = length < 0 ? NULL : malloc((size_t)length + 1);
    return *out == NULL ? -1 : vsnprintf(*out, (size_t)length + 1, format, arguments);
}

int asprintf(char **out, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(out, format, arguments);
    va_end(arguments);
    return length;
}

/* What callers have that are compiled with _FORTIFY_SOURCE. */
int __vasprintf_chk(char **out, int flag, const char *format, va_list arguments) {
    (void)flag;
    return vasprintf(out, format, arguments);
}

int __asprintf_chk(char **out, int flag, const char *format, ...) {
    (void)flag;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(out, format, arguments);
    va_end(arguments);
    return length;
}
