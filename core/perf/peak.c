#include "core/perf/peak.h"

#include <stddef.h>
#include <string.h>

/* TFLOP/s and TB/s from NVIDIA's data sheets, without sparsity. The first row whose text is part of
 * the name matches, so the longer names of a family come first. */
static const struct {
    const char *part;
    double half, single, bytes;
} peaks[] = {
    {"H200 NVL", 835.5, 60.0, 4.8},   {"H200", 989.4, 66.9, 4.8},
    {"GH200", 989.4, 66.9, 4.0},      {"H100 PCIe", 756.0, 51.2, 2.0},
    {"H100 NVL", 835.5, 60.0, 3.9},   {"H100", 989.4, 66.9, 3.35},
    {"H800", 989.4, 66.9, 3.35},      {"A100-SXM4-80GB", 312.0, 19.5, 2.04},
    {"A100 80GB", 312.0, 19.5, 1.94}, {"A100", 312.0, 19.5, 1.56},
    {"A800", 312.0, 19.5, 2.04},      {"A30", 165.0, 10.3, 0.933},
    {"A40", 149.7, 37.4, 0.696},      {"A10G", 70.0, 35.0, 0.6},
    {"A10", 125.0, 31.2, 0.6},        {"RTX A6000", 154.8, 38.7, 0.768},
    {"L40S", 362.0, 91.6, 0.864},     {"L40", 181.0, 90.5, 0.864},
    {"L4", 121.0, 30.3, 0.3},         {"RTX 4090", 165.2, 82.6, 1.01},
    {"RTX 3090", 71.0, 35.6, 0.936},  {"RTX 5090", 209.5, 104.8, 1.79},
    {"GB200", 2500.0, 80.0, 8.0},     {"B200", 2250.0, 75.0, 8.0},
};

Peak peak_find(const char *name) {
    for (size_t i = 0; i < sizeof peaks / sizeof peaks[0]; i++) {
        if (strstr(name, peaks[i].part) == NULL) continue;
        return (Peak){peaks[i].half * 1e12, peaks[i].single * 1e12, peaks[i].bytes * 1e12};
    }
    return (Peak){0};
}

const char *peak_model(int sm, double bytes) {
    if (sm == 80) return bytes > 50e9 ? "A100-SXM4-80GB" : "A100";
    if (sm == 90) return bytes > 100e9 ? "H200" : "H100";
    return sm == 100 ? "B200" : "";
}
