/* How the forward kernel for ranges (flash_sm90_items.cu) divides its items, each of which is some
 * rows of one head, among blocks. */
#pragma once

#include <stdint.h>

constexpr int FLASH_ITEMS = 8; /* items of a block, at most */

/* A block processes a run of items. The device starts blocks in order, each when an earlier one has
 * ended, so runs get shorter towards the end: the blocks that run at once, a round, share half of
 * the remaining items, at most FLASH_ITEMS each; the next round shares half of the rest, down to
 * one item per block. This cuts the fixed cost of blocks to about a quarter, and the last blocks
 * still end together even if their items are uneven. It needs no counter that must be cleared, and
 * gives the same bits in any order.
 *
 * The blocks of a round take its items in turn, so that blocks that run at the same time read the
 * same heads. Each turn is shifted by one, so that no block gets the longest rows of every head.
 *
 * blocks[s - 1] and items[s - 1]: the first block with runs of s, and the first of their items. */
struct FlashPlan {
    int32_t blocks[FLASH_ITEMS], items[FLASH_ITEMS], running, total_blocks;
};

/* running: the number of blocks that run at once. There are fewer than 2^31 items: their rows would
 * fill 32 TB. */
inline FlashPlan flash_plan(int64_t items, int64_t running) {
    FlashPlan plan = {};
    int64_t block = 0, item = 0;
    for (int run = FLASH_ITEMS; run > 0; run--) {
        plan.blocks[run - 1] = (int32_t)block, plan.items[run - 1] = (int32_t)item;
        for (; run > 1 && items - item >= 2 * running * run; block += running)
            item += running * run;
    }
    plan.running = (int32_t)running, plan.total_blocks = (int32_t)(block + items - item);
    return plan;
}

#ifdef __CUDACC__
#define FLASH_BOTH __host__ __device__
#else
#define FLASH_BOTH
#endif

/* The items of a block: `count`, of the round that starts at block `first`, in which this block has
 * number `turn`. */
struct FlashRun {
    int first, count, turn;
};

FLASH_BOTH inline FlashRun flash_run(const FlashPlan &plan, int block) {
    int run = FLASH_ITEMS;
    while (run > 1 && block >= plan.blocks[run - 2]) run--;
    const int at = block - plan.blocks[run - 1], turn = at % plan.running;
    return {plan.items[run - 1] + (at - turn) * run, run, turn};
}

FLASH_BOTH inline int flash_item(const FlashPlan &plan, const FlashRun &run, int of) {
    const int turn = run.turn + of;
    return run.first + of * plan.running + (turn < plan.running ? turn : turn - plan.running);
}
