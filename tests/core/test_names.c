#include "core/base/names.h"
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

static void names_keep_their_values(void) {
    enum { NAMES = 20000 };
    Arena arena = {0};
    Names names = {0};
    for (size_t i = 0; i < NAMES; i++) {
        char *name = arena_printf(&arena, "n%zu", i);
        void **place = names_add(&names, &arena, name);
        CHECK(place != NULL && *place == NULL);
        *place = name;
        CHECK(names_add(&names, &arena, name) == place);
    }
    for (size_t i = 0; i < NAMES; i++) {
        char text[32];
        int bytes = snprintf(text, sizeof text, "n%zu.rest", i) - 5;
        void **place = names_find(&names, text, (size_t)bytes);
        CHECK(place != NULL && strncmp(*place, text, (size_t)bytes) == 0);
    }
    CHECK(names_find(&names, "n", 1) == NULL && names_find(&names, "n20000", 6) == NULL);
    arena_free(&arena);
}

static void an_empty_name_is_a_name(void) {
    Arena arena = {0};
    Names names = {0};
    CHECK(names_find(&names, "", 0) == NULL);
    CHECK(names_add(&names, &arena, "") != NULL);
    CHECK(names_find(&names, "", 0) != NULL && names_find(&names, "a", 1) == NULL);
    arena_free(&arena);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(names_keep_their_values), TEST(an_empty_name_is_a_name)};
    return harness_run(argc, argv, "names", tests, COUNT(tests));
}
