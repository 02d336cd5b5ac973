/* The schema: one row per key. It defines parsing, defaults, --help, --print-config, the reference
 * page, and which keys may change on resume. */
#pragma once

#include "launch/config/config.h"

typedef enum FieldType {
    FIELD_STRING,
    FIELD_KEY,     /* a string that names another key */
    FIELD_PATHS,   /* TokenPaths: a string or a list of strings */
    FIELD_MIXTURE, /* the same, or a list of maps with path and weight */
    FIELD_INT,
    FIELD_INT_OR_AUTO,
    FIELD_INT_OR_ALL,
    FIELD_U64,
    FIELD_FLOAT,
    FIELD_FLOAT_OR_AUTO, /* NaN is auto */
    FIELD_FLOAT_PAIR,
    FIELD_FLOAT_PAIR_OR_AUTO,
    FIELD_BOOL,
    FIELD_BUDGET,
    FIELD_DURATION,
    FIELD_INTERVAL,
    FIELD_LENGTH, /* a ConfigLength */
    FIELD_ENUM,
    FIELD_ENUM_LIST,
    FIELD_STRING_LIST,
    FIELD_SHELL_LINES, /* the same, but newlines and tabs are allowed */
    FIELD_PATTERN, /* a LayerPattern: a value or a list of values, repeated over the layers; 0 is
                      `full`, or the first of `names` */
    FIELD_WINDOW,  /* of attention: a pattern, or a schedule of patterns; the last is ModelConfig's,
                      the schedule ConfigAttention's */
    FIELD_BATCH_SCHEDULE,
    FIELD_MAPS, /* a list of maps, kept as a node */
    FIELD_SWEEP,
} FieldType;

/* MUST_MATCH: the value determines the run's weights and must stay. GLOBAL_BATCH: may change as
 * long as ranks x batch x accumulation stays; `auto` takes the previous value. */
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

/* The row with this dotted key, or NULL. */
const Field *schema_find(const char *path);

/* Whether the path is a group: a prefix of longer keys. */
bool schema_is_group(const char *path);

/* The key or group nearest to a misspelled path, or that of its group that shares its words, or
 * NULL. */
const char *schema_suggest(const char *path, char *buffer, size_t bytes);
