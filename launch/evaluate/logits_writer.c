#include "launch/evaluate/logits_writer.h"

#include <stdlib.h>

struct LogitsWriter {
    Experiment *e;
    LogitsFile *file;
    float *logits;    /* (B, T, Vp), then (B, T, V) */
    int32_t *targets; /* (T) */
};

static Status no_memory(void) { return OUT_OF_MEMORY("logits; set a smaller data.batch_size"); }

Status logits_writer_create(Experiment *e, const char *path, const LogitsHeader *header,
                            LogitsWriter **out) {
    LogitsWriter *w = *out = calloc(1, sizeof *w);
    if (w == NULL) return no_memory();
    w->e = e;
    w->logits = malloc(tensor_bytes(e->recorded.step.logits));
    w->targets = malloc((size_t)e->T * sizeof *w->targets);
    Status status = w->logits == NULL || w->targets == NULL
                        ? no_memory()
                        : logits_file_create(path, header, &w->file);
    return failed(status) ? logits_writer_finish(out, status) : OK;
}

/* The targets that this window scores. */
static void targets_mark(const LogitsWriter *w, int64_t window, const int32_t *targets) {
    EvaluationWindow at = evaluation_set_window(&w->e->val, window);
    for (int64_t t = 0; t < w->e->T; t++)
        w->targets[t] = t >= at.skipped && t < at.length ? targets[t] : LOGITS_NO_TARGET;
}

Status logits_writer_add(void *writer, int64_t first, int64_t rows, const int32_t *inputs,
                         const int32_t *targets) {
    LogitsWriter *w = writer;
    const ModelConfig *c = &w->e->recorded.model->config;
    int64_t T = w->e->T;
    TRY(device_download(w->e->device, w->logits, w->e->recorded.step.logits));
    for (int64_t i = 0; i < rows * T; i++)
        model_logits_row(c, w->logits + i * c->Vp, w->logits + i * c->V);
    for (int64_t b = 0; b < rows; b++) {
        targets_mark(w, first + b, targets + b * T);
        TRY(logits_file_write(w->file, first + b, inputs + b * T, w->targets,
                              w->logits + b * T * c->V));
    }
    return OK;
}

Status logits_writer_finish(LogitsWriter **writer, Status status) {
    LogitsWriter *w = *writer;
    if (w == NULL) return status;
    status = logits_file_finish(&w->file, status);
    free(w->logits);
    free(w->targets);
    free(w);
    *writer = NULL;
    return status;
}
