/* The CPU as a device, the store on it, and their error messages. */
#include "core/cuda/cublaslt.h"
#include "core/device.h"
#include "core/kernel.h"
#include "core/ops/copy.h"
#include "core/store.h"
#include "tests/harness.h"

#include <stdint.h>
#include <string.h>

static Device *device;

static void memory_is_zeroed_and_counted(void) {
    char *memory;
    size_t bytes = 123457, free_bytes, total_bytes;
    REQUIRE_OK(device_alloc(device, bytes, "a test", (void **)&memory));
    CHECK((uintptr_t)memory % 256 == 0 && device->allocated_bytes == bytes);
    for (size_t i = 0; i < bytes; i++) CHECK(memory[i] == 0);
    device_free(device, memory, bytes);
    CHECK(device->allocated_bytes == 0);
    CHECK_OK(device_memory(device, &free_bytes, &total_bytes));
    CHECK(free_bytes > 0 && free_bytes <= total_bytes);
    CHECK_OK(device_alloc(device, 0, "nothing", (void **)&memory));
    CHECK(memory == NULL);
    device_free(device, NULL, 0);
}

static void too_much_is_named(void) {
    void *memory = &memory;
    CHECK_ERROR(device_alloc(device, (size_t)1 << 62, "activations", &memory), STATUS_OUT_OF_MEMORY,
                "MiB of activations; reduce data.batch_size or the model");
    CHECK(memory == NULL && device->allocated_bytes == 0);
}

static void copies_and_fetches(void) {
    Store *store = NULL;
    Section *section;
    Tensor *t, *large;
    const double sent[] = {1, 2, 3};
    double got[3] = {0};
    Fetch fetch;
    REQUIRE_OK(store_create(&store));
    CHECK_OK(store_section(store, "section", BUFFER_INPUTS, DTYPE_F64, &section));
    CHECK_OK(section_add(store, section, "t", 1, (int64_t[]){3}, &t));
    CHECK_OK(section_add(store, section, "large", 1, (int64_t[]){9}, &large));
    CHECK_OK(store_allocate(store, device));
    CHECK(store_section_count(store) == 1 && store_section_at(store, 0) == section);
    CHECK(device->allocated_bytes == store_bytes(store));
    CHECK_OK(device_upload(device, t, sent));
    CHECK_OK(device_fetch_start(device, &fetch, t));
    CHECK_OK(device_upload(device, t, (double[]){7, 8, 9})); /* the fetch already has its copy */
    CHECK_OK(device_fetch_finish(device, &fetch, got));
    CHECK(memcmp(got, sent, sizeof got) == 0);
    CHECK_OK(device_download(device, got, t));
    CHECK(got[0] == 7 && got[2] == 9);
    CHECK_ERROR(device_fetch_start(device, &fetch, large), STATUS_FAILURE,
                "cannot fetch 72 bytes at once");
    void *host = NULL;
    REQUIRE_OK(device_host_alloc(device, sizeof got, &host));
    CHECK_OK(device_copy_start(device, host, t));
    CHECK_OK(device_upload(device, t, sent)); /* the copy is complete on the CPU */
    CHECK_OK(device_copy_wait(device));
    CHECK(memcmp(host, got, sizeof got) == 0);
    device_host_free(device, host, sizeof got);
    device_host_free(device, NULL, 0);
    store_destroy(&store);
    CHECK(device->allocated_bytes == 0);
}

static void sizes_are_checked(void) {
    Store *store = NULL;
    Section *section;
    Tensor *t;
    const int64_t huge[][2] = {{INT64_MAX, 2}, {INT64_MAX / 4, 2}, {-1, 4}};
    REQUIRE_OK(store_create(&store));
    CHECK_OK(store_section(store, "section", BUFFER_WEIGHTS, DTYPE_F64, &section));
    for (size_t i = 0; i < COUNT(huge); i++) {
        CHECK_ERROR(section_add(store, section, "wte.weight", 2, huge[i], &t), STATUS_CONFIG,
                    "wte.weight: the tensor is too large to address");
    }
    CHECK(section->n_entries == 0);
    store_destroy(&store);
}

static Status nothing_run(const Node *node, void *stream) {
    (void)node, (void)stream;
    return OK;
}

static const char *refuses(const Node *node, const Target *target) {
    return node->n_inputs > 1 && target->threads > 0 ? "needs one input" : NULL;
}

/* On the CPU: only f32 with one input. On a GPU: everything, with a function that no build has. */
static const Op picky_op = {
    .name = "picky",
    .kernels = KERNELS(&(const Kernel){.device = DEVICE_CPU,
                                       .dtypes = DTYPE_BIT(DTYPE_F32),
                                       .refuses = refuses,
                                       .run = nothing_run},
                       &(const Kernel){.device = DEVICE_CUDA, .dtypes = DTYPES_ALL}),
};

static const Op unknown_op = {.name = "unknown", .kernels = (const Kernel *const[]){NULL}};

static Status picky_record(Target target, DType dtype, int n_inputs) {
    Program *p = NULL;
    TRY(program_create(target, true, &p));
    program_label(p, "h.7");
    Tensor *x = program_tensor(p, BUFFER_INPUTS, dtype, 1, (int64_t[]){4});
    Tensor *const inputs[] = {x, x};
    Node *node =
        program_record(p, (Recording){&picky_op, NULL, 0, inputs, n_inputs, NULL, 0, NULL});
    Status status = program_status(p);
    if (node != NULL) status = node_run(node, NULL);
    program_destroy(&p);
    return status;
}

static void missing_kernels_are_named(void) {
    Target cpu = device->target, gpu = {.kind = DEVICE_CUDA, .sm = 90};
    CHECK_OK(picky_record(cpu, DTYPE_F32, 1));
    CHECK_ERROR(picky_record(cpu, DTYPE_F32, 2), STATUS_CONFIG,
                "h.7: picky: no kernel supports this call (CPU: needs one input)");
    CHECK_ERROR(picky_record(cpu, DTYPE_BF16, 1), STATUS_CONFIG,
                "h.7: picky: no kernel supports this call (CPU: needs f32)");
    CHECK_ERROR(picky_record(gpu, DTYPE_F32, 1), STATUS_CONFIG,
                "this program was built without CUDA; install the CUDA toolkit");
    Program *p = NULL;
    REQUIRE_OK(program_create(cpu, true, &p));
    program_record(p, (Recording){&unknown_op, NULL, 0, NULL, 0, NULL, 0, NULL});
    CHECK_ERROR(program_status(p), STATUS_CONFIG, "unknown: the CPU has no kernel for it");
    program_destroy(&p);
}

static void numbers_that_are_no_reals_do_not_add_up(void) {
    Program *p = NULL;
    REQUIRE_OK(program_create(device->target, true, &p));
    Tensor *a = program_tensor(p, BUFFER_ACTIVATIONS, DTYPE_I32, 1, (int64_t[]){4});
    Tensor *b = program_tensor(p, BUFFER_ACTIVATIONS, DTYPE_I32, 1, (int64_t[]){4});
    copy_record(p, a, b, false);
    CHECK_OK(program_status(p));
    copy_record(p, a, b, true);
    CHECK_ERROR(program_status(p), STATUS_FAILURE, "copy: i32 cannot be accumulated");
    program_destroy(&p);
}

static const Op nothing_op = {
    .name = "nothing",
    .kernels =
        KERNELS(&(const Kernel){.device = DEVICE_CPU, .dtypes = DTYPES_ALL, .run = nothing_run}),
};

static int n_progress;
static void progress_note(void *self, const char *activity) {
    n_progress += self == device && activity[0] == 'n';
}

static void progress_before_every_op(void) {
    Program *p = NULL;
    REQUIRE_OK(program_create(device->target, true, &p));
    for (int i = 0; i < 3; i++) {
        program_record(p, (Recording){&nothing_op, NULL, 0, TENSORS(NULL), TENSORS(NULL), NULL});
    }
    device->progress = progress_note;
    device->progress_self = device;
    CHECK_OK(device_replay(device, p));
    CHECK(n_progress == 3);
    device->progress = NULL;
    program_destroy(&p);
}

static int n_updates;
static void update_note(void *self) { n_updates += self == device; }

/* Of a checkpoint's tensors, which are f32 or f64: 16-bit weights have masters, and the largest
 * magnitudes of eight-bit products, in i32, are not saved. */
static void updates_of_state_are_announced(void) {
    const struct {
        BufferKind kind;
        DType dtype;
        int updates;
    } cases[] = {
        {BUFFER_WEIGHTS, DTYPE_F32, 1},   {BUFFER_WEIGHTS, DTYPE_F64, 1},
        {BUFFER_WEIGHTS, DTYPE_BF16, 0},  {BUFFER_MASTER_WEIGHTS, DTYPE_F32, 1},
        {BUFFER_MOMENTS, DTYPE_F32, 1},   {BUFFER_MOMENTS, DTYPE_I32, 0},
        {BUFFER_GRADIENTS, DTYPE_F32, 0}, {BUFFER_INPUTS, DTYPE_F32, 0},
    };
    device->before_update = update_note;
    device->before_update_self = device;
    for (size_t i = 0; i < COUNT(cases); i++) {
        Program *p = NULL;
        REQUIRE_OK(program_create(device->target, false, &p));
        Tensor *t = program_tensor(p, cases[i].kind, cases[i].dtype, 1, (int64_t[]){4});
        program_record(p, (Recording){&nothing_op, NULL, 0, TENSORS(t), TENSORS(NULL), NULL});
        program_record(p, (Recording){&nothing_op, NULL, 0, TENSORS(NULL), TENSORS(NULL, t), NULL});
        n_updates = 0;
        CHECK_OK(device_replay(device, p));
        CHECK(n_updates == cases[i].updates);
        program_destroy(&p);
    }
    device->before_update = NULL;
}

static void nodes_are_moved(void) {
    Program *p = NULL;
    const char *const names[] = {"a", "b", "c", "d"}, *const wanted[] = {"d", "b", "c", "a"};
    REQUIRE_OK(program_create(device->target, true, &p));
    for (int i = 0; i < 4; i++) {
        program_label(p, "%s", names[i]);
        program_record(p, (Recording){&nothing_op, NULL, 0, TENSORS(NULL), TENSORS(NULL), NULL});
    }
    Node *a = p->nodes[0], *b = p->nodes[1], *d = program_last(p);
    program_move_before(p, d, b); /* a d b c */
    program_move_before(p, a, b); /* d a b c */
    program_move_before(p, a, a);
    program_move_before(p, a, NULL);
    CHECK(program_position(p, a) == 3 && program_position(p, NULL) == 4);
    for (int i = 0; i < 4; i++) CHECK(strcmp(p->nodes[i]->label, wanted[i]) == 0);
    program_destroy(&p);
}

/* Of the library that this build was made for; without a GPU, too. */
static void functions_of_cublaslt_are_found(void) {
    static Status (*const load)(void) = CUDA_RUN(cublaslt_load);
    if (load == NULL) SKIP("built without CUDA");
    CHECK_OK(load());
    CHECK_OK(load());
}

static void nothing_is_destroyed_safely(void) {
    Program *p = NULL;
    Store *store = NULL;
    Device *none = NULL;
    program_destroy(NULL);
    program_destroy(&p);
    store_destroy(NULL);
    store_destroy(&store);
    device_close(NULL);
    device_close(&none);
    CHECK(p == NULL && store == NULL && none == NULL);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(memory_is_zeroed_and_counted),
        TEST(too_much_is_named),
        TEST(copies_and_fetches),
        TEST(sizes_are_checked),
        TEST(missing_kernels_are_named),
        TEST(numbers_that_are_no_reals_do_not_add_up),
        TEST(progress_before_every_op),
        TEST(updates_of_state_are_announced),
        TEST(nodes_are_moved),
        TEST(functions_of_cublaslt_are_found),
        TEST(nothing_is_destroyed_safely),
    };
    if (failed(device_open_cpu(1, &device))) return 1;
    int code = harness_run(argc, argv, "device", tests, COUNT(tests));
    device_close(&device);
    return code;
}
