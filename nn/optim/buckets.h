/* Buckets of parameters (nn/parameters.h) as ranges of a program's tensors. */
#pragma once

#include "core/program.h"
#include "nn/parameters.h"

/* A bucket and the node that completes or first reads it; NULL: no node does. */
typedef struct BucketNode {
    int bucket;
    Node *node;
} BucketNode;

/* In the order of the program's nodes, then of the list; entries without a node come last. */
void bucket_nodes_sort(const Program *p, BucketNode *list, int count);

/* A range of a section's elements; NULL after the program has failed. */
Tensor *bucket_view(Program *p, Section *section, ElementRange range);

/* Whether a tensor of the section starts within the range; false for NULL and for other
 * sections. */
bool bucket_holds(const Section *section, ElementRange range, const Tensor *t);

/* Whether bucket `index` holds the embeddings. */
bool bucket_has_embedding(const Parameters *parameters, int index);
