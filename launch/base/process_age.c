#include "launch/base/process_age.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* proc(5): field 22 of /proc/self/stat is the start in clock ticks since boot. */
double process_age(void) {
    enum { AFTER_NAME = 20 }; /* fields between the closing bracket of the name and field 22 */
    char text[1024];
    unsigned long long ticks = 0;
    struct timespec now;
    FILE *file = fopen("/proc/self/stat", "r");
    if (file == NULL) return 0;
    size_t bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[bytes] = '\0';
    char *at = strrchr(text, ')');
    for (int i = 0; i < AFTER_NAME && at != NULL; i++) at = strchr(at + 1, ' ');
    if (at == NULL || sscanf(at, "%llu", &ticks) != 1 || clock_gettime(CLOCK_BOOTTIME, &now) != 0)
        return 0;
    double age = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec -
                 (double)ticks / (double)sysconf(_SC_CLK_TCK);
    return age > 0 && age < 3600 ? age : 0; /* a container may use a different clock */
}
