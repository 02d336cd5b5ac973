#!/usr/bin/env python3
"""The effect of signals on a run: during start-up, in a long step or evaluation, once and twice,
alone and under mpirun. sanitizers: no"""

import os
import re
import shutil
import signal
import subprocess
import time

from e2e import (ENVIRONMENT, LIMIT, PROGRAMS, WORK, Job, check, checkpoints, config, corpus, equal,
                 losses, main, metrics, no_duplicates, run_directory, start, states, summary, train)

ENDLESS = {"training__stop__steps": 10**8, "checkpoint__interval": 0, "logging__interval": 1000}


def ask(job, number, within=10):
    """Sends the signal; returns the exit status of the program."""
    job.send(number)
    return job.end(within)


def cut_during(name, path, step, number):
    """Cuts a run in the middle of what follows this step and is long; it is left undone."""
    job = start(["train", path])
    job.wait_for("(?m)^step %d/" % step)
    done = ask(job, number)
    equal(done.code, 75, repr(done))
    equal(steps_of(run_directory(name)), [step], repr(done))
    return done


def steps_of(directory):
    return [int(os.path.basename(path)[5:-3]) for path in checkpoints(directory)]


def alone_each_signal_saves():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        name = "alone_%d" % number
        path, directory = config(name, **ENDLESS), run_directory(name)
        job = start(["train", path])
        job.wait_for("started in")
        done = ask(job, number)
        equal((done.code, len(done.errors())), (75, 1), repr(done))
        end = summary(directory)
        equal((end["status"], steps_of(directory)), ("stopped", [end["steps"]]), "what was saved")
        check("at step %d with a checkpoint" % end["steps"] in done.errors()[0], repr(done))
        train(path, "training.stop.steps=%d" % (end["steps"] + 1))


def what_nohup_ignores_stays_ignored():
    path = config("nohup", training__stop__steps=1000, checkpoint__interval=0)
    process = subprocess.Popen(["nohup", PROGRAMS + "/train", path], env=ENVIRONMENT,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    shown = process.communicate(timeout=LIMIT)[0]
    equal(process.returncode, 0, "exit code")
    check("\ndone: 1000 steps" in shown, shown[-500:])


def what_a_parent_blocks_arrives():
    for number in (signal.SIGTERM, signal.SIGUSR1):
        path = config("blocked_%d" % number, **ENDLESS)
        job = Job(["env", "--block-signal=TERM,USR1", PROGRAMS + "/train", path], ENVIRONMENT)
        job.wait_for("started in")
        equal(ask(job, number).code, 75, "exit code")


def children_of_a_parent_that_ignores_theirs_end():
    """An ignored SIGCHLD is inherited; the exit code of a child is then unknown."""
    steps = {"training__stop__steps": 5}
    for words in (["supervise", config("ignored", **steps)],
                  ["supervise", config("ignored_2", **steps), "--ranks=2"],
                  ["sweep", config("ignored_3", sweep={"seed": [1]}, **steps), "--local"]):
        words[0] = os.path.join(PROGRAMS, words[0])
        done = Job(["env", "--ignore-signal=CHLD", *words], ENVIRONMENT).end(30)
        equal(done.code, 0, repr(done))


def a_second_ctrl_c_kills():
    """Its console is a full pipe without a reader."""
    path = config("second", **dict(ENDLESS, logging__interval=1))
    process = subprocess.Popen([PROGRAMS + "/train", path], env=ENVIRONMENT, stdout=subprocess.PIPE)
    before, log = -1, run_directory("second") + "/train.log"
    while not os.path.exists(log) or os.path.getsize(log) != before or before == 0:
        before = os.path.getsize(log) if os.path.exists(log) else -1
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    check(process.poll() is None, "the first one waits for the step")
    process.send_signal(signal.SIGINT)
    equal(process.wait(10), -signal.SIGINT, "exit")
    process.stdout.close()


def two_ranks_save_what_fits_before_the_launcher_kills():
    for number in (signal.SIGTERM, signal.SIGINT):
        name = "ranks_%d" % number
        path, directory = config(name, **ENDLESS), run_directory(name)
        job = start(["train", path], ranks=2)
        job.wait_for("started in")
        done = ask(
            job,
            number)  # its stderr is ignored: Open MPI 5's mpirun no longer forwards it by then
        equal(summary(directory)["status"], "stopped", repr(done))
        equal(steps_of(directory), [summary(directory)["steps"]], "what was saved")


def a_signal_to_one_rank_saves_for_all():
    path, directory = config("one_of_two", **ENDLESS), run_directory("one_of_two")
    job = start(["train", path], ranks=2)
    last = job.ranks(2)[1]
    job.wait_for("started in")
    os.kill(last, signal.SIGUSR1)
    equal(job.end(10).code, 75, "exit code")
    equal(steps_of(directory), [summary(directory)["steps"]], "what was saved")


def a_long_evaluation_is_cut_and_made_up_for():
    names = ("cut", "whole")
    paths = [
        config(name, evaluation__interval=5, evaluation__tokens="all",
               data__val=corpus() + "/train.h5", model__n_embd=192, checkpoint__interval=0,
               checkpoint__best=False) for name in names
    ]
    train(paths[1])
    done = cut_during("cut", paths[0], 5, signal.SIGTERM)
    check("validation" not in done.out, "the evaluation was over too soon for this test: %r" % done)
    train(paths[0])
    no_duplicates(run_directory("cut"))
    records = [[(m["step"], m.get("train/loss"), m.get("val/loss"))
                for m in metrics(run_directory(n))] for n in names]
    equal(records[0], records[1], "what was logged")
    last = [states(checkpoints(run_directory(name))[-1:]) for name in names]
    equal(last[0], last[1], "the last state")


def a_long_step_is_left_undone():
    changes = {
        "training__gradient_accumulation_steps": 1000, "training__stop__steps": 3,
        "checkpoint__interval": 0
    }
    paths = [config(name, **changes) for name in ("step", "steps")]
    train(paths[1])
    cut_during("step", paths[0], 1, signal.SIGINT)
    train(paths[0])
    equal(losses(run_directory("step")), losses(run_directory("steps")), "losses")


def slow_config(name):
    """A config of many large files, which takes a while to read."""
    parts = []
    for i in range(60):
        parts.append(os.path.join(WORK, "%s_%d.yaml" % (name, i)))
        with open(parts[-1], "w", encoding="utf-8") as file:
            file.writelines("x-key-%d-%d: %d\n" % (i, j, j) for j in range(4900))
    path = config(name)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"extends": [%s],%s' % (", ".join('"%s"' % part
                                                      for part in parts), text.lstrip()[1:]))
    return path


def wait_until_heard(process, number):
    """Until the shell has become ./train and the signal is no longer ignored."""
    start = time.monotonic()
    while time.monotonic() - start < LIMIT and process.poll() is None:
        with open("/proc/%d/status" % process.pid, encoding="utf-8") as file:
            status = file.read()
        ignored = int(re.search(r"SigIgn:\s*(\w+)", status).group(1), 16)
        if status.startswith("Name:\ttrain") and not ignored >> (number - 1) & 1:
            return
        time.sleep(0.001)


def signalled_start(path, arguments, number, delay):
    """The exit code of a start that gets a signal, and the seconds until then."""
    process = subprocess.Popen([
        "bash", "-c", "trap '' INT; exec \"$@\"", "-", PROGRAMS + "/train", path, *arguments
    ], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    wait_until_heard(process, number)
    time.sleep(delay)
    process.send_signal(number)
    begin = time.monotonic()
    return process.wait(LIMIT), time.monotonic() - begin


def a_start_is_ended_at_once_and_leaves_nothing():
    """Also if it ignores SIGINT because a script started it in the background."""
    path = slow_config("slow")
    begin = time.monotonic()
    train(path, "--print-config")
    whole = time.monotonic() - begin
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        for arguments in (["--print-config"], []):
            for i in range(5):  # a start may end earlier than the first, on a busier machine, did
                delay = min(whole / 4, 0.1) / 4**i
                code, seconds = signalled_start(path, arguments, number, delay)
                if code not in (0, 75):  # 75: it was training
                    break
                shutil.rmtree(run_directory("slow"), ignore_errors=True)
            equal(code, -number, "exit")
            check(seconds < whole / 2, "it ended after %.2f of %.2f s" % (seconds, whole))
            check(not os.path.exists(run_directory("slow")), "a directory was left behind")


def starts_cut_at_any_time_leave_what_the_next_one_takes():
    path, directory = config("any", training__stop__steps=4), run_directory("any")
    for i in range(40):
        process = subprocess.Popen([PROGRAMS + "/train", path], env=ENVIRONMENT,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.002 * i)
        process.send_signal(signal.SIGTERM if i % 2 else signal.SIGINT)
        check(
            process.wait(10) in (0, 75, -signal.SIGTERM, -signal.SIGINT),
            "exit %d" % process.returncode)
    train(path)
    equal(summary(directory)["status"], "done", "status")
    equal(sorted(losses(directory)), [1, 2, 3, 4], "logged steps")


if __name__ == "__main__":
    main(alone_each_signal_saves, what_nohup_ignores_stays_ignored, what_a_parent_blocks_arrives,
         children_of_a_parent_that_ignores_theirs_end, a_second_ctrl_c_kills,
         two_ranks_save_what_fits_before_the_launcher_kills, a_signal_to_one_rank_saves_for_all,
         a_long_evaluation_is_cut_and_made_up_for,
         a_long_step_is_left_undone, a_start_is_ended_at_once_and_leaves_nothing,
         starts_cut_at_any_time_leave_what_the_next_one_takes)
