#include "tests/harness.h"

#include <CUnit/Basic.h>
#include <ftw.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int skipped;
static bool skipped_now;
static char directories[64][192];
static int n_directories;

static bool assert_at(bool passed, const char *text, const char *file, int line) {
    return CU_assertImplementation(passed, (unsigned)line, text, file, "", CU_FALSE) == CU_TRUE;
}

bool harness_check_ok(Status status, const char *file, int line, const char *expression) {
    if (failed(status)) printf("\n    %s: %s\n%s", expression, status_message(), status_trace());
    return assert_at(!failed(status), expression, file, line);
}

bool harness_check_error(Status status, StatusCode code, const char *part, const char *file,
                         int line) {
    bool right = status.code == code && strstr(status_message(), part) != NULL;
    if (!right) {
        printf("\n    wanted code %d and '%s'\n    got    code %d and '%s'\n", code, part,
               status.code, failed(status) ? status_message() : "");
    }
    return assert_at(right, part, file, line);
}

bool harness_check_close(double a, double b, double tolerance, const char *file, int line) {
    double error = fabs(a - b), bound = tolerance * fmax(1.0, fabs(b));
    bool close = error <= bound;
    if (!close)
        printf("\n    %.17g against %.17g: off by %.3g, allowed %.3g\n", a, b, error, bound);
    return assert_at(close, "values are close", file, line);
}

void harness_skip(const char *reason) {
    skipped_now = true;
    printf("skipped (%s) ", reason);
}

static int entry_remove(const char *path, const struct stat *info, int type, struct FTW *walk) {
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static void directories_remove(void) {
    for (int i = 0; i < n_directories; i++)
        nftw(directories[i], entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

const char *harness_directory(void) {
    if (n_directories == COUNT(directories)) abort();
    char *path = directories[n_directories];
    const char *parent = getenv("TMPDIR");
    int length = snprintf(path, sizeof directories[0], "%s/hourglass-test-XXXXXX",
                          parent == NULL || parent[0] == '\0' ? "/tmp" : parent);
    if (length >= (int)sizeof directories[0] || mkdtemp(path) == NULL) {
        fprintf(stderr,
                "harness: error: %s: cannot make a directory there: set TMPDIR to another\n", path);
        exit(1);
    }
    if (n_directories++ == 0) atexit(directories_remove);
    return path;
}

const char *path_in(const char *directory, const char *name) {
    static char paths[8][PATH_MAX];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_MAX, "%s/%s", directory, name);
    return path;
}

static bool is_chosen(int argc, char **argv, const char *name) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0) return true;
    }
    return argc <= 1;
}

static void count_skip(const CU_pTest test, const CU_pSuite suite) {
    (void)test, (void)suite;
    skipped += skipped_now;
    skipped_now = false;
}

static void complete(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord failure) {
    count_skip(test, suite);
    printf("%s\n", failure == NULL ? "ok" : "FAILED");
    for (CU_pFailureRecord f = failure; f != NULL && f->pTest == test; f = f->pNext) {
        printf("    %s:%u: %s\n", f->strFileName, f->uiLineNumber, f->strCondition);
    }
    fflush(stdout);
}

static void announce(const CU_pTest test, const CU_pSuite suite) {
    printf("  %s: %s ... ", suite->pName, test->pName);
    fflush(stdout);
}

int harness_run(int argc, char **argv, const char *suite_name, const Test *tests, size_t count) {
    if (CU_initialize_registry() != CUE_SUCCESS) return 1;
    CU_pSuite suite = CU_add_suite(suite_name, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        if (is_chosen(argc, argv, tests[i].name)) CU_add_test(suite, tests[i].name, tests[i].run);
    }
    CU_set_test_start_handler(announce);
    CU_set_test_complete_handler(complete);
    CU_run_all_tests();
    int ran = (int)CU_get_number_of_tests_run(), wrong = (int)CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    printf("%d passed, %d failed, %d skipped\n", ran - wrong - skipped, wrong, skipped);
    return wrong > 0;
}
