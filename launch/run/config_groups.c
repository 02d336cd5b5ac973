#include "launch/run/config_groups.h"

#include "launch/config/diagnostic.h"
#include "launch/config/group_rules.h"
#include "nn/optim/groups.h"
#include "nn/optim/muon.h"

#include <fnmatch.h>
#include <math.h>

static GroupOptions muon_group(const ConfigOptimizer *o) {
    const ConfigMuon *m = &o->muon;
    return (GroupOptions){.optimizer = m->normuon ? &normuon_optimizer : &muon_optimizer,
                          .options = {.beta2 = m->beta2,
                                      .muon = {.momentum = m->momentum,
                                               .momentum_start = m->momentum_start,
                                               .momentum_warmup = m->momentum_warmup,
                                               .nesterov = m->nesterov,
                                               .cautious = m->cautious,
                                               .iteration = m->iteration}},
                          .lr_scale = m->lr / o->lr,
                          .weight_decay = m->weight_decay};
}

/* Replaces what the config sets. */
static void group_override(GroupOptions *group, const ConfigGroup *values, double lr) {
    if (!isnan(values->lr)) group->lr_scale = values->lr / lr;
    if (!isnan(values->weight_decay)) group->weight_decay = values->weight_decay;
    if (isnan(values->betas[0])) return;
    group->options.beta1 = values->betas[0];
    group->options.beta2 = values->betas[1];
}

double config_beta2(const Config *config, double tokens) {
    const ConfigOptimizer *o = &config->optimizer;
    return o->beta2_half_life == 0 ? o->betas[1] : exp2(-tokens / (double)o->beta2_half_life);
}

/* Muon, or AdamW, for a parameter of this kind: what the rule says, else as without it. */
static bool has_muon(const ConfigOptimizer *o, const GroupRule *rule, ParameterKind kind) {
    if (rule->has_optimizer) return rule->optimizer == CONFIG_MATRICES_MUON;
    return kind == PARAMETER_MATRIX && o->matrices == CONFIG_MATRICES_MUON;
}

/* What a rule leaves out is that of the kind of each parameter that it matches. */
static Status rules_add(const ConfigOptimizer *o, const GroupOptions adamw[PARAMETER_KINDS],
                        Parameters *parameters) {
    GroupRule rules[GROUP_RULES_MAX];
    int count;
    TRY(group_rules_read(o->groups, rules, &count));
    for (int i = 0; i < count; i++) {
        GroupOptions kinds[PARAMETER_KINDS];
        for (int kind = 0; kind < PARAMETER_KINDS; kind++) {
            bool muon = has_muon(o, &rules[i], (ParameterKind)kind);
            kinds[kind] = muon ? muon_group(o) : adamw[kind];
            group_override(&kinds[kind], &rules[i].values, o->lr);
        }
        TRY(groups_add(parameters, rules[i].match, kinds));
    }
    return OK;
}

Status config_groups_add(const Config *config, double tokens, Parameters *parameters) {
    const ConfigOptimizer *o = &config->optimizer;
    OptimizerOptions options = {
        .beta1 = o->betas[0], .beta2 = config_beta2(config, tokens), .eps = o->eps};
    GroupOptions kinds[PARAMETER_KINDS];
    groups_adamw(kinds, options, o->weight_decay);
    group_override(&kinds[PARAMETER_EMBEDDING], &o->embeddings, o->lr);
    group_override(&kinds[PARAMETER_HEAD], &o->head, o->lr);
    group_override(&kinds[PARAMETER_VECTOR], &o->vectors, o->lr);
    TRY(rules_add(o, kinds, parameters));
    if (o->matrices == CONFIG_MATRICES_MUON) kinds[PARAMETER_MATRIX] = muon_group(o);
    return groups_add(parameters, NULL, kinds);
}

static bool matches(const GroupRule *rule, const Parameter *parameter) {
    return fnmatch(rule->match, parameter->name, 0) == 0;
}

/* Muon updates no vectors and has no betas. */
static Status muon_check(const ConfigOptimizer *o, const GroupRule *rule,
                         const Parameter *parameter) {
    ParameterKind kind = parameter_kind(parameter);
    if (!has_muon(o, rule, kind)) return OK;
    if (kind == PARAMETER_VECTOR)
        return PLACE_ERROR(rule->place,
                           "muon updates matrices, and '%s' is a vector; give it another group, "
                           "or match *.weight of linear layers alone",
                           parameter->name);
    if (isnan(rule->values.betas[0])) return OK;
    return PLACE_ERROR(rule->place,
                       "'betas' are AdamW's, and '%s' has muon by optimizer.matrices; give the "
                       "group optimizer: adamw, or match other parameters",
                       parameter->name);
}

/* The parameters of one rule, which follows `earlier` others. */
static Status rule_check(const ConfigOptimizer *o, const GroupRule *rules, int earlier,
                         const Parameters *parameters) {
    const GroupRule *rule = &rules[earlier];
    int found = 0;
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *parameter = parameters->list[i];
        if (!matches(rule, parameter)) continue;
        found++;
        for (int other = 0; other < earlier; other++) {
            if (matches(&rules[other], parameter))
                return PLACE_ERROR(rule->place,
                                   "'%s' and '%s' both match '%s'; make one of them "
                                   "narrower",
                                   rules[other].match, rule->match, parameter->name);
        }
        TRY(muon_check(o, rule, parameter));
    }
    if (found > 0) return OK;
    return PLACE_ERROR(rule->place, "the group matches no parameter; the first is '%s'",
                       parameters->list[0]->name);
}

Status config_groups_check(const Config *config, const Parameters *parameters) {
    GroupRule rules[GROUP_RULES_MAX];
    int count;
    TRY(group_rules_read(config->optimizer.groups, rules, &count));
    for (int i = 0; i < count; i++) TRY(rule_check(&config->optimizer, rules, i, parameters));
    return OK;
}
