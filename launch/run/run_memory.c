#include "launch/run/run_memory.h"

#include "launch/run/run_checkpoint.h"
#include "launch/run/saver_memory.h"

#include <unistd.h>

enum { PATH_BYTES = 4096 };

/* *mine: the newest snapshot on this host; *newest: that of all hosts; *disk: the newest good
 * checkpoint. -1: none. */
static Status newest_find(const Run *run, const char *folder, int64_t *mine, int64_t *newest,
                          int64_t *disk) {
    *mine = *newest = folder == NULL ? -1 : memory_snapshot_newest(folder);
    *disk = -1;
    TRY(world_max_i64(run->e.world, newest));
    if (*newest < 0) return OK;
    if (world_rank(run->e.world) == 0) *disk = run_checkpoint_step(run->directory);
    return world_broadcast(run->e.world, disk, sizeof *disk);
}

Status run_memory_recover(Run *run) {
    World *world = run->e.world;
    char found[MEMORY_FOLDER_BYTES], dir[PATH_BYTES];
    bool is_first = world_local_rank(world) == 0;
    const char *folder = is_first && memory_folder_find(run->directory, found) ? found : NULL;
    int64_t mine, newest, disk, owner = world_size(world);
    snprintf(dir, sizeof dir, "%s/checkpoints", run->directory);
    TRY(newest_find(run, folder, &mine, &newest, &disk));
    if (newest > disk) {
        if (mine == newest) owner = world_rank(world);
        TRY(world_min_i64(world, &owner));
        bool writes = owner == world_rank(world);
        TRY(world_agree(world, writes ? memory_snapshot_to_disk(folder, newest, dir) : OK));
        run->recovered_rank = (int)owner;
    }
    if (folder != NULL) memory_folder_remove(folder);
    TRY(world_barrier(world)); /* the link is still needed until here */
    if (world_rank(world) == 0) memory_link_remove(run->directory);
    return OK;
}

static Status keeper_open(Run *run) {
    if (!experiment_keeps_snapshots(&run->e)) return OK;
    if (run->saver == NULL) TRY(saver_create(&run->e, run->directory, &run->saver));
    return memory_folder_create(run->memory,
                                saver_memory_bytes(run->e.config, run->e.recorded.parameters));
}

Status run_memory_open(Run *run) {
    World *world = run->e.world;
    if (saver_memory_files(run->e.config) == 0) return OK;
    bool leads = world_rank(world) == 0;
    TRY(world_agree(world, leads ? memory_folder_name(run->directory, run->memory) : OK));
    TRY(world_broadcast(world, run->memory, sizeof run->memory));
    Status status = world_agree(world, keeper_open(run));
    if (failed(status)) run_memory_remove(run);
    return status;
}

bool run_memory_is_due(const Run *run) {
    const ConfigInterval *interval = &run->e.config->checkpoint.memory_interval;
    if (run->memory[0] == '\0' || !saver_is_idle(run->saver)) return false;
    if (!shard_saver_is_idle(run->shard_saver)) return false;
    if (interval->steps > 0) return run->progress.step - run->kept_step >= interval->steps;
    return run_seconds(run) - run->kept_at >= interval->seconds;
}

void run_memory_remove(Run *run) {
    if (run->memory[0] == '\0') return;
    if (experiment_keeps_snapshots(&run->e)) memory_folder_remove(run->memory);
    if (world_rank(run->e.world) == 0) memory_link_remove(run->directory);
    run->memory[0] = '\0';
}
