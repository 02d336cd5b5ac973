/* optimizer.groups: a list of maps with `match`, a pattern of parameter names as in a shell, and
 * the update of these parameters. */
#pragma once

#include "launch/config/config.h"
#include "launch/config/node.h"

enum { GROUP_RULES_MAX = 8 };

typedef struct GroupRule {
    const char *match;  /* such as h.*.mlp.*; borrowed from the node */
    bool has_optimizer; /* else that of the kind of each parameter */
    ConfigMatrices optimizer;
    ConfigGroup values;
    Place place; /* of `match` */
} GroupRule;

/* Reads the rules; none from NULL. Errors: STATUS_CONFIG with the position. */
NODISCARD Status group_rules_read(const YamlNode *groups, GroupRule rules[GROUP_RULES_MAX],
                                  int *count);
