/* Without libutf8proc. */
#include "data/nfc.h"

bool nfc_is_available(void) { return false; }

Status nfc_library_compose(const uint8_t *text, size_t bytes, uint8_t **out, size_t *length) {
    (void)text, (void)bytes;
    *out = NULL;
    *length = 0;
    return ERROR(STATUS_UNSUPPORTED, "this build cannot normalize text, for lack of libutf8proc");
}
