#include "data/table_documents.h"

#include <string.h>

/* A stream begins with the mark of a message and the length of its schema. Source: Arrow columnar
 * format 1.5, "Encapsulated message format". */
bool table_documents_are(const uint8_t *bytes, size_t size) {
    return size >= 8 && (memcmp(bytes, "PAR1", 4) == 0 || memcmp(bytes, "ARROW1", 6) == 0 ||
                         memcmp(bytes, "\xff\xff\xff\xff", 4) == 0);
}
