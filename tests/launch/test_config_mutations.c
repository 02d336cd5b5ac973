/* Random mutations of valid configs: each gives a result, and an error is STATUS_CONFIG with a
 * position. The sanitizer builds find memory errors. */
#include "launch/config/config_load.h"
#include "tests/launch/config_texts.h"

#include <stdint.h>

static const char *const seeds[] = {
    "# base\nname: gpt2_124m\nseed: 1337\nmodel: {preset: gpt2, bias: true, dropout: 0.0, "
    "pad_vocab: 64}\n"
    "attention: {backends: [flash, mem_efficient, math], document_mask: false}\n"
    "data: {train: datasets/owt/train.bin, val: datasets/owt/val.bin, batch_size: "
    "auto}\nmemory_budget: "
    "90%\n"
    "training:\n  dtype: bfloat16\n  gradient_accumulation_steps: 1\n  stop: {time: 1h}\n"
    "optimizer: {lr: 6e-4, betas: [0.9, 0.95], weight_decay: 0.1, grad_clip: 1.0}\n"
    "checkpoint: {interval: 10m, keep: 2}\noutput: runs/${name}\n",
    "x-a: \"q\\\"\\x41\\u00e9\"\nname: 'it''s'\ndata:\n  train: |-\n    block\n  val: >-\n    "
    "folded\n    text\n"
    "training: {stop: {steps: 10k}}\nsweep:\n  attention.backends: [[baseline], [flash]]\n  seed: "
    "[1, 2, 3]\n"
    "report: {metric: val/loss, reduce: best, x: data.batch_size, series: attention.backends}\n"
    "launch: {slurm: {nodes: 1, time: 1h30m, setup: [\"module load ü\", '$${a}']}}\n",
};

static uint64_t state = 0x9E3779B97F4A7C15u;

static size_t draw(size_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state % below);
}

/* One to four changes: a byte replaced, removed, or doubled with its successors. */
static void mutate(char *text, size_t capacity) {
    static const char likely[] = "{}[]:,&*!|>'\"%@`#-?\n\t \\$~0x\xC3\x80\xFF";
    for (size_t changes = 1 + draw(4); changes > 0; changes--) {
        size_t length = strlen(text);
        if (length < 2) return;
        size_t at = draw(length), span = 1 + draw(length - at > 20 ? 20 : length - at);
        switch (draw(4)) {
        case 0: text[at] = likely[draw(sizeof likely - 1)]; break;
        case 1: text[at] = (char)(1 + draw(255)); break;
        case 2: memmove(text + at, text + at + span, length - at - span + 1); break;
        default:
            if (length + span + 1 < capacity) memmove(text + at + span, text + at, length - at + 1);
        }
    }
}

static bool is_well_formed(const char *message) {
    unsigned line, column;
    return sscanf(message, "mutant.yaml:%u:%u: error: ", &line, &column) == 2 && line > 0 &&
           column > 0;
}

static void mutated_texts_are_answered(void) {
    char text[2048];
    int loaded = 0, refused = 0;
    for (int i = 0; i < 6000; i++) {
        snprintf(text, sizeof text, "%s", seeds[i % 2]);
        mutate(text, sizeof text);
        Config *config = NULL;
        Status status = config_load_text(text, "mutant.yaml", 0, NULL, &config);
        if (failed(status)) {
            refused++;
            bool fine = status.code == STATUS_CONFIG && is_well_formed(status_message());
            if (!fine) printf("%s\n--- from\n%s\n", status_message(), text);
            CHECK(fine);
            continue;
        }
        loaded++;
        char *written = config_text(config);
        Config *again = NULL;
        CHECK_OK(config_load_text(written, "again.yaml", 0, NULL, &again));
        char *rewritten = again == NULL ? NULL : config_text(again);
        CHECK(rewritten != NULL && strcmp(written, rewritten) == 0);
        free(written);
        free(rewritten);
        config_destroy(&again);
        config_destroy(&config);
    }
    CHECK(loaded > 100 && refused > 1000);
}

static void mutated_overrides_are_answered(void) {
    static const char *const good[] = {"attention.backends=[flash, math]", "training.stop.steps=20",
                                       "optimizer={lr: 6e-4, betas: [0.9, 0.95]}",
                                       "output=runs/${name}"};
    char text[256];
    for (int i = 0; i < 3000; i++) {
        snprintf(text, sizeof text, "%s", good[i % 4]);
        mutate(text, sizeof text);
        char *overrides[] = {text};
        Config *config = NULL;
        Status status = config_load_text(LEAST, "mutant.yaml", 1, overrides, &config);
        CHECK(!failed(status) || status.code == STATUS_CONFIG);
        config_destroy(&config);
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(mutated_texts_are_answered), TEST(mutated_overrides_are_answered)};
    return harness_run(argc, argv, "config mutations", tests, COUNT(tests));
}
