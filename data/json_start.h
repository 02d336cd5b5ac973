/* How a file of JSON objects begins, as its first bytes tell. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Moves past the mark of UTF-8, spaces and blank lines. */
const uint8_t *json_start(const uint8_t *text, size_t bytes);

/* Whether an object with its first name follows there, or an array of such objects. */
bool json_starts_objects(const uint8_t *text, size_t bytes, bool *is_array);
