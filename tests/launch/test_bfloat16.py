#!/usr/bin/env python3
"""Training in bfloat16 on the CPU: near float32, the same for any number of ranks, the same bits
after a resume, for every family; refused where the processor has no such products. With sanitizers
only the backends, which takes seconds."""

from e2e import (FAMILIES, SANITIZED, Skip, check, checkpoints, config, equal, losses, main,
                 metrics, run, run_directory, states, train)
from hardware import gpus

STEPS = 20
OLDER = {"DNNL_MAX_CPU_ISA": "AVX512_CORE"}  # oneDNN's own limit of the instructions


def half(name, **changes):
    return config(name, **dict({"training__dtype": "bfloat16", "training__stop__steps": STEPS},
                               **changes))


def need_bfloat16():
    done = run("train", half("needs"), "--plan")
    if done.code == 78:
        raise Skip(done.err.strip())
    equal(done.code, 0, repr(done))


def losses_of(path, name, ranks=0):
    train(path, ranks=ranks)
    return losses(run_directory(name))


def near(got, wanted, share, text):
    for step, loss in wanted.items():
        check(abs(got[step] - loss) <= share * loss,
              "%s, step %d: %r, wanted %r" % (text, step, got[step], loss))


def every_family_learns_as_in_float32():
    need_bfloat16()
    for name, model in dict(FAMILIES, gpt2={}).items():
        changes = {"model": model} if model else {}
        got = losses_of(half("half_" + name, checkpoint__interval=0, **changes), "half_" + name)
        wanted = losses_of(half("full_" + name, training__dtype="float32", checkpoint__interval=0,
                                **changes), "full_" + name)
        check(wanted[STEPS] < wanted[1] - 0.2, "%s: the loss does not fall" % name)
        near(got, wanted, 0.01, name)
        check(got != wanted, "%s: bfloat16 rounds nothing" % name)


def muon_and_the_noise_scale_have_16_bits():
    need_bfloat16()
    changes = {"model": FAMILIES["modern"], "optimizer__matrices": "muon",
               "noise_scale__interval": 5, "checkpoint__interval": 0}
    got = losses_of(half("half_muon", **changes), "half_muon")
    wanted = losses_of(half("full_muon", training__dtype="float32", **changes), "full_muon")
    near(got, wanted, 0.01, "muon")
    noise = [record for record in metrics(run_directory("half_muon")) if "noise_scale" in record]
    check(noise, "no noise scale")


def every_backend_learns_alike():
    need_bfloat16()
    curves = [losses_of(half(name, attention__backends=[name], model__dropout=0.0,
                             checkpoint__interval=0), name)
              for name in ("flash", "mem_efficient", "math", "baseline")]
    for curve in curves[1:]:
        near(curve, curves[0], 2e-3, "another backend")


def ranks_see_the_same_data():
    need_bfloat16()
    changes = {"model__dropout": 0.0, "checkpoint__interval": 0}
    whole = losses_of(half("one", data__batch_size=8, training__gradient_accumulation_steps=1,
                           **changes), "one")
    for ranks, batch, accumulation in ((2, 2, 2), (2, 4, 1)):
        name = "ranks_%d_%d" % (ranks, batch)
        path = half(name, data__batch_size=batch,
                    training__gradient_accumulation_steps=accumulation, **changes)
        near(losses_of(path, name, ranks), whole, 2e-3, name)


def a_resumed_run_has_the_same_bits():
    need_bfloat16()
    for ranks in (0, 2):
        name = "cut_%d" % ranks
        train(half("whole_%d" % ranks), ranks=ranks)
        wanted = states(checkpoints(run_directory("whole_%d" % ranks)))
        for steps in (7, STEPS):
            train(half(name), "training.stop.steps=%d" % steps, ranks=ranks)
        equal(states(checkpoints(run_directory(name))), wanted, "states of %d ranks" % ranks)


def a_sharded_optimizer_changes_no_bit():
    need_bfloat16()
    for family in ("llama", "modern"):
        plain, shared = [], []
        for flag, found in ((False, plain), (True, shared)):
            name = "shard_%s_%s" % (family, flag)
            train(half(name, model=FAMILIES[family], training__shard_optimizer=flag), ranks=2)
            found.append(states(checkpoints(run_directory(name))))
        equal(shared, plain, family)


def a_processor_without_it_is_told_the_way_out():
    for dtype, reason in (("bfloat16", "needs "), ("float16", "is not computed")):
        path = config("refused_" + dtype, training__dtype=dtype)
        for ranks in (0, 2):
            done = train(path, ranks=ranks, code=78, **OLDER)
            lines = done.errors()
            check(len(lines) == 1 and
                  "training.dtype %s on the CPU %s" % (dtype, reason) in lines[0] and
                  "set float32, or train on a GPU" in lines[0], repr(done))
    if gpus() == 0:  # nor is the CPU named as the way out
        auto, cpu = (train(config("refused_auto", training__dtype="bfloat16", device=device),
                           code=78, **OLDER).err for device in ("auto", "cpu"))
        equal(auto, cpu, "two messages for one refusal")
        check("device: cpu" not in auto, auto)


def a_plan_says_where_it_would_run():
    """Without a GPU, device: auto plans for one; a run would take the CPU, if it can."""
    need_bfloat16()
    if gpus() > 0:
        raise Skip("there is a GPU, which is planned for as it is")
    path = half("elsewhere", device="auto")
    lacks, here = "for a GPU that this host lacks: compute capability 9.0, 80 GiB", \
        "; ./train takes the CPU here, which device=cpu plans"
    for changes, wanted in ({}, lacks + here), (OLDER, lacks):
        done = train(path, "--plan", **changes)
        equal(done.out.splitlines()[0], wanted, "the first line")
    check("lacks" not in train(path, "--plan", "device=cpu").out, "the CPU is here")
    done = train(path, "--plan", "training.matmul=fp8")  # which a run on the CPU would refuse
    equal(done.out.splitlines()[0], lacks, "the first line with eight-bit products")


def eight_bits_are_emulated_in_float32():
    need_bfloat16()
    done = train(half("eight", training__matmul="fp8"), code=78)
    check("set training.dtype float32" in done.err, repr(done))


if __name__ == "__main__":
    rest = (every_family_learns_as_in_float32, muon_and_the_noise_scale_have_16_bits,
            ranks_see_the_same_data, a_resumed_run_has_the_same_bits,
            a_sharded_optimizer_changes_no_bit, a_processor_without_it_is_told_the_way_out,
            a_plan_says_where_it_would_run, eight_bits_are_emulated_in_float32)
    main(every_backend_learns_alike, *(() if SANITIZED else rest))
