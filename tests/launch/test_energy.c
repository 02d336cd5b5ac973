/* The counters of energy, from a library and a directory that stand in for NVML's and RAPL's. */
#include "launch/run/energy.h"
#include "tests/harness.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[256];

static void file_put(const char *name, const char *text) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    if (file == NULL) return;
    fputs(text, file);
    fclose(file);
}

static void zone_put(const char *zone, const char *what, const char *microjoules) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, zone);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/name", zone);
    file_put(path, what);
    snprintf(path, sizeof path, "%s/energy_uj", zone);
    file_put(path, microjoules);
    snprintf(path, sizeof path, "%s/max_energy_range_uj", zone);
    file_put(path, "10000000\n");
}

/* An empty directory for the test. */
static void folder_make(const char *name) {
    snprintf(folder, sizeof folder, "%s/%s", harness_directory(), name);
    CHECK(mkdir(folder, 0755) == 0);
    setenv("HOURGLASS_POWERCAP", folder, 1);
}

static void packages_and_their_memory(void) {
    const Device cpu = {.target = {.kind = DEVICE_CPU}};
    EnergyMeter *meter = NULL;
    folder_make("packages");
    zone_put("intel-rapl:0", "package-0\n", "9000000\n");
    zone_put("intel-rapl:0:0", "dram\n", "500000\n");
    zone_put("intel-rapl:0:1", "core\n", "1000000\n");
    zone_put("intel-rapl:1", "psys\n", "1000000\n");
    zone_put("intel-rapl-mmio:0", "package-0\n", "9000000\n");
    CHECK_OK(energy_open(&cpu, &meter));
    CHECK(energy_read(meter) == 0);
    zone_put("intel-rapl:0", "package-0\n", "1000000\n"); /* 2 J, over the end of its range */
    zone_put("intel-rapl:0:0", "dram\n", "750000\n");
    zone_put("intel-rapl:0:1", "core\n", "3000000\n");
    CHECK_CLOSE(energy_read(meter), 2.25, 1e-9);
    CHECK_CLOSE(energy_read(meter), 2.25, 1e-9);
    zone_put("intel-rapl:0", "package-0\n", "2000000\n");
    CHECK_CLOSE(energy_read(meter), 3.25, 1e-9);
    zone_put("intel-rapl:0", "package-0\n", "");
    CHECK(isnan(energy_read(meter)));
    zone_put("intel-rapl:0", "package-0\n", "3000000\n");
    CHECK(isnan(energy_read(meter))); /* a part is missing for good */
    energy_close(&meter);
}

static void a_reset_is_no_gain(void) {
    const Device cpu = {.target = {.kind = DEVICE_CPU}};
    EnergyMeter *meter = NULL;
    folder_make("reset");
    zone_put("intel-rapl:0", "package-0\n", "9000000\n");
    file_put("intel-rapl:0/max_energy_range_uj", "");
    CHECK_OK(energy_open(&cpu, &meter));
    zone_put("intel-rapl:0", "package-0\n", "9500000\n");
    CHECK_CLOSE(energy_read(meter), 0.5, 1e-9);
    zone_put("intel-rapl:0", "package-0\n", "1000000\n");
    CHECK(isnan(energy_read(meter))); /* without its range */
    energy_close(&meter);
}

static void nothing_to_read(void) {
    const Device cpu = {.target = {.kind = DEVICE_CPU}}, gpu = {.target = {.kind = DEVICE_CUDA}};
    EnergyMeter *meter = NULL;
    folder_make("nothing");
    CHECK_OK(energy_open(&cpu, &meter));
    CHECK(meter == NULL && isnan(energy_read(meter)));
    zone_put("intel-rapl:0", "package-0\n", "");
    CHECK_OK(energy_open(&cpu, &meter));
    CHECK(meter == NULL);
    setenv("HOURGLASS_POWERCAP", "there is none", 1);
    CHECK_OK(energy_open(&cpu, &meter));
    CHECK(meter == NULL);
    CHECK_OK(energy_open(&gpu, &meter)); /* no NVML, or no such GPU */
    CHECK(meter == NULL);
}

static const char fake_nvml[] =
    "#include <string.h>\n"
    "unsigned long long fake_millijoules = 5000;\n"
    "int fake_users, fake_failure;\n"
    "int nvmlInit_v2(void) { fake_users++; return 0; }\n"
    "int nvmlShutdown(void) { fake_users--; return 0; }\n"
    "int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device) {\n"
    "    *device = &fake_users;\n"
    "    return strcmp(bus, \"0000:18:00.0\") == 0 ? 0 : 6;\n"
    "}\n"
    "int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy) {\n"
    "    *energy = fake_millijoules;\n"
    "    return device == &fake_users ? fake_failure : 2;\n"
    "}\n";

/* Loaded, so that dlopen finds it by its name; NULL without a compiler. */
static void *fake_open(void) {
    char command[1024], path[512];
    file_put("nvml.c", fake_nvml);
    snprintf(path, sizeof path, "%s/libnvidia-ml.so.1", folder);
    snprintf(command, sizeof command,
             "cc -shared -fPIC -Wl,-soname,libnvidia-ml.so.1 -o %s %s/nvml.c", path, folder);
    return system(command) == 0 ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
}

static void a_gpus_counter(void) {
    Device gpu = {.target = {.kind = DEVICE_CUDA}, .location = "0000:18:00.0"};
    EnergyMeter *meter = NULL;
    folder_make("gpu");
    void *fake = fake_open();
    CHECK(fake != NULL);
    if (fake != NULL) {
        unsigned long long *millijoules = dlsym(fake, "fake_millijoules");
        int *users = dlsym(fake, "fake_users"), *failure = dlsym(fake, "fake_failure");
        CHECK_OK(energy_open(&gpu, &meter));
        CHECK(meter != NULL && energy_read(meter) == 0 && *users == 1);
        *millijoules = 12500;
        CHECK_CLOSE(energy_read(meter), 7.5, 1e-9);
        *failure = 3;
        CHECK(isnan(energy_read(meter)));
        energy_close(&meter);
        CHECK(*users == 0);
        CHECK_OK(energy_open(&gpu, &meter)); /* a GPU without a counter */
        CHECK(meter == NULL && *users == 0);
        *failure = 0;
        strcpy(gpu.location, "0000:19:00.0");
        CHECK_OK(energy_open(&gpu, &meter));
        CHECK(meter == NULL && *users == 0);
        dlclose(fake);
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(a_reset_is_no_gain), TEST(nothing_to_read),
                          TEST(packages_and_their_memory), TEST(a_gpus_counter)};
    return harness_run(argc, argv, "energy", tests, COUNT(tests));
}
