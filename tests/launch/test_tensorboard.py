#!/usr/bin/env python3
"""Event files of a run, read by TensorBoard's own reader from build/python."""

import glob
import os
import sys

from e2e import Skip, check, checkpoints, config, equal, main, metrics, run_directory, train

sys.path.insert(0, os.path.abspath("build/python"))
STEPS = {"training__stop__steps": 10, "evaluation__interval": 4, "logging__tensorboard": True}


def reader_of(directory):
    try:
        from tensorboard.backend.event_processing import event_accumulator
    except ImportError as missing:
        raise Skip("the package tensorboard is not in build/python: %s" % missing)
    reader = event_accumulator.EventAccumulator(
        directory, size_guidance={event_accumulator.SCALARS: 0, event_accumulator.TENSORS: 0})
    reader.Reload()
    return reader


def scalars_are_the_metrics(directory):
    """Each number of metrics.jsonl is a scalar, and there are no others."""
    reader = reader_of(directory)
    wanted = {}
    for record in metrics(directory):
        for key, value in record.items():
            if key != "step":
                wanted.setdefault(key, []).append((record["step"], value))
    tags = [tag for tag in reader.Tags()["scalars"] if reader.Scalars(tag)]
    equal(sorted(tags), sorted(wanted), "tags")
    for tag, points in wanted.items():
        got = [(event.step, event.value) for event in reader.Scalars(tag)]
        equal([step for step, _ in got], [step for step, _ in points], "steps of " + tag)
        for (_, value), (_, exact) in zip(got, points):
            check(abs(value - exact) <= 1e-6 * abs(exact), "%s: %r, not %r" % (tag, value, exact))
    return reader


def a_run():
    train(config("events", **STEPS))
    directory = run_directory("events")
    equal(len(glob.glob(directory + "/events.out.tfevents.*")), 1, "event files")
    reader = scalars_are_the_metrics(directory)
    text = reader.Tensors("config")[0].tensor_proto.string_val[0].decode()
    with open(directory + "/config.yaml", encoding="utf-8") as file:
        equal(text, "".join("    " + line for line in file), "the config")
    plugin = reader.SummaryMetadata("config").plugin_data.plugin_name
    equal(plugin, "text", "the plugin of the config")


def a_run_that_goes_back():
    """TensorBoard drops what a resumed run writes again."""
    path = config("events_back", **STEPS)
    train(path)
    directory = run_directory("events_back")
    train(path, "--resume=" + checkpoints(directory)[5], "training.stop.steps=9")
    equal(len(glob.glob(directory + "/events.out.tfevents.*")), 2, "event files")
    reader = scalars_are_the_metrics(directory)
    equal([event.step for event in reader.Scalars("train/loss")], list(range(1, 10)), "steps")


def no_events_unless_asked():
    train(config("no_events"))
    equal(glob.glob(run_directory("no_events") + "/events*"), [], "event files")


main(a_run, a_run_that_goes_back, no_events_unless_asked)
