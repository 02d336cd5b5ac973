/* The framework of C test programs: CUnit, and one last line `N passed, N failed, N
 * skipped`.
 *
 *   static void adds(void) { CHECK(1 + 1 == 2); }
 *   int main(int argc, char **argv) {
 *       const Test tests[] = {TEST(adds)};
 *       return harness_run(argc, argv, "arithmetic", tests, COUNT(tests));
 *   }
 *
 * With names as arguments, only those tests run. */
#pragma once

#include "core/status.h"

#include <CUnit/CUnit.h>
#include <stdbool.h>
#include <stddef.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define CHECK(condition) CU_ASSERT(condition)

/* CHECK_OK(status): the status is OK; otherwise prints its message. REQUIRE_OK also ends the test
 * function. */
#define CHECK_OK(expression) harness_check_ok((expression), __FILE__, __LINE__, #expression)
#define REQUIRE_OK(expression)                                                                     \
    do {                                                                                           \
        if (!CHECK_OK(expression)) return;                                                         \
    } while (0)

/* CHECK_ERROR(expression, code, part): failed with this code, and the message contains `part`. */
#define CHECK_ERROR(expression, code, part)                                                        \
    harness_check_error((expression), (code), (part), __FILE__, __LINE__)

/* CHECK_CLOSE(a, b, tolerance): |a - b| <= tolerance * max(1, |b|), and neither is NaN. */
#define CHECK_CLOSE(a, b, tolerance) harness_check_close((a), (b), (tolerance), __FILE__, __LINE__)

/* SKIP(reason): for tests that this machine cannot run at all (no GPU); counted and named, never
 * silent. */
#define SKIP(reason)                                                                               \
    do {                                                                                           \
        harness_skip(reason);                                                                      \
        return;                                                                                    \
    } while (0)

typedef struct Test {
    const char *name;
    void (*run)(void);
} Test;

#define TEST(function)                                                                             \
    { #function, function }

/* Runs the tests and prints the last line; returns the exit code of the program. */
int harness_run(int argc, char **argv, const char *suite, const Test *tests, size_t count);

bool harness_check_ok(Status status, const char *file, int line, const char *expression);
bool harness_check_error(Status status, StatusCode code, const char *part, const char *file,
                         int line);
bool harness_check_close(double a, double b, double tolerance, const char *file, int line);
void harness_skip(const char *reason);

/* A fresh directory for one test, below $TMPDIR or /tmp; removed with its content at the end of the
 * program. */
const char *harness_directory(void);

/* DIRECTORY/NAME, in one of eight rotating buffers. */
const char *path_in(const char *directory, const char *name);
