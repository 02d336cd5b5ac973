#include "launch/config/value.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct ScaledUnit {
    const char *name;
    double scale;
} ScaledUnit;

static const ScaledUnit count_units[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {NULL, 0}};
static const ScaledUnit byte_units[] = {{"B", 1},
                                        {"kB", 1e3},
                                        {"KB", 1e3},
                                        {"MB", 1e6},
                                        {"GB", 1e9},
                                        {"TB", 1e12},
                                        {"KiB", 1024.0},
                                        {"MiB", 1048576.0},
                                        {"GiB", 1073741824.0},
                                        {"TiB", 1099511627776.0},
                                        {NULL, 0}};
static const ScaledUnit rate_units[] = {{"kb/s", 125},   {"Mb/s", 125e3}, {"Gb/s", 125e6},
                                        {"Tb/s", 125e9}, {"kB/s", 1e3},   {"MB/s", 1e6},
                                        {"GB/s", 1e9},   {"TB/s", 1e12},  {NULL, 0}};

/* Largest first, the order in a duration. */
static const ScaledUnit time_units[] = {{"d", 86400}, {"h", 3600},  {"m", 60},
                                        {"s", 1},     {"ms", 1e-3}, {NULL, 0}};

static double unit_scale(const ScaledUnit *units, const char *name) {
    for (; units->name != NULL; units++) {
        if (strcmp(units->name, name) == 0) return units->scale;
    }
    return 0;
}

/* Scans digits with at most one point and an optional exponent; advances the cursor. */
static bool scan_number(const char **cursor, double *out) {
    const char *text = *cursor, *c = text;
    if (*c == '+' || *c == '-') c++;
    size_t before = strspn(c, "0123456789");
    c += before;
    size_t after = 0;
    if (*c == '.') {
        after = strspn(c + 1, "0123456789");
        c += 1 + after;
    }
    if (before + after == 0) return false;
    if (*c == 'e' || *c == 'E') {
        const char *exponent = c + 1 + (c[1] == '+' || c[1] == '-');
        if (isdigit((unsigned char)*exponent)) c = exponent + strspn(exponent, "0123456789");
    }
    errno = 0; /* a number that is too small must not become 0 */
    *out = strtod(text, NULL);
    *cursor = c;
    return errno == 0;
}

bool value_parse_u64(const char *text, uint64_t *out) {
    size_t digits = strspn(text, "0123456789");
    double scale = unit_scale(count_units, text + digits);
    if (digits > 0 && scale > 0) {
        errno = 0;
        uint64_t value = strtoull(text, NULL, 10);
        return errno == 0 && !__builtin_mul_overflow(value, (uint64_t)scale, out);
    }
    double number;
    if (!scan_number(&text, &number)) return false;
    number *= unit_scale(count_units, text);
    /* Up to 2^53 a double represents integers exactly. */
    if (unit_scale(count_units, text) == 0 || number < 0 || number > 9007199254740992.0 ||
        number != floor(number)) {
        return false;
    }
    *out = (uint64_t)number;
    return true;
}

bool value_parse_int(const char *text, int64_t *out) {
    bool negative = *text == '-';
    uint64_t size;
    if (!isdigit((unsigned char)text[negative]) && text[negative] != '.') return false;
    if (!value_parse_u64(text + negative, &size) || size > INT64_MAX) return false;
    *out = negative ? -(int64_t)size : (int64_t)size;
    return true;
}

bool value_parse_float(const char *text, double *out) {
    return scan_number(&text, out) && *text == '\0';
}

bool value_parse_bool(const char *text, bool *out) {
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
    for (size_t i = 0; i < 3; i++) {
        *out = strcasecmp(text, yes[i]) == 0;
        if (*out || strcasecmp(text, no[i]) == 0) return true;
    }
    return false;
}

bool value_parse_budget(const char *text, ConfigBudget *out) {
    uint64_t whole;
    double number;
    *out = (ConfigBudget){0};
    size_t digits = strspn(text, "0123456789");
    double scale = unit_scale(byte_units, text + digits);
    if (digits > 0 && scale > 0) {
        errno = 0;
        whole = strtoull(text, NULL, 10);
        return errno == 0 && !__builtin_mul_overflow(whole, (uint64_t)scale, &out->bytes) &&
               out->bytes > 0;
    }
    if (!scan_number(&text, &number) || number <= 0) return false;
    if (strcmp(text, "%") == 0) {
        out->percent = number;
        return number <= 100;
    }
    number *= unit_scale(byte_units, text);
    if (number < 1 || number > 9007199254740992.0) return false;
    out->bytes = (size_t)number;
    return true;
}

bool value_parse_rate(const char *text, double *bytes_per_s) {
    double number;
    if (!scan_number(&text, &number)) return false;
    *bytes_per_s = number * unit_scale(rate_units, text);
    return *bytes_per_s >= 1 && isfinite(*bytes_per_s);
}

bool value_parse_duration(const char *text, double *seconds) {
    const ScaledUnit *next = time_units;
    double sum = 0;
    do {
        double number;
        if (!scan_number(&text, &number) || number < 0) return false;
        size_t length = strspn(text, "dhms");
        while (next->name != NULL &&
               (strlen(next->name) != length || strncmp(text, next->name, length) != 0))
            next++;
        if (next->name == NULL) return false;
        sum += number * next->scale;
        text += length;
        next++;
    } while (*text != '\0');
    *seconds = sum;
    return true;
}

/* A count and a word, such as "500 steps"; false if the text is no count or the word another. */
static bool parse_counted(const char *text, const char *word, int64_t *out) {
    char number[32];
    size_t length = strcspn(text, " ");
    if (strcmp(text + length, word) != 0 || length >= sizeof number) return false;
    memcpy(number, text, length);
    number[length] = '\0';
    return value_parse_int(number, out) && *out >= 0;
}

static bool parse_steps(const char *text, int64_t *out) {
    return parse_counted(text, "", out) || parse_counted(text, " steps", out) ||
           parse_counted(text, " step", out);
}

bool value_parse_interval(const char *text, ConfigInterval *out) {
    *out = (ConfigInterval){0};
    if (parse_steps(text, &out->steps)) return true;
    out->steps = 0;
    return value_parse_duration(text, &out->seconds) && out->seconds > 0;
}

static bool parse_percent(const char *text, double *out) {
    char number[32];
    size_t length = strlen(text);
    if (length < 2 || length > sizeof number || text[length - 1] != '%') return false;
    memcpy(number, text, length - 1);
    number[length - 1] = '\0';
    return value_parse_float(number, out) && *out >= 0;
}

bool value_parse_length(const char *text, ConfigLength *out) {
    *out = (ConfigLength){0};
    if (parse_steps(text, &out->steps)) return true;
    out->steps = 0;
    if (parse_counted(text, " tokens", &out->tokens)) return true;
    out->tokens = 0;
    return parse_percent(text, &out->percent);
}

LengthUnit value_length_unit(const ConfigLength *length) {
    if (length->percent > 0) return LENGTH_PERCENT;
    return length->tokens > 0 ? LENGTH_TOKENS : LENGTH_STEPS;
}

double value_length_number(const ConfigLength *length) {
    if (length->percent > 0) return length->percent;
    return (double)(length->tokens > 0 ? length->tokens : length->steps);
}

void value_write_float(double value, FILE *file) {
    char text[32];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    fputs(text, file);
}

void value_write_budget(ConfigBudget value, FILE *file) {
    if (value.percent > 0) {
        value_write_float(value.percent, file);
        fputc('%', file);
        return;
    }
    static const char *const names[] = {"B", "KiB", "MiB", "GiB"};
    size_t bytes = value.bytes, unit = 0;
    while (unit < 3 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    fprintf(file, "%zu%s", bytes, names[unit]);
}

void value_write_duration(double seconds, FILE *file) {
    if (seconds != floor(seconds) || seconds < 1 || seconds > 1e9) {
        value_write_float(seconds, file);
        fputc('s', file);
        return;
    }
    int64_t rest = (int64_t)seconds;
    for (const ScaledUnit *unit = time_units + 1; unit->scale >= 1; unit++) {
        int64_t count = rest / (int64_t)unit->scale;
        if (count > 0) fprintf(file, "%lld%s", (long long)count, unit->name);
        rest -= count * (int64_t)unit->scale;
    }
}

void value_write_interval(ConfigInterval value, FILE *file) {
    if (value.seconds > 0) {
        value_write_duration(value.seconds, file);
    } else {
        fprintf(file, "%lld", (long long)value.steps);
    }
}

void value_write_length(ConfigLength value, FILE *file) {
    if (value.percent > 0) {
        value_write_float(value.percent, file);
        fputc('%', file);
    } else if (value.tokens > 0) {
        fprintf(file, "%lld tokens", (long long)value.tokens);
    } else {
        fprintf(file, "%lld", (long long)value.steps);
    }
}

static bool is_plain(const char *text) {
    static const char *const taken[] = {"null", "~"};
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        if (strcasecmp(text, taken[i]) == 0) return false;
    }
    if (!isalnum((unsigned char)*text) && *text != '/' && *text != '_' && *text != '.')
        return false;
    if (strncmp(text, "...", 3) == 0) return false;
    for (; *text != '\0'; text++) {
        if (!isalnum((unsigned char)*text) && strchr("/_.+%-", *text) == NULL) return false;
    }
    return true;
}

void value_write_string(const char *text, bool escape, FILE *file) {
    if (is_plain(text)) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            fprintf(file, "\\%c", *c);
        } else if ((unsigned char)*c < 0x20 || *c == 0x7F) {
            fprintf(file, "\\x%02X", (unsigned)*c);
        } else if (escape && c[0] == '$' && c[1] == '{') {
            fputs("$$", file);
        } else {
            fputc(*c, file);
        }
    }
    fputc('"', file);
}
