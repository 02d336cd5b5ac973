/* In the place of processor_x86.c on other architectures, which have no table of features. */
#include "launch/base/processor.h"

bool processor_lacks_features(char *missing, size_t bytes) {
    (void)bytes;
    *missing = '\0';
    return false;
}
