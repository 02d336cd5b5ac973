/* Prints the start of each training sample 0 .. COUNT-1 of a token file, one per line, so that
 * other programs can repeat a run. usage: mpi_order FILE SEED T COUNT */
#include "data/batch_order.h"
#include "data/token_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static Status order_print(char **argv) {
    TokenFile *file = NULL;
    BatchOrder order;
    TRY(token_file_open(argv[1], &file));
    Status status = batch_order_init(strtoull(argv[2], NULL, 10), token_file_count(file),
                                     atoll(argv[3]), &order);
    for (int64_t i = 0; i < atoll(argv[4]) && !failed(status); i++) {
        printf("%" PRId64 "\n", batch_order_start(&order, i));
    }
    token_file_destroy(&file);
    return status;
}

int main(int argc, char **argv) {
    if (argc != 5) return 64;
    return status_report("mpi_order", order_print(argv));
}
