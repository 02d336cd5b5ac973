/* The schema: one row a key. It drives reading, defaults, --help, --print-config, the reference
 * page and what may change when a run is resumed. */
#pragma once

#include "launch/config/config.h"

typedef enum FieldType {
    FIELD_STRING,
    FIELD_KEY, /* a string that names another key */
    FIELD_INT,
    FIELD_INT_OR_AUTO,
    FIELD_INT_OR_ALL,
    FIELD_U64,
    FIELD_FLOAT,
    FIELD_FLOAT_PAIR,
    FIELD_BOOL,
    FIELD_BUDGET,
    FIELD_DURATION,
    FIELD_INTERVAL,
    FIELD_ENUM,
    FIELD_ENUM_LIST,
    FIELD_STRING_LIST,
    FIELD_SHELL_LINES, /* the same, but newlines and tabs are welcome */
    FIELD_SWEEP,
} FieldType;

/* MUST_MATCH: what a run's weights are of stays as it was. GLOBAL_BATCH: free, as long as ranks x
 * batch x accumulation stays; `auto` is what it was. */
typedef enum ResumeRule { RESUME_FREE, RESUME_MUST_MATCH, RESUME_GLOBAL_BATCH } ResumeRule;

typedef struct Field {
    const char *path;
    FieldType type;
    const char *fallback; /* the default as text; NULL: none */
    double low, high;     /* the allowed range; low == high: any */
    bool below;           /* high itself is not allowed */
    const char *const *names;
    size_t offset; /* in Config */
    ResumeRule resume;
    const char *doc;
} Field;

extern const Field schema[];
extern const size_t schema_count;

/* The row of a dotted key, or NULL. */
const Field *schema_find(const char *path);

/* Whether the path is a group: the beginning of longer keys. */
bool schema_is_group(const char *path);

/* The key or group nearest to a misspelt path, or NULL. */
const char *schema_suggest(const char *path, char *buffer, size_t bytes);

/* The names an enum key allows as `a|b|c`, or what its type is called in the reference page. */
void schema_write_type(const Field *field, FILE *file);

/* The sizes of a preset, as default texts: row i stands for `keys[i]`; NULL where the preset fixes
 * none. */
enum { PRESET_KEYS = 5 };
extern const char *const preset_keys[PRESET_KEYS];
const char *const *preset_sizes(ConfigPreset preset);
