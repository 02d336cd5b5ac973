#include "data/nfc.h"

#include <utf8proc.h>

bool nfc_is_available(void) { return true; }

Status nfc_library_compose(const uint8_t *text, size_t bytes, uint8_t **out, size_t *length) {
    utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    utf8proc_ssize_t made = utf8proc_map(text, (utf8proc_ssize_t)bytes, out, options);
    if (made < 0)
        return ERROR(made == UTF8PROC_ERROR_NOMEM ? STATUS_OUT_OF_MEMORY : STATUS_FAILURE,
                     "utf8proc cannot normalize the text: %s", utf8proc_errmsg(made));
    *length = (size_t)made;
    return OK;
}
