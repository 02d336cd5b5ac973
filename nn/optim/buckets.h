/* Buckets of parameters (nn/parameters.h), as a program sees them. */
#pragma once

#include "core/program.h"
#include "nn/parameters.h"

/* A bucket, and the node that completes or reads it; NULL: none does. */
typedef struct BucketNode {
    int bucket;
    Node *node;
} BucketNode;

/* In the order of the program's nodes, then in the list's; those without a node come last. */
void bucket_nodes_sort(const Program *p, BucketNode *list, int count);

/* A range of a section's elements. NULL where the program has failed. */
Tensor *bucket_view(Program *p, Section *section, ElementRange range);

/* Whether a tensor of the section begins within the range; false for NULL and for another
 * section's. */
bool bucket_holds(const Section *section, ElementRange range, const Tensor *t);

/* Whether the parameters' bucket `index` is the embeddings'. */
bool bucket_has_embedding(const Parameters *parameters, int index);
