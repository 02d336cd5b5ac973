#include "launch/prepare/separator.h"

#include <string.h>

Status separator_parse(const char *text, Separator *out) {
    static const char letters[] = "nrt\\", values[] = "\n\r\t\\";
    out->length = 0;
    for (const char *at = text == NULL ? "" : text; *at != '\0'; at++) {
        uint8_t byte = (uint8_t)*at;
        if (*at == '\\') {
            const char *letter = at[1] == '\0' ? NULL : strchr(letters, at[1]);
            if (letter == NULL)
                return ERROR(STATUS_USAGE,
                             "--separator: '\\%.1s' is none of \\n, \\r, \\t and \\\\", at + 1);
            byte = (uint8_t)values[letter - letters];
            at++;
        }
        if (out->length == MOST_SEPARATOR_BYTES)
            return ERROR(STATUS_USAGE, "--separator has more than %d bytes", MOST_SEPARATOR_BYTES);
        out->bytes[out->length++] = byte;
    }
    return OK;
}
