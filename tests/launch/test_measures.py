#!/usr/bin/env python3
"""The noise scale and the energy in the files of a run: over ranks, micro-batches, sharding and a
resume. Measuring changes no loss. sanitizers: no"""

import os

from e2e import (WORK, check, config, equal, losses, main, metrics, run_directory, summary, train)

STEPS = 24


def noise(directory):
    return {record["step"]: record["noise_scale"] for record in metrics(directory)
            if "noise_scale" in record}


def run_of(name, ranks=0, steps=STEPS, again=False, **changes):
    changes = {"noise_scale__interval": 2, "training__stop__steps": steps, **changes}
    done = train(config(name, **changes), ranks=ranks)
    check("resumed from" in done.out if again else "resumed" not in done.out, done)
    return run_directory(name)


def every_kind_of_unit():
    """Sequences, ranks and micro-batches: the same losses as without, and positive numbers."""
    for name, ranks, batch, accumulation in (("sequences", 0, 4, 1), ("of_ranks", 2, 2, 1),
                                             ("micro", 0, 1, 8), ("micro_of_ranks", 2, 1, 2)):
        parts = {"data__batch_size": batch, "training__gradient_accumulation_steps": accumulation}
        on, off = run_of(name, ranks, **parts), run_of(name + "_off", ranks, **parts,
                                                       noise_scale__interval=0)
        equal(losses(on), losses(off), name + ": losses")
        check(not noise(off), name + ": a noise scale without an interval")
        values = noise(on)
        check(values and min(values) >= 2 and max(values) == STEPS, "%s: %s" % (name, values))
        check(all(value > 0 for value in values.values()), "%s: %s" % (name, values))


def shards_measure_the_same():
    parts = {"data__batch_size": 2}
    whole, shared = (run_of("whole", 2, **parts),
                     run_of("shared", 2, training__shard_optimizer=True, **parts))
    equal(noise(shared), noise(whole), "the noise scale of a sharded optimizer")


def goes_on_after_a_resume():
    whole = run_of("whole_run", data__batch_size=4)
    run_of("cut_run", steps=13, data__batch_size=4)
    cut = run_of("cut_run", again=True, data__batch_size=4)
    equal(noise(cut), noise(whole), "the noise scale after a resume")


def starts_anew_with_other_gradients():
    """Sequences are measured by the norm layers, micro-batches by all parameters: after a change
    the average is as if nothing was measured before."""
    after = []
    for name, interval in ("other_units", 2), ("other_units_off", 0):
        run_of(name, data__batch_size=2, noise_scale__interval=interval,
               training__gradient_accumulation_steps=2)
        values = noise(run_of(name, steps=STEPS + 20, again=True, data__batch_size=4,
                              training__gradient_accumulation_steps=1))
        after.append({step: value for step, value in values.items() if step > STEPS + 1})
    equal(after[0], after[1], "the noise scale")
    check(after[0], "none after the change")


def energy_of_the_packages():
    """A counter that only grows: the time since the start of the machine."""
    zone = os.path.join(WORK, "powercap", "intel-rapl:0")
    os.makedirs(zone)
    for name, text in ("name", "package-0"), ("max_energy_range_uj", "262143328850"):
        with open(os.path.join(zone, name), "w", encoding="ascii") as file:
            file.write(text + "\n")
    os.symlink("/proc/uptime", os.path.join(zone, "energy_uj"))
    here = {"HOURGLASS_POWERCAP": os.path.dirname(zone)}
    path, directory = config("metered", training__stop__steps=STEPS), run_directory("metered")
    train(path, **here)
    joules = [record["joules"] for record in metrics(directory)]
    check(joules == sorted(joules) and joules[-1] > joules[0] >= 0, joules)
    first = summary(directory)
    rate = first["tokens"] / first["joules"]
    check(abs(first["tok_per_joule"] / rate - 1) < 1e-6, "tokens a joule: %s" % first)
    train(config("metered", training__stop__steps=2 * STEPS), **here)
    check(summary(directory)["joules"] > first["joules"], "joules of both parts of a run")
    train(config("metered", training__stop__steps=3 * STEPS), HOURGLASS_POWERCAP=WORK)
    check("joules" not in summary(directory), "joules of a run that was not measured whole")


main(every_kind_of_unit, shards_measure_the_same, goes_on_after_a_resume,
     starts_anew_with_other_gradients, energy_of_the_packages)
