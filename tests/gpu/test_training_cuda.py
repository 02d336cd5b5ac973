#!/usr/bin/env python3
"""Whole runs on the GPU: the loss curve of the CPU in f32, the same bits twice, and an exact
resume. It measures memory, so it runs alone.
sanitizers: no"""

import glob
import json
import math
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "launch"))
from e2e import (ENVIRONMENT, FAMILIES, WORK, Skip, check, checkpoints, config,  # noqa: E402
                 equal, losses, main, metrics, run, run_directory, states, summary, train)
from hardware import gpus  # noqa: E402
from model_files import dumped, farthest  # noqa: E402

# Uses one GPU only; tests/gpu/test_ranks_cuda.py uses several.
ENVIRONMENT["CUDA_VISIBLE_DEVICES"] = (os.environ.get("CUDA_VISIBLE_DEVICES") or "0").split(",")[0]
MODEL = {
    "n_layer": 2, "n_head": 2, "n_embd": 64, "block_size": 32, "vocab_size": "auto", "dropout": 0.1
}


def needs_gpu():
    if gpus() == 0:
        raise Skip("no GPU")


def run_of(name, device, dtype, steps, **changes):
    path = config(name, device=device, model=MODEL, training__dtype=dtype,
                  training__stop__steps=steps, **changes)
    train(path)
    return run_directory(name)


def follows_the_cpu_in_f32():
    needs_gpu()
    quiet = {"checkpoint__interval": "1000 steps"}
    cpu = losses(run_of("cpu", "cpu", "float32", 200, **quiet))
    gpu = losses(run_of("gpu", "cuda", "float32", 200, **quiet))
    equal(sorted(cpu), sorted(gpu), "the steps that were logged")
    far = {
        step: (cpu[step], gpu[step])
        for step in cpu if not abs(gpu[step] - cpu[step]) <= 1e-4 * abs(cpu[step])
    }
    check(not far, "losses that differ by more than 1e-4: %r" % dict(sorted(far.items())[:5]))
    check(cpu[max(cpu)] < 0.7 * cpu[min(cpu)], "the loss falls")


def families_follow_the_cpu():
    """Each layer that GPT-2 does not have, in f32 to 1e-4 and in bf16 to 1%; bf16 runs repeat."""
    needs_gpu()
    for family in FAMILIES:
        found = []
        for device, dtype in (("cpu", "float32"), ("cuda", "float32"), ("cuda", "bfloat16"),
                              ("cuda", "bfloat16")):
            name = "%s_%d" % (family, len(found))
            train(config(name, device=device, model=FAMILIES[family], training__dtype=dtype,
                         training__stop__steps=40, checkpoint__interval=0,
                         attention__window=8 if family == "mistral" else "full"))
            found.append(losses(run_directory(name)))
        wanted, exact, half, again = found
        equal(again, half, family + ": two runs in bf16")
        for what, got, within in (("float32", exact, 1e-4), ("bfloat16", half, 1e-2)):
            far = {step: (loss, got[step]) for step, loss in wanted.items()
                   if not abs(got[step] - loss) <= within * loss}
            check(not far, "%s, %s: %r" % (family, what, dict(sorted(far.items())[:5])))


def repeats(dtype):
    needs_gpu()
    first = states(checkpoints(run_of("once_" + dtype, "cuda", dtype, 20)))
    second = states(checkpoints(run_of("twice_" + dtype, "cuda", dtype, 20)))
    equal(second, first, "states of two runs")
    check(len(first) >= 20, "a state for each step")


def repeats_bit_by_bit_in_bf16():
    repeats("bfloat16")


def repeats_bit_by_bit_in_f32():
    repeats("float32")


def resumes_from_step_9(name):
    """Removes the later checkpoints of a run that has ended, and ends it again."""
    directory = run_directory(name)
    whole = states(checkpoints(directory))
    for path in glob.glob(directory + "/checkpoints/step_*.h5"):
        if int(path[-11:-3]) > 9:
            os.remove(path)
    train(os.path.join(WORK, name + ".yaml"))
    equal(states(checkpoints(directory)), whole, "states after the resume")


def resumes_bit_by_bit():
    needs_gpu()
    run_of("resumed", "cuda", "bfloat16", 20)
    resumes_from_step_9("resumed")


def phases_follow_the_cpu_and_resume():
    """A batch and windows that grow: three sets of programs in one arena."""
    needs_gpu()

    def phases(name, device, dtype, *overrides):
        path = config(name, device=device, model=MODEL, attention={"window": [[0, 8], [14, 16]]},
                      training={"batch_schedule": [[0, 64], [8, 128]], "dtype": dtype,
                                "stop": {"steps": 20}})
        train(path, *overrides)
        return run_directory(name)

    wanted = losses(phases("phases_cpu", "cpu", "float32"))
    got = losses(phases("phases_gpu", "cuda", "float32"))
    far = {step: (loss, got[step]) for step, loss in wanted.items()
           if not abs(got[step] - loss) <= 1e-4 * loss}
    check(not far and len(got) == 20, "losses that differ by more than 1e-4: %r" % far)
    whole = states(checkpoints(phases("phases_whole", "cuda", "bfloat16")))
    for steps in (6, 11, 17, 20):
        cut = phases("phases_cut", "cuda", "bfloat16", "training.stop.steps=%d" % steps)
    equal(states(checkpoints(cut))[20], whole[20], "state after the resumes")


def two_ranks_agree_with_one():
    """The same global batch on one rank and on two that share the GPU: the same graph except for
    sums by the host."""
    needs_gpu()
    one = losses(run_of("one", "cuda", "bfloat16", 20, data__batch_size=4))
    for shared in (False, True):
        name = "two_%d" % shared
        train(
            config(name, device="cuda", model=MODEL, training__dtype="bfloat16",
                   training__stop__steps=20, data__batch_size=2, share_gpu=True,
                   training__shard_optimizer=shared), ranks=2)
        two = losses(run_directory(name))
        far = {
            step: (one[step], two[step])
            for step in one if not abs(two[step] - one[step]) <= 1e-3 * abs(one[step])
        }
        check(not far and len(one) == 20,
              "optimizer shared: %r; losses that differ by more than 1e-3: %r" % (shared, far))


def two_ranks_on_one_gpu_are_refused():
    needs_gpu()
    path = config("shared", device="cuda", model=MODEL, training__dtype="bfloat16")
    done = train(path, ranks=2, code=78)
    check("ranks 0 and 1 would share one GPU" in done.err, done)


def scales_the_loss_in_f16():
    needs_gpu()
    curve = losses(run_of("half", "cuda", "float16", 60))
    check(curve[max(curve)] < 0.9 * curve[min(curve)], "the loss falls: %r" % curve)


def recomputes_the_same():
    needs_gpu()
    kept = losses(run_of("kept", "cuda", "bfloat16", 10))
    for what in ("gelu", "block"):
        again = losses(run_of("again_" + what, "cuda", "bfloat16", 10, training__recompute=what))
        far = {
            step: (kept[step], again[step])
            for step in kept if not abs(again[step] - kept[step]) <= 2e-3
        }
        check(not far, "%s: %r" % (what, far))


def takes_what_is_planned():
    """The plan predicts the memory of the run to 2%, including evaluation and checkpoints."""
    needs_gpu()
    model = {"n_layer": 6, "n_head": 8, "n_embd": 512, "block_size": 512, "vocab_size": "auto"}
    quiet = {"checkpoint__interval": "3 steps", "evaluation__interval": 2, "model": model}
    for dtype in ("bfloat16", "float32"):
        path = config("plan_" + dtype, device="cuda", training__dtype=dtype, data__batch_size=4,
                      **quiet)
        train(path)
        end = summary(run_directory("plan_" + dtype))
        with open(run_directory("plan_" + dtype) + "/plan.json", encoding="utf-8") as file:
            plan = json.load(file)
        equal(sum(plan["by_kind"].values()), end["planned_bytes"], "the sum over kinds of memory")
        off = end["peak_bytes"] / end["planned_bytes"] - 1
        check(abs(off) < 0.02, "%s: %r, off by %.2f%%" % (dtype, end, 100 * off))
        check(plan.get("predicted_step_s", 0) > 0 and 0 < end["start_s"] < 20, repr((plan, end)))


HOLDER = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
free, total = ctypes.c_size_t(), ctypes.c_size_t()
assert cuda.cuInit(0) == 0 and cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
assert cuda.cuCtxSetCurrent(context) == 0
assert cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(free.value - (2 << 30))) == 0
print("held", flush=True)
sys.stdin.read()
"""


def refuses_what_does_not_fit():
    """The chosen batch runs within a budget and one more row is refused, also if another process
    uses the memory."""
    needs_gpu()
    path = config(
        "budget", device="cuda", training__dtype="bfloat16", memory_budget="1GiB",
        data__batch_size="auto",
        model={"n_layer": 4, "n_head": 4, "n_embd": 256, "block_size": 256,
               "vocab_size": "auto"}, training__stop__steps=4, evaluation__interval=2)
    train(path)
    end = summary(run_directory("budget"))
    check(end["peak_bytes"] <= 1 << 30 and end["batch_size"] > 1, repr(end))
    more = "data.batch_size=%d" % (end["batch_size"] + 1)
    for ranks, budget in ((0, "1GiB"), (2, "2GiB")):  # two ranks have two contexts
        more = more if ranks == 0 else "data.batch_size=40000"
        done = train(path, more, "memory_budget=" + budget, "share_gpu=true",
                     "output=%s/over" % WORK, ranks=ranks, code=71)
        found = re.search(r"the largest batch that fits is (\d+)", done.err)
        check(found and len(done.errors()) == 1, repr(done))
        if ranks == 0:
            equal(int(found.group(1)), end["batch_size"], "the largest batch")
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:
        try:
            equal(holder.stdout.readline(), b"held\n", "another process that takes all but 2 GiB")
            done = train(path, "memory_budget=90%", "data.batch_size=40000",
                         "output=%s/held" % WORK, code=71)
            largest = re.search(
                r" ([\d.]+) GiB are within memory_budget and free; "
                r"the largest batch that fits is (\d+)",
                done.err)
            check(largest and float(largest.group(1)) < 2.2, repr(done))
            train(path, "memory_budget=90%", "data.batch_size=" + largest.group(2),
                  "output=%s/beside" % WORK)
        finally:
            holder.stdin.close()


def names_the_gradient_that_is_not_finite():
    """The step after the last good one, and the first bad tensor, although the GPU is a step ahead
    by then."""
    needs_gpu()
    for device, dtype in (("cpu", "float32"), ("cuda", "float32"), ("cuda", "bfloat16")):
        path = config("diverged_%s_%s" % (device, dtype), device=device, training__dtype=dtype,
                      optimizer__lr=1000, optimizer__weight_decay=1000, lr_scheduler__warmup=0,
                      training__stop__steps=50)
        done = train(path, code=1)
        found = re.search(r"step (\d+): .* are not finite \(first in (\S+)\)", done.err)
        check(found and len(done.errors()) == 1, repr(done))
        check(re.match(r"wte|wpe|h\.\d|ln_f", found.group(2)), repr(found.groups()))
        good = [
            r["step"] for r in metrics(run_directory("diverged_%s_%s" % (device, dtype)))
            if math.isfinite(r.get("train/loss") or math.nan) and
            math.isfinite(r.get("grad_norm") or math.nan)
        ]
        equal(int(found.group(1)),
              max(good, default=0) + 1, "the step, on %s in %s" % (device, dtype))


def evaluates_the_same_in_training_and_by_itself():
    """./evaluate reports the loss of training: with other batch sizes, on one rank and two, and
    close to the CPU."""
    needs_gpu()
    for dtype, batches, devices in (("float32", 1e-6, 1e-5), ("bfloat16", 1e-3, 1e-2)):
        directory = run_of("ruler_" + dtype, "cuda", dtype, 10,
                           evaluation={"interval": 5, "tokens": 1000}, checkpoint__interval=5)
        said = [record for record in metrics(directory) if "val/loss" in record][-1]
        for within, ranks, *flags in ((1e-8, 0), (batches, 0, "data.batch_size=9"),
                                      (batches, 2, "share_gpu=true"), (devices, 0, "device=cpu",
                                                                       "threads=2")):
            done = run("evaluate", directory, "--json", *flags, ranks=ranks)
            equal(done.code, 0, repr(done))
            found = json.loads(done.out)
            check(
                abs(found["loss"] - said["val/loss"]) <= within * said["val/loss"],
                "%s %r: %r, %r" % (dtype, flags, found, said))
            equal((found["tokens"], found["step"]), (1024, 10), "tokens, step")


def logits_are_near_those_of_the_cpu():
    """Of ./evaluate --logits: three windows, of which the last is short."""
    needs_gpu()
    for dtype, within in (("float32", 1e-4), ("bfloat16", 0.1)):
        directory, values = run_of("logits_" + dtype, "cuda", dtype, 4), {}
        data = os.path.join(WORK, "logits.bin")
        with open(data, "wb") as file:
            file.write(("the sand runs down " * 5)[:81].encode("utf-16-le"))
        for device in ("cuda", "cpu"):
            out = os.path.join(WORK, "logits_%s_%s.h5" % (dtype, device))
            done = run("evaluate", directory, data, "--tokens=all", "--logits=" + out,
                       "device=" + device, "data.batch_size=2")
            equal(done.code, 0, repr(done))
            values[device] = dumped(out, "/logits", "f")
        equal(len(values["cuda"]), 3 * 32 * 257, dtype + ": logits")
        worst = farthest(values["cuda"], values["cpu"])
        check(worst <= within, "%s: off by %g" % (dtype, worst))


def needs_eight_bits():
    needs_gpu()
    found = subprocess.run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"],
                           stdout=subprocess.PIPE, text=True, check=False).stdout
    if float(found.split()[0]) < 8.9:
        raise Skip("the GPU has no eight-bit products")


def eight_bits_follow_the_emulation():
    """In f32 and in bf16, with each scaling and recomputation; a run resumes to the bit."""
    needs_eight_bits()
    for scaling, recompute in (("delayed", "none"), ("current", "none"), ("delayed", "gelu"),
                               ("delayed", "block")):
        eight = {"training__matmul": "fp8", "training__fp8": {"scaling": scaling},
                 "training__recompute": recompute}
        name = "eight_%s_%s" % (scaling, recompute)
        cpu = losses(run_of(name + "_cpu", "cpu", "float32", 40, **eight))
        for dtype, within in (("float32", 5e-3), ("bfloat16", 2e-2)):
            gpu = losses(run_of(name + "_" + dtype, "cuda", dtype, 40, **eight))
            far = {step: (loss, gpu[step]) for step, loss in cpu.items()
                   if not abs(gpu[step] - loss) <= within * loss}
            check(not far, "%s %s: %r" % (name, dtype, dict(sorted(far.items())[:5])))
    resumes_from_step_9("eight_delayed_none_bfloat16")


def eight_bits_on_two_ranks_agree_with_one():
    needs_eight_bits()
    eight = {"training__matmul": "fp8"}
    one = losses(run_of("eight_one", "cuda", "bfloat16", 20, data__batch_size=4, **eight))
    for shared in (False, True):
        name = "eight_two_%d" % shared
        train(config(name, device="cuda", model=MODEL, training__dtype="bfloat16",
                     training__stop__steps=20, data__batch_size=2, share_gpu=True,
                     training__shard_optimizer=shared, **eight), ranks=2)
        two = losses(run_directory(name))
        far = {step: (loss, two[step]) for step, loss in one.items()
               if not abs(two[step] - loss) <= 5e-3 * loss}
        check(not far, "optimizer shared: %r: %r" % (shared, far))


if __name__ == "__main__":
    main(follows_the_cpu_in_f32, families_follow_the_cpu, repeats_bit_by_bit_in_bf16,
         repeats_bit_by_bit_in_f32, resumes_bit_by_bit, phases_follow_the_cpu_and_resume,
         two_ranks_agree_with_one, two_ranks_on_one_gpu_are_refused, scales_the_loss_in_f16,
         recomputes_the_same, takes_what_is_planned, refuses_what_does_not_fit,
         names_the_gradient_that_is_not_finite, evaluates_the_same_in_training_and_by_itself,
         logits_are_near_those_of_the_cpu,
         eight_bits_follow_the_emulation, eight_bits_on_two_ranks_agree_with_one)
