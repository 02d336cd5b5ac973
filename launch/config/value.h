/* Reads and writes numbers with units. A parser accepts the whole text or refuses it.
 *
 *   counts      12  10k  1M  2.5M  1e6          (k, M, G: powers of 1000)
 *   bytes       36GiB  80GB  512MiB  1000B      (KiB, MiB, GiB, TiB: powers of 1024;
 *                                                kB, MB, GB, TB: powers of 1000)
 *   rates       400Gb/s  12.5MB/s               (bits or bytes per second;
 *                                                k, M, G, T: powers of 1000)
 *   durations   1h30m  10m  8s  500ms  2d       (largest unit first, each once)
 *   intervals   a duration, or steps: 500, 500 steps, 10k
 *   lengths     500, 500 steps, 10k; 10M tokens; 2% */
#pragma once

#include "launch/config/config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

bool value_parse_int(const char *text, int64_t *out);
bool value_parse_u64(const char *text, uint64_t *out);
bool value_parse_float(const char *text, double *out);
bool value_parse_bool(const char *text, bool *out);
bool value_parse_budget(const char *text, ConfigBudget *out);
bool value_parse_rate(const char *text, double *bytes_per_s);
bool value_parse_duration(const char *text, double *seconds);
bool value_parse_interval(const char *text, ConfigInterval *out);
bool value_parse_length(const char *text, ConfigLength *out);

/* The unit of a length, and its number in this unit; 0 is in steps. */
typedef enum LengthUnit { LENGTH_STEPS, LENGTH_TOKENS, LENGTH_PERCENT } LengthUnit;
LengthUnit value_length_unit(const ConfigLength *length);
double value_length_number(const ConfigLength *length);

/* Each writes a text that its parser reads back to the same value. */
void value_write_float(double value, FILE *file);
void value_write_budget(ConfigBudget value, FILE *file);
void value_write_duration(double seconds, FILE *file);
void value_write_interval(ConfigInterval value, FILE *file);
void value_write_length(ConfigLength value, FILE *file);

/* Writes a string as a YAML scalar that is valid in block and flow context: plain if that is safe,
 * otherwise in double quotes. With `escape`, a literal `${` becomes `$${`. */
void value_write_string(const char *text, bool escape, FILE *file);
