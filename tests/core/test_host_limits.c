/* Host limits: trees of /proc and /sys as kernels and containers show them, and this process's own
 * resource limits. */
#include "core/base/host_limits.h"
#include "core/device.h"
#include "tests/harness.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

/* A separate tree, created by put. */
static char root[PATH_MAX];

static void put(const char *path, const char *text) {
    char whole[2 * PATH_MAX];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *c = whole + 1; *c != '\0'; c++) {
        if (*c != '/') continue;
        *c = '\0';
        mkdir(whole, 0777);
        *c = '/';
    }
    FILE *file = fopen(whole, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void tree_begin(const char *mounts, const char *groups) {
    static int number;
    snprintf(root, sizeof root, "%s/%d", harness_directory(), ++number);
    put("/proc/meminfo", "MemTotal:       4194304 kB\nMemFree: 1 kB\nMemAvailable:   3145728 kB\n");
    put("/proc/self/mountinfo", mounts);
    put("/proc/self/cgroup", groups);
}

static void memory_is(size_t free_mib, size_t total_mib) {
    HostMemory memory = host_memory(root);
    CHECK(memory.free_bytes == free_mib * MIB && memory.total_bytes == total_mib * MIB);
}

static void without_groups(void) {
    tree_begin("22 1 0:4 / /proc rw - proc proc rw\n", "");
    memory_is(3072, 4096);
    CHECK(host_cores(root) == INT_MAX);
}

#define V2 "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

static void version_2_with_ancestors(void) {
    tree_begin(V2, "0::/user.slice/job/step\n");
    put("/sys/fs/cgroup/user.slice/job/step/memory.max", "max\n");
    put("/sys/fs/cgroup/user.slice/job/step/cpu.max", "max 100000\n");
    memory_is(3072, 4096);
    CHECK(host_cores(root) == INT_MAX);
    put("/sys/fs/cgroup/user.slice/memory.max", "1073741824\n");
    put("/sys/fs/cgroup/user.slice/memory.current",
        "943718400\n"); /* 900 MiB, of which 300 are reclaimable */
    put("/sys/fs/cgroup/user.slice/memory.stat",
        "anon 1\nfile 1\ninactive_file 104857600\nactive_file 104857600\nslab_reclaimable "
        "104857600\n");
    put("/sys/fs/cgroup/user.slice/cpu.max", "250000 100000\n");
    memory_is(424, 1024);
    CHECK(host_cores(root) == 3);
    put("/sys/fs/cgroup/user.slice/job/memory.max", "314572800\n");
    put("/sys/fs/cgroup/user.slice/job/memory.current", "104857600\n");
    put("/sys/fs/cgroup/user.slice/job/cpu.max", "50000 100000\n");
    memory_is(200, 300);
    CHECK(host_cores(root) == 1);
    put("/sys/fs/cgroup/user.slice/job/step/memory.high", "209715200\n");
    put("/sys/fs/cgroup/user.slice/job/step/memory.current", "314572800\n");
    memory_is(0, 200);
}

static void version_2_in_a_namespace(void) {
    tree_begin("30 22 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/\n");
    put("/sys/fs/cgroup/memory.max", "104857600\n");
    put("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    memory_is(100, 100);
    CHECK(host_cores(root) == 1);
    put("/proc/self/cgroup", "0::/../other\n"); /* outside the visible part */
    memory_is(100, 100);
}

static void version_1_in_a_container(void) {
    tree_begin(
        "31 22 0:27 /docker/a\\040b /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
        "32 22 0:28 /docker/a\\040b /sys/fs/my\\040cpu ro master:9 - cgroup cgroup rw,cpu,cpuacct\n"
        "33 22 0:29 / /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n",
        "3:cpuset:/\n2:cpu,cpuacct:/docker/a b/in\n1:memory:/docker/a b\n0::/\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/my cpu/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/my cpu/cpu.cfs_period_us", "100000\n");
    memory_is(3072, 4096);
    CHECK(host_cores(root) == INT_MAX);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "314572800\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "209715200\n");
    put("/sys/fs/cgroup/memory/memory.stat",
        "inactive_file 7\ntotal_inactive_file 52428800\ntotal_active_file 52428800\n");
    put("/sys/fs/my cpu/cpu.cfs_quota_us", "400000\n");
    memory_is(200, 300);
    CHECK(host_cores(root) == 4);
    put("/sys/fs/my cpu/in/cpu.cfs_quota_us", "110000\n");
    put("/sys/fs/my cpu/in/cpu.cfs_period_us", "100000\n");
    CHECK(host_cores(root) == 2);
}

static void version_1_without_a_hierarchy(void) {
    tree_begin("31 22 0:27 / /cg rw - cgroup cgroup rw,memory\n", "1:memory:/a/b\n");
    put("/cg/a/memory.limit_in_bytes", "1048576\n");
    put("/cg/a/b/memory.limit_in_bytes", "314572800\n");
    memory_is(1, 1);
    put("/cg/a/memory.use_hierarchy", "0\n"); /* then usage excludes child groups */
    memory_is(300, 300);
}

/* In a child process, because a lowered limit is permanent. */
static bool limited(int resource, size_t bytes, bool (*holds)(size_t bytes)) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {bytes, bytes};
        _exit(setrlimit((__rlimit_resource_t)resource, &limit) == 0 && holds(bytes) ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static bool own_is_less(size_t bytes) {
    HostMemory own = host_memory_own("");
    size_t free_bytes, total_bytes;
    Device *device;
    if (failed(device_open_cpu(1, &device)) ||
        failed(device_memory(device, &free_bytes, &total_bytes)))
        return false;
    return own.total_bytes == bytes && own.free_bytes < bytes && own.free_bytes > bytes / 2 &&
           total_bytes <= bytes && free_bytes < own.free_bytes;
}

static void its_own_limits(void) {
    HostMemory own = host_memory_own("");
    CHECK(own.free_bytes == SIZE_MAX || own.free_bytes < own.total_bytes);
#ifdef __SANITIZE_ADDRESS__ /* maps more than any limit */
    (void)limited, (void)own_is_less;
#else
    CHECK(limited(RLIMIT_DATA, (size_t)4096 * MIB, own_is_less));
    CHECK(limited(RLIMIT_AS, (size_t)4096 * MIB, own_is_less));
#endif
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(without_groups),
        TEST(version_2_with_ancestors),
        TEST(version_2_in_a_namespace),
        TEST(version_1_in_a_container),
        TEST(version_1_without_a_hierarchy),
        TEST(its_own_limits),
    };
    return harness_run(argc, argv, "host_limits", tests, COUNT(tests));
}
