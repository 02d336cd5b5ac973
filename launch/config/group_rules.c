#include "launch/config/group_rules.h"

#include "launch/config/diagnostic.h"
#include "launch/config/value.h"

#include <math.h>
#include <string.h>

static Status read_number(const YamlNode *node, double most, bool below, double *out) {
    bool is_number = node->kind == NODE_SCALAR && value_parse_float(node->text, out);
    if (is_number && *out >= 0 && (below ? *out < most : *out <= most)) return OK;
    return PLACE_ERROR(node->place, "needs a number from 0 to %s%g", below ? "below " : "", most);
}

static Status read_betas(const YamlNode *node, double *out) {
    if (node->kind != NODE_LIST || node->count != 2)
        return PLACE_ERROR(node->place, "'betas' needs two numbers such as [0.9, 0.95]");
    TRY(read_number(node->first, 1, true, &out[0]));
    return read_number(node->last, 1, true, &out[1]);
}

static Status read_optimizer(const YamlNode *node, ConfigMatrices *out) {
    const char *text = node->kind == NODE_SCALAR ? node->text : "";
    *out = strcmp(text, "muon") == 0 ? CONFIG_MATRICES_MUON : CONFIG_MATRICES_ADAMW;
    if (strcmp(text, "muon") == 0 || strcmp(text, "adamw") == 0) return OK;
    return PLACE_ERROR(node->place, "'optimizer' needs one of adamw, muon");
}

static Status read_key(const YamlNode *node, GroupRule *rule) {
    if (strcmp(node->key, "optimizer") == 0) {
        rule->has_optimizer = true;
        return read_optimizer(node, &rule->optimizer);
    }
    if (strcmp(node->key, "lr") == 0) return read_number(node, 1000, false, &rule->values.lr);
    if (strcmp(node->key, "betas") == 0) return read_betas(node, rule->values.betas);
    if (strcmp(node->key, "weight_decay") == 0)
        return read_number(node, 1000, false, &rule->values.weight_decay);
    if (strcmp(node->key, "match") != 0)
        return PLACE_ERROR(node->key_place,
                           "unknown key of a group; there are match, optimizer, lr, betas and "
                           "weight_decay");
    if (node->kind != NODE_SCALAR || *node->text == '\0')
        return PLACE_ERROR(node->place, "'match' needs a pattern of names such as h.*.mlp.*");
    rule->match = node->text;
    rule->place = node->place;
    return OK;
}

static Status read_rule(const YamlNode *node, GroupRule *rule) {
    *rule = (GroupRule){.values = {.lr = NAN, .betas = {NAN, NAN}, .weight_decay = NAN}};
    if (node->kind != NODE_MAP) return PLACE_ERROR(node->place, "a group needs a map of its keys");
    for (const YamlNode *key = node->first; key != NULL; key = key->next) TRY(read_key(key, rule));
    if (rule->match == NULL)
        return PLACE_ERROR(node->place, "the group has no 'match', a pattern of names such as "
                                        "h.*.mlp.*");
    if (rule->optimizer == CONFIG_MATRICES_MUON && !isnan(rule->values.betas[0]))
        return PLACE_ERROR(node->place, "'betas' are AdamW's; the group has muon");
    return OK;
}

Status group_rules_read(const YamlNode *groups, GroupRule rules[GROUP_RULES_MAX], int *count) {
    *count = 0;
    if (groups == NULL) return OK;
    if (groups->kind != NODE_LIST)
        return PLACE_ERROR(groups->place, "'optimizer.groups' needs a list of maps");
    for (const YamlNode *node = groups->first; node != NULL; node = node->next) {
        if (*count == GROUP_RULES_MAX)
            return PLACE_ERROR(node->place, "'optimizer.groups' has more than %d groups",
                               GROUP_RULES_MAX);
        TRY(read_rule(node, &rules[*count]));
        ++*count;
    }
    return OK;
}
