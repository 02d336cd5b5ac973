#include "launch/config/suggest.h"
#include "launch/config/value.h"
#include "tests/harness.h"

#include <string.h>

static void counts(void) {
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"12", 12},
                {"-3", -3},
                {"10k", 10000},
                {"1M", 1000000},
                {"2.5M", 2500000},
                {"3G", 3000000000LL},
                {"1e6", 1000000},
                {".5k", 500},
                {"1.50e1", 15},
                {"9223372036854775807", INT64_MAX}};
    int64_t value;
    for (size_t i = 0; i < COUNT(good); i++)
        CHECK(value_parse_int(good[i].text, &value) && value == good[i].value);
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "1K",
                                      "1kk",
                                      "1.5",
                                      "0x1",
                                      "--1",
                                      "+1",
                                      "1e-1",
                                      "k",
                                      "-",
                                      "1_0",
                                      "1,0",
                                      "1m",
                                      "nan",
                                      "1e400",
                                      "9223372036854775808",
                                      "10000000000G"};
    for (size_t i = 0; i < COUNT(bad); i++) CHECK(!value_parse_int(bad[i], &value));
    uint64_t large;
    CHECK(value_parse_u64("18446744073709551615", &large) && large == UINT64_MAX);
    CHECK(!value_parse_u64("18446744073709551616", &large) && !value_parse_u64("-1", &large));
}

static void floats_and_bools(void) {
    double value;
    CHECK(value_parse_float("6e-4", &value) && value == 6e-4);
    CHECK(value_parse_float("-.5", &value) && value == -0.5);
    CHECK(value_parse_float("5.", &value) && value == 5);
    static const char *const bad[] = {"",    ".",     "e5",    "1e", "1k",   "inf",
                                      "nan", "0x1p3", "1e999", "1 ", "1.2.3"};
    for (size_t i = 0; i < COUNT(bad); i++) CHECK(!value_parse_float(bad[i], &value));
    bool is;
    CHECK(value_parse_bool("yes", &is) && is && value_parse_bool("Off", &is) && !is &&
          value_parse_bool("TRUE", &is));
    CHECK(!value_parse_bool("1", &is) && !value_parse_bool("", &is) && !value_parse_bool("y", &is));
}

static void budgets(void) {
    ConfigBudget b;
    CHECK(value_parse_budget("36GiB", &b) && b.bytes == (size_t)36 << 30 && b.percent == 0);
    CHECK(value_parse_budget("80GB", &b) && b.bytes == 80000000000u);
    CHECK(value_parse_budget("1.5MiB", &b) && b.bytes == 1572864);
    CHECK(value_parse_budget("512kB", &b) && b.bytes == 512000 && value_parse_budget("7B", &b) &&
          b.bytes == 7);
    CHECK(value_parse_budget("90%", &b) && b.percent == 90 && b.bytes == 0);
    CHECK(value_parse_budget("0.5%", &b) && b.percent == 0.5);
    static const char *const bad[] = {"",       "36",  "0%",  "101%",           "-1GiB", "0B",
                                      "36 GiB", "GiB", "36g", "99999999999TiB", "%"};
    for (size_t i = 0; i < COUNT(bad); i++) CHECK(!value_parse_budget(bad[i], &b));
}

static void durations(void) {
    double s;
    CHECK(value_parse_duration("1h30m", &s) && s == 5400);
    CHECK(value_parse_duration("2d1h1m1s1ms", &s) && s == 176461.001);
    CHECK(value_parse_duration("500ms", &s) && s == 0.5 && value_parse_duration("1.5h", &s) &&
          s == 5400);
    static const char *const bad[] = {"",    "10", "1h 30m", "30m1h", "1m1m", "1x",
                                      "-1h", "h",  "1hm",    "1min",  "1h30"};
    for (size_t i = 0; i < COUNT(bad); i++) CHECK(!value_parse_duration(bad[i], &s));
}

static void intervals(void) {
    ConfigInterval v;
    CHECK(value_parse_interval("500", &v) && v.steps == 500 && v.seconds == 0);
    CHECK(value_parse_interval("500 steps", &v) && v.steps == 500 &&
          value_parse_interval("1 step", &v) && v.steps == 1);
    CHECK(value_parse_interval("10k steps", &v) && v.steps == 10000 &&
          value_parse_interval("2M", &v) && v.steps == 2000000);
    CHECK(value_parse_interval("10m", &v) && v.steps == 0 && v.seconds == 600);
    CHECK(value_parse_interval("0", &v) && v.steps == 0 && v.seconds == 0);
    static const char *const bad[] = {"",        "-1",       "0s",    "10m steps",
                                      "5 stops", "5  steps", "steps", "1.5"};
    for (size_t i = 0; i < COUNT(bad); i++) CHECK(!value_parse_interval(bad[i], &v));
}

#define WRITTEN(text, call)                                                                        \
    do {                                                                                           \
        char buffer[64] = "";                                                                      \
        FILE *file = fmemopen(buffer, sizeof buffer, "w");                                         \
        call;                                                                                      \
        fclose(file);                                                                              \
        CHECK(strcmp(buffer, text) == 0);                                                          \
    } while (0)

static void values_are_written_shortly(void) {
    WRITTEN("0.1", value_write_float(0.1, file));
    WRITTEN("0.30000000000000004", value_write_float(0.1 + 0.2, file));
    WRITTEN("1h30m", value_write_duration(5400, file));
    WRITTEN("0.5s", value_write_duration(0.5, file));
    WRITTEN("26h", value_write_duration(93600, file));
    WRITTEN("36GiB", value_write_budget((ConfigBudget){(size_t)36 << 30, 0}, file));
    WRITTEN("1001B", value_write_budget((ConfigBudget){1001, 0}, file));
    WRITTEN("90%", value_write_budget((ConfigBudget){0, 90}, file));
    WRITTEN("500", value_write_interval((ConfigInterval){500, 0}, file));
    WRITTEN("val/loss", value_write_string("val/loss", true, file));
    WRITTEN("\"NULL\"", value_write_string("NULL", true, file));
    WRITTEN("\"\"", value_write_string("", true, file));
    WRITTEN("\"...\"", value_write_string("...", true, file));
    WRITTEN("\"a$${b\"", value_write_string("a${b", true, file));
    WRITTEN("\"a\\x0Ab\"", value_write_string("a\nb", true, file));
}

static void slips_are_recognized(void) {
    static const char *const names[] = {"float32", "bfloat16", "seed", NULL};
    CHECK(edit_distance("kitten", "sitting", 3) == 3 && edit_distance("", "abc", 63) == 3 &&
          edit_distance("a", "a", 0) == 0);
    CHECK(edit_distance("kitten", "sitting", 2) == SIZE_MAX &&
          edit_distance("", "abc", 2) == SIZE_MAX);
    CHECK(strcmp(suggest("bfloat15", names), "bfloat16") == 0 &&
          strcmp(suggest("sede", names), "seed") == 0);
    CHECK(suggest("completely", names) == NULL && suggest("", names) == NULL &&
          suggest("x", names) == NULL);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(counts),
                          TEST(floats_and_bools),
                          TEST(budgets),
                          TEST(durations),
                          TEST(intervals),
                          TEST(values_are_written_shortly),
                          TEST(slips_are_recognized)};
    return harness_run(argc, argv, "config values", tests, COUNT(tests));
}
