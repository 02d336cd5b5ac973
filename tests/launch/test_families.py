#!/usr/bin/env python3
"""Models of other layers than GPT-2's: any ranks, kills, resumes and settings of memory give the
same run, and bad combinations of layers are refused at their key. sanitizers: no"""

import json
import os
import signal

from e2e import (FAMILIES, SMALL, WORK, check, checkpoints, config, equal, losses, main, run,
                 run_directory, start, states, train)

STEPS = 20


def settings(family, name, **changes):
    changes = dict({"training__stop__steps": STEPS, "model": FAMILIES[family]}, **changes)
    if family == "mistral":
        changes["attention__window"] = 8
    return config("%s_%s" % (family, name), **changes)


def a_run(family, name, ranks=0, **changes):
    train(settings(family, name, **changes), ranks=ranks)
    return run_directory("%s_%s" % (family, name))


def the_number_of_ranks_changes_nothing():
    for family in FAMILIES:
        wanted = losses(a_run(family, "one", data__batch_size=8, checkpoint__interval=0,
                              training__gradient_accumulation_steps=1))
        check(wanted[STEPS] < wanted[1] - 0.2, "%s: the loss does not fall: %r" % (family, wanted))
        for ranks, batch, accumulation in ((2, 2, 2), (4, 1, 2)):
            got = losses(a_run(family, "ranks_%d" % ranks, ranks, data__batch_size=batch,
                               checkpoint__interval=0,
                               training__gradient_accumulation_steps=accumulation))
            for step, loss in wanted.items():
                check(abs(got[step] - loss) <= 1e-5 * loss,
                      "%s, %d ranks, step %d: %r, wanted %r" % (family, ranks, step, got[step],
                                                                loss))


def a_sharded_optimizer_changes_no_bit():
    for family in ("llama", "modern"):
        plain, shared = (states(checkpoints(
            a_run(family, "shard_%s" % flag, 2, training__shard_optimizer=flag)))
            for flag in (False, True))
        equal(shared, plain, family)


def recomputation_changes_no_loss():
    for family in FAMILIES:
        wanted = losses(a_run(family, "kept", checkpoint__interval=0))
        for kind in ("gelu", "block"):
            got = losses(a_run(family, "again_" + kind, checkpoint__interval=0,
                               training__recompute=kind))
            equal(got, wanted, "%s, recompute: %s" % (family, kind))


def a_killed_run_resumes_to_the_same_bits():
    for family in ("llama", "modern"):
        wanted = states(checkpoints(a_run(family, "whole", 2)))
        path = settings(family, "cut")
        for _ in range(3):
            job = start(["train", path], 2)
            job.wait_for(r"(?m)^(step \d+/|done)")
            for pid in job.ranks(2) if job.process.poll() is None else []:
                os.kill(pid, signal.SIGKILL)
            job.end()
        train(path, ranks=2)
        got = states(checkpoints(run_directory(family + "_cut")))
        equal({step: got[step] for step in got}, {step: wanted[step] for step in got}, family)
        check(STEPS in got, "%s did not end: %r" % (family, sorted(got)))


def backends_and_documents_agree():
    for family in FAMILIES:
        wanted = losses(a_run(family, "flash", attention__backends=["flash"],
                              checkpoint__interval=0))
        for backend in ("mem_efficient", "math"):
            got = losses(a_run(family, backend, attention__backends=[backend],
                               checkpoint__interval=0))
            check(abs(got[STEPS] - wanted[STEPS]) < 1e-4 * wanted[STEPS],
                  "%s, %s: %r, wanted %r" % (family, backend, got[STEPS], wanted[STEPS]))
        a_run(family, "documents", attention__document_mask=True, checkpoint__interval=0)


def a_saved_config_makes_the_same_model():
    for family in FAMILIES:
        directory = a_run(family, "first", checkpoint__interval=0)
        again = os.path.join(WORK, "again_" + family)
        train(os.path.join(directory, "config.yaml"), "output=" + again)
        equal(losses(again), losses(directory), family)


def bad_layers_are_refused_at_their_key():
    cases = [
        ({"n_kv_head": 3}, 78, "'model.n_head' (4) must be a multiple of 'model.n_kv_head' (3)"),
        ({"position": "rotary"}, 78, "'model.position' needs one of learned, rope, none"),
        ({"position": "rope", "rope": {"scaling": "dynamic"}}, 78,
         "'model.rope.scaling' needs one of none, linear, llama3, yarn"),
        ({"position": "rope", "head_dim": 7}, 78, "rope"),
        ({"mlp": "swish"}, 78, "'model.mlp' needs one of gelu, swiglu, geglu, relu2"),
        ({"rms_norm": True}, 78, "unknown key 'model.rms_norm'"),
        ({"preset": "llama-8b"}, 78, "modern, modern-small, not 'llama-8b'"),
        ({"short_conv": {"mlp": 5}}, 78, "'model.short_conv.mlp' must be at most 4, not '5'"),
        ({"short_conv": {"attention": 1}}, 78, "'model.short_conv.attention' needs 0, or 2 to 4"),
        ({"short_conv": 3}, 78, "model.short_conv"),
        ({"value_embeddings": ["maybe"]}, 78, "'model.value_embeddings' needs one of false, true"),
    ]
    for number, (layers, code, message) in enumerate(cases):
        path = config("bad_%d" % number, model=dict(SMALL, **layers))
        done = run("train", path)
        equal(done.code, code, json.dumps(layers))
        check(len(done.errors()) == 1 and message in done.errors()[0],
              "%s: %r" % (json.dumps(layers), done))
        check(done.errors()[0].startswith("%s:" % path), "no place: %r" % done)
        check(not os.path.exists(run_directory("bad_%d" % number)), "a directory was left behind")
    for window in ("-1", "[]", "[512, none]"):
        done = run("train", config("window"), "attention.window=" + window)
        equal(done.code, 78, window)
        check(len(done.errors()) == 1 and "attention.window" in done.errors()[0], "%r" % done)


main(the_number_of_ranks_changes_nothing, a_sharded_optimizer_changes_no_bit,
     recomputation_changes_no_loss, a_killed_run_resumes_to_the_same_bits,
     backends_and_documents_agree, a_saved_config_makes_the_same_model,
     bad_layers_are_refused_at_their_key)
