/* Hourglass as a library: text and logits from a trained model, and the attention operator.
 *
 *   HourglassModel *model;
 *   if (hourglass_model_open("runs/quickstart", &model) != HOURGLASS_OK)
 *       fprintf(stderr, "%s\n", hourglass_message());
 *
 * Link with -lhourglass; pkg-config hourglass has the flags. C and C++. Functions that can fail
 * return a HourglassCode, and then hourglass_message() is one line that names the cause. After a
 * failure *out is NULL. One thread at a time per object. Before 1.0 a minor version may change
 * this interface. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The exit codes of the programs. */
typedef enum HourglassCode {
    HOURGLASS_OK = 0,
    HOURGLASS_FAILURE = 1,        /* the machine or a library failed */
    HOURGLASS_USAGE = 64,         /* an argument is wrong */
    HOURGLASS_DATA = 65,          /* a file is wrong or missing */
    HOURGLASS_OUT_OF_MEMORY = 71, /* not enough memory */
    HOURGLASS_CONFIG = 78         /* a call or a config that this machine or build cannot serve */
} HourglassCode;

/* The version of the library that is loaded, such as 0.1.0. */
const char *hourglass_version(void);

/* The message of the last failure in this thread; "" before any. */
const char *hourglass_message(void);

/* ---- a trained model ------------------------------------------------------------------------- */

/* The weights and the tokenizer of a checkpoint, and one text, whose keys and values are kept. */
typedef struct HourglassModel HourglassModel;

/* Loads the newest good checkpoint of a run directory, a checkpoint file, or weights of Hugging
 * Face or llm.c, onto the device of the run's config. Errors: HOURGLASS_DATA,
 * HOURGLASS_OUT_OF_MEMORY. */
HourglassCode hourglass_model_open(const char *path, HourglassModel **out);
void hourglass_model_close(HourglassModel **model);

/* V, the size of the vocabulary. */
int64_t hourglass_model_vocab_size(const HourglassModel *model);
int32_t hourglass_model_end_of_text(const HourglassModel *model);

/* tokens = the tokens of text[0..bytes), as many as `capacity` holds; *count = their number, which
 * may be larger. Errors: HOURGLASS_OUT_OF_MEMORY. */
HourglassCode hourglass_model_encode(HourglassModel *model, const char *text, size_t bytes,
                                     int32_t *tokens, size_t capacity, size_t *count);

/* *text = the `*bytes` bytes of a token, without a final zero; valid until the model is closed.
 * Errors: HOURGLASS_DATA for a token outside the vocabulary. */
HourglassCode hourglass_model_decode(const HourglassModel *model, int32_t token, const char **text,
                                     size_t *bytes);

/* Starts a text with count >= 1 tokens, of which the model sees the last block_size. Errors:
 * HOURGLASS_USAGE for none, or for a token outside the vocabulary. */
HourglassCode hourglass_model_begin(HourglassModel *model, const int32_t *tokens, size_t count);

/* *logits = (V) of the token after the text; valid until the next call. Errors: HOURGLASS_USAGE
 * before hourglass_model_begin. */
HourglassCode hourglass_model_logits(HourglassModel *model, const float **logits);

/* Appends a token. Errors: as hourglass_model_begin. */
HourglassCode hourglass_model_append(HourglassModel *model, int32_t token);

/* ---- attention ------------------------------------------------------------------------------- */

typedef enum HourglassCausal {
    HOURGLASS_CAUSAL_NONE,
    HOURGLASS_CAUSAL_UPPER_LEFT, /* query i sees keys j <= i */
    HOURGLASS_CAUSAL_LOWER_RIGHT /* query i sees keys j <= i + Tk - Tq */
} HourglassCausal;

/* A call in float32; zero what is not needed. q, out: (B, Tq, NH, HS); k, v: (B, Tk, NH_kv, HS). */
typedef struct HourglassAttentionCall {
    int64_t B, NH, NH_kv, Tq, Tk, HS; /* NH_kv divides NH; 0: NH */
    float scale;                      /* 0: 1 / sqrt(HS) */
    HourglassCausal causal;
    int64_t window;     /* causal only: a query sees the last `window` of its keys; 0: all */
    double softcap;     /* softcap tanh(score / softcap); 0: none */
    int needs_backward; /* hourglass_attention_backward will follow */
} HourglassAttentionCall;

/* A call with its memory. */
typedef struct HourglassAttention HourglassAttention;

/* Picks the backend and allocates the memory; `gpu` is 0 for the CPU, 1 for the first GPU. Errors:
 * HOURGLASS_CONFIG if the call is invalid, or if no backend takes it, each with its reason. */
HourglassCode hourglass_attention_open(const HourglassAttentionCall *call, int gpu,
                                       HourglassAttention **out);
void hourglass_attention_close(HourglassAttention **attention);

/* The name of the backend, such as flash. */
const char *hourglass_attention_backend(const HourglassAttention *attention);

/* out = softmax(scale q k^T + mask) v. All in host memory. Source: Vaswani et al. 2017, equation 1.
 */
HourglassCode hourglass_attention_forward(HourglassAttention *attention, const float *q,
                                          const float *k, const float *v, float *out);

/* dq, dk, dv from dout and the last forward, shaped as q, k, v, and out. Errors: HOURGLASS_CONFIG
 * without needs_backward. */
HourglassCode hourglass_attention_backward(HourglassAttention *attention, const float *dout,
                                           float *dq, float *dk, float *dv);

#ifdef __cplusplus
}
#endif
