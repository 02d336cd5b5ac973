#include "launch/run/energy.h"

#include "core/base/file.h"
#include "launch/base/text_file.h"

#include <dlfcn.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ZONES_MAX = 64 };

/* A counter that starts again at 0 after `range`; 0: it never does. In joules. */
typedef struct Counter {
    double last, range;
    char path[PATH_MAX]; /* of RAPL's zone */
} Counter;

/* The part of nvml.h that is used here. */
typedef struct Nvml {
    void *handle, *device;
    int (*init)(void);
    int (*shutdown)(void);
    int (*find)(const char *pci_bus_id, void **device);
    int (*energy)(void *device, unsigned long long *millijoules);
} Nvml;

struct EnergyMeter {
    Nvml nvml;
    int count;
    double joules;
    Counter counters[ZONES_MAX];
};

/* ---- GPU ------------------------------------------------------------------------------------- */

static bool nvml_load(Nvml *n) {
    const struct {
        const char *name;
        void **function;
    } functions[] = {
        {"nvmlInit_v2", (void **)&n->init},
        {"nvmlShutdown", (void **)&n->shutdown},
        {"nvmlDeviceGetHandleByPciBusId_v2", (void **)&n->find},
        {"nvmlDeviceGetTotalEnergyConsumption", (void **)&n->energy},
    };
    n->handle = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (n->handle == NULL) return false;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        *functions[i].function = dlsym(n->handle, functions[i].name);
        if (*functions[i].function == NULL) return false;
    }
    return true;
}

static void nvml_open(EnergyMeter *meter, const char *pci_bus_id) {
    Nvml *n = &meter->nvml;
    if (!nvml_load(n) || n->init() != 0) return;
    if (n->find(pci_bus_id, &n->device) != 0) n->device = NULL;
    if (n->device != NULL)
        meter->count = 1;
    else
        n->shutdown();
}

/* ---- CPU ------------------------------------------------------------------------------------- */

/* The text of a file of a zone without its newline; false if it cannot be read. */
static bool zone_text(const char *zone, const char *name, char *text, size_t bytes) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", zone, name) >= (int)sizeof path) return false;
    FILE *file = fopen(path, "r");
    bool is_read = file != NULL && fgets(text, (int)bytes, file) != NULL;
    if (file != NULL) fclose(file);
    if (is_read) text[strcspn(text, "\n")] = '\0';
    return is_read;
}

static bool zone_number(const char *zone, const char *name, double *out) {
    char text[64];
    return zone_text(zone, name, text, sizeof text) && sscanf(text, "%lf", out) == 1;
}

typedef struct ZoneSearch {
    EnergyMeter *meter;
    const char *directory;
} ZoneSearch;

/* intel-rapl:0 is a package, intel-rapl:0:2 may be its memory, on AMD's CPUs too. Other zones are
 * parts of a package or, like psys, contain all. */
static bool zone_add(void *context, const char *name) {
    const ZoneSearch *search = context;
    EnergyMeter *meter = search->meter;
    char what[64];
    if (strncmp(name, "intel-rapl:", 11) != 0 || meter->count == ZONES_MAX) return true;
    Counter *counter = &meter->counters[meter->count];
    int length = snprintf(counter->path, sizeof counter->path, "%s/%s", search->directory, name);
    if (length >= (int)sizeof counter->path) return true;
    if (!zone_text(counter->path, "name", what, sizeof what)) return true;
    if (strncmp(what, "package", 7) != 0 && strcmp(what, "dram") != 0) return true;
    meter->count++;
    return true;
}

static void rapl_open(EnergyMeter *meter) {
    const char *own = getenv("HOURGLASS_POWERCAP");
    ZoneSearch search = {meter, own != NULL ? own : "/sys/class/powercap"};
    bool is_there = false;
    if (failed(file_look(search.directory, NULL, &is_there)) || !is_there) return;
    if (failed(file_list(search.directory, zone_add, &search))) meter->count = 0;
    for (int i = 0; i < meter->count; i++) {
        Counter *counter = &meter->counters[i];
        if (zone_number(counter->path, "max_energy_range_uj", &counter->range))
            counter->range *= 1e-6;
    }
}

/* ---- both ------------------------------------------------------------------------------------ */

static bool counter_read(const EnergyMeter *meter, const Counter *counter, double *joules) {
    if (meter->nvml.device != NULL) {
        unsigned long long millijoules = 0;
        int failure = meter->nvml.energy(meter->nvml.device, &millijoules);
        *joules = 1e-3 * (double)millijoules;
        return failure == 0;
    }
    double microjoules = 0;
    bool is_read = zone_number(counter->path, "energy_uj", &microjoules);
    *joules = 1e-6 * microjoules;
    return is_read;
}

/* Sets the counters' `last`; false if one cannot be read. */
static bool counters_start(EnergyMeter *meter) {
    for (int i = 0; i < meter->count; i++) {
        if (!counter_read(meter, &meter->counters[i], &meter->counters[i].last)) return false;
    }
    return meter->count > 0;
}

Status energy_open(const Device *device, EnergyMeter **out) {
    EnergyMeter *meter = *out = calloc(1, sizeof *meter);
    if (meter == NULL) return OUT_OF_MEMORY("an energy meter");
    if (device->target.kind == DEVICE_CUDA)
        nvml_open(meter, device->location);
    else
        rapl_open(meter);
    if (!counters_start(meter)) energy_close(out);
    return OK;
}

void energy_close(EnergyMeter **meter) {
    if (meter == NULL || *meter == NULL) return;
    Nvml *n = &(*meter)->nvml;
    if (n->device != NULL) n->shutdown();
    if (n->handle != NULL) dlclose(n->handle);
    free(*meter);
    *meter = NULL;
}

double energy_read(EnergyMeter *meter) {
    if (meter == NULL) return (double)NAN;
    for (int i = 0; i < meter->count; i++) {
        Counter *counter = &meter->counters[i];
        double now;
        if (!counter_read(meter, counter, &now)) return meter->joules = (double)NAN;
        double used = now - counter->last;
        if (used < 0) used += counter->range;
        if (used < 0) return meter->joules = (double)NAN; /* it was reset */
        meter->joules += used;
        counter->last = now;
    }
    return meter->joules;
}
