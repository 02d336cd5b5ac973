/* Continues a text with the most likely tokens, by an installed Hourglass. C, and C++.
 *
 *   cc continue_text.c -o continue_text $(pkg-config --cflags --libs hourglass)
 *   ./continue_text runs/quickstart "In the beginning" */
#include <hourglass.h>

#include <stdio.h>
#include <string.h>

enum { MOST_TOKENS = 1024, NEW_TOKENS = 64 };

static int report(HourglassCode code) {
    fprintf(stderr, "continue_text: %s\n", hourglass_message());
    return code;
}

static int32_t most_likely(const float *logits, int64_t V) {
    int64_t best = 0;
    for (int64_t i = 1; i < V; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

static HourglassCode next_token(HourglassModel *model, int32_t *token) {
    const float *logits;
    HourglassCode code = hourglass_model_logits(model, &logits);
    if (code == HOURGLASS_OK) *token = most_likely(logits, hourglass_model_vocab_size(model));
    return code;
}

static HourglassCode print_token(HourglassModel *model, int32_t token) {
    const char *text;
    size_t bytes;
    HourglassCode code = hourglass_model_decode(model, token, &text, &bytes);
    fwrite(text, 1, bytes, stdout);
    return code;
}

static HourglassCode continue_text(HourglassModel *model, const char *start) {
    int32_t tokens[MOST_TOKENS], token = 0;
    size_t count;
    HourglassCode code =
        hourglass_model_encode(model, start, strlen(start), tokens, MOST_TOKENS, &count);
    if (count > MOST_TOKENS) count = MOST_TOKENS;
    if (code == HOURGLASS_OK) code = hourglass_model_begin(model, tokens, count);
    for (int i = 0; i < NEW_TOKENS && code == HOURGLASS_OK; i++) {
        code = next_token(model, &token);
        if (code == HOURGLASS_OK && token == hourglass_model_end_of_text(model)) break;
        if (code == HOURGLASS_OK) code = print_token(model, token);
        if (code == HOURGLASS_OK) code = hourglass_model_append(model, token);
    }
    return code;
}

int main(int argc, char **argv) {
    HourglassModel *model;
    HourglassCode code;
    if (argc != 3) {
        fprintf(stderr, "usage: continue_text RUN TEXT\n");
        return HOURGLASS_USAGE;
    }
    code = hourglass_model_open(argv[1], &model);
    if (code != HOURGLASS_OK) return report(code);
    printf("%s", argv[2]);
    code = continue_text(model, argv[2]);
    printf("\n");
    hourglass_model_close(&model);
    return code == HOURGLASS_OK ? 0 : report(code);
}
