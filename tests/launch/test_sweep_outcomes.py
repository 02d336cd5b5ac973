#!/usr/bin/env python3
"""./sweep: how the outcome of a point is determined, and how the study reacts."""

import concurrent.futures
import glob
import os
import re
import signal
import subprocess

from e2e import ENVIRONMENT, WORK, check, corpus, equal, main, run, run_directory
from injected import injected
from studies import (FAKES, MPIRUN, SHIFT, attempts, fake_program, fake_slurm, field, lines_of,
                     points, study, sweep)


def what_does_not_fit_is_oom_and_no_failure():
    path = study("oom", {"memory_budget": ["200KiB", "1MiB"]}, data__batch_size="auto")
    sweep(path, "--local")
    equal(field("oom", "state"), ["oom", "done"], "states")
    message = field("oom", "message")[0]
    check("below the smallest batch, which needs " in message, message)
    sweep(path, "--local")
    equal(field("oom", "attempts"), [1, 1], "attempts")
    done = sweep(study("none_fits", {"memory_budget": ["1KiB", "2KiB"]}, data__batch_size="auto"),
                 "--local", code=71)
    check("none of 2 points fits" in done.err and "needs" in done.err, repr(done))


def another_exit_code_does_not_hide_it():
    path = study("replaced", {"memory_budget": ["1KiB", "2KiB"]}, data__batch_size="auto",
                 launch__local__ranks=2)
    done = sweep(path, "--local", code=71, PATH=fake_program("mpirun", MPIRUN))
    check("none of 2 points fits" in done.err, repr(done))
    for point in points("replaced"):
        equal(attempts("replaced", point), ["start", "exit 1"], "attempts")


def its_words_alone_are_no_proof():
    """A file whose name says so is missing, which is a failure."""
    gone = os.path.join(WORK, "within memory_budget, below the smallest batch, out of memory.h5")
    done = sweep(study("words", {"data.val": [gone]}), "--local", code=1)
    check("1 of 1 points failed" in done.err and gone in done.err, repr(done))
    equal(field("words", "state"), ["failed"], "state")


def the_files_name_brings_no_newline_into_a_script():
    """A study without a name is called as its file is."""
    path = os.path.join(WORK, "a\n#SBATCH --uid=0\n.yaml")
    with open(study("unnamed", {"seed": [1]}),
              encoding="utf-8") as file, open(path, "w", encoding="utf-8") as copy:
        copy.write(file.read().replace('"name": "unnamed",', ""))
    done = run("sweep", path, "--slurm", "--dry-run")
    check(
        done.code == 78
        and "'name' must not contain the control character U+000A" in done.errors()[0],
        repr(done))
    equal(done.out, "", "what was printed")


def slurm_does_not_requeue_what_does_not_fit():
    for name, ranks in (("slurm_one", 1), ("slurm_two", 2)):
        slurm = fake_slurm(name)
        fake_program("mpirun", MPIRUN, slurm["FAKE"])
        sweep(study(name, {"memory_budget": ["1KiB", "2KiB"]}, data__batch_size="auto",
                    launch__slurm__ranks_per_node=ranks), "--slurm", **slurm)
        done = subprocess.run(["bash", run_directory(name) + "/slurm/points.sh"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60,
                              env=dict(ENVIRONMENT, SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="0",
                                       **slurm))
        equal(done.returncode, 71, "exit code: %r" % done.stderr)
        check(not os.path.exists(slurm["FAKE"] + "/scontrol.log"), "it was requeued")
        check("oom" in sweep(run_directory(name)).out, "the table")


def slurm_requeues_what_it_can_count():
    """Without attempts.log a task that fails would be requeued for ever."""
    slurm = fake_slurm("counted")
    path = study("counted", {"seed": [1]}, training__stop={"steps": 2})
    fake_program("train", "exit 1\n", slurm["FAKE"])
    fake_program("scontrol", "[ -e $FAKE/up ] || { touch $FAKE/up; exit 1; }\n" + FAKES["scontrol"],
                 slurm["FAKE"])  # does not answer the first time
    sweep(path, "--slurm", **slurm)
    script = run_directory("counted") + "/slurm/points.sh"
    with open(script, encoding="utf-8") as file:
        text = re.sub(r"(?m)^\S*/train ", slurm["FAKE"] + "/train ", file.read())

    def task():
        done = subprocess.run(["bash", "-c", text], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=60, text=True,
                              env=dict(ENVIRONMENT, SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="0",
                                       **slurm))
        requeued = slurm["FAKE"] + "/scontrol.log"
        return done.returncode, len(lines_of(requeued)) if os.path.exists(requeued) else 0, done

    equal(task()[:2], (1, 1), "a first failure is requeued")
    log = run_directory("counted") + "/seed-1/attempts.log"
    with open(log, "a", encoding="utf-8") as file:
        file.write("exit 1 T\n" * 3)
    equal(task()[:2], (1, 1), "failures of this stage")
    with open(log, "a", encoding="utf-8") as file:
        file.write("exit 0 T\n")
    equal(task()[:2], (1, 2), "failures of the stage before")
    fake_program("cat", "case $1 in *attempts.log) echo \"$1: Input/output error\" >&2; exit 1;; "
                 "esac\nexec /bin/cat \"$@\"\n", slurm["FAKE"])
    code, count, done = task()
    check("attempts.log: Input/output error" in done.stderr, repr(done))
    equal((code, count), (1, 2), "requeued without the log: %r" % done)
    os.remove(log)
    os.mkdir(log)
    code, count, done = task()
    check("attempts.log: Is a directory" in done.stderr, repr(done))
    equal((code, count), (1, 2), "an attempt that cannot be noted: %r" % done)


def living(group):
    """Whether a process group has processes that are no zombies."""
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                state, _, its_group = file.read().rsplit(")", 1)[1].split()[:3]
        except OSError:
            continue
        if its_group == group and state != "Z":
            return True
    return False


def hanging(name, mpirun, code, **changes):
    """A study under an mpirun that outlives its rank, ignores SIGTERM and has a child process."""
    path = fake_program(
        "mpirun",
        SHIFT + mpirun + "echo $$ >'%s/%s.pid'; trap '' TERM; sleep 1000\n" % (WORK, name),
        os.path.join(WORK, "hanging_" + name))
    config = study(name, {"seed": [1]}, launch__local__ranks=2, launch__retries=0, **changes)
    done = run("sweep", config, "--local", PATH=path)
    equal(done.code, code, repr(done))
    said = [line for line in done.err.splitlines() if "did not end within" in line]
    check(len(said) == 1 and said[0].startswith("sweep: seed-1: "), "not one line: %r" % done)
    check(not living(lines_of(WORK, name + ".pid")[0]), "what it started is left running")


def a_launcher_that_does_not_end_is_ended():
    """What the run's files say counts: it is done in one case, and has failed in the other."""
    corpus()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        well = pool.submit(hanging, "hangs_well", '"$@"; ', 0)
        dead = pool.submit(hanging, "hangs_dead", '"$@" & sleep 2; kill -KILL $!; ', 1,
                           training__stop__steps=1000000)
        well.result(), dead.result()
    for name, state, code in (("hangs_well", "done", 0), ("hangs_dead", "failed", 1)):
        equal((field(name, "state"), attempts(name, "seed-1")),
              ([state], ["start", "exit %d" % code]), name)


def a_damaged_sweep_json_is_kept_and_nothing_runs_twice():
    slurm, path, directory = fake_slurm("damaged"), study("damaged", {"seed": [1, 2]
                                                                      }), run_directory("damaged")
    sweep(path, "--slurm", **slurm)
    with open(slurm["FAKE"] + "/queue", "w", encoding="utf-8") as file:
        file.write("101_[0-1%4]\n102\n")
    with open(directory + "/sweep.json", encoding="utf-8") as file:
        whole = file.read()
    for number, damaged in enumerate(
        (whole[:len(whole) // 2], "", "{}", whole.replace('"101"', '"rm -r"')), 1):
        with open(directory + "/sweep.json", "w", encoding="utf-8") as file:
            file.write(damaged)
        done = run("sweep", path, "--slurm", **slurm)
        aside = "%s/sweep.json.aside-%d" % (directory, number)
        check(
            done.code == 1 and
            "jobs of this study are queued or running; run scancel 101,102" in done.err, repr(done))
        check(
            re.search(
                "sweep: warning: %s/sweep.json.*; renamed to %s and written again" %
                (directory, aside),
                done.err), repr(done))
        with open(aside, encoding="utf-8") as file:
            equal(file.read(), damaged, "what was kept")
        sweep(path, "--slurm", code=1, **slurm)  # by the new one
    os.remove(directory + "/sweep.json")
    sweep(path, "--slurm", code=1, **slurm)
    equal(len(lines_of(slurm["FAKE"], "sbatch.log")), 2, "submissions")
    os.remove(directory + "/slurm/jobs.log")
    with open(directory + "/sweep.json", "w", encoding="utf-8") as file:
        file.write(whole[:40])
    for how in ("--slurm", "--local", "--report"):
        check("may be queued; see squeue --me" in sweep(path, how, code=65, **slurm).err,
              "unknown jobs, " + how)
    equal(len(lines_of(slurm["FAKE"], "sbatch.log")), 2, "submissions")


def refused_again(path, slurm, jobs):
    """Another submission while these jobs are queued."""
    with open(slurm["FAKE"] + "/queue", "w", encoding="utf-8") as file:
        file.write(jobs.replace(",", "\n"))
    submitted = lines_of(slurm["FAKE"], "sbatch.log")
    done = sweep(path, "--slurm", code=1, **slurm)
    check("queued or running; run scancel %s, or wait" % jobs in done.err, repr(done))
    equal(lines_of(slurm["FAKE"], "sbatch.log"), submitted, "submissions")


def a_signal_waits_until_the_jobs_are_recorded():
    """While sbatch queues the array; the sweep then ends by the signal."""
    slurm, path = fake_slurm("hasty"), study("hasty", {"seed": [1, 2]})
    fake_program("sbatch", 'kill -INT $PPID; ' + FAKES["sbatch"], slurm["FAKE"])
    done = run("sweep", path, "--slurm", **slurm)
    check(done.code == -signal.SIGINT and "submitted job array 101 " in done.out, repr(done))
    refused_again(path, slurm, "101,102")


def what_is_queued_but_not_recorded_is_named():
    """A log or sweep.json that cannot be written after the array is queued."""
    tune = {"optimizer.lr": {"from": 3e-4, "to": 1.2e-2, "points": 4}, "share": "25%"}
    for name, fault in (("points_log", "open:slurm/points.log:2:28"),
                        ("jobs_log", "write:slurm/jobs.log:1:28"),
                        ("sweep_json", "rename:/sweep.json:2:28")):
        slurm, path = fake_slurm(name), study(name, {"tune": tune, "seed": [1]},
                                              training__stop__steps=1000)
        done = sweep(path, "--slurm", code=1, **slurm, **injected(fault))
        check("No space left on device" in done.err and
              "job 101 is queued: run scancel 101, or wait" in done.err, repr(done))
        if name != "jobs_log":
            refused_again(path, slurm, "101")


if __name__ == "__main__":
    main(what_does_not_fit_is_oom_and_no_failure, another_exit_code_does_not_hide_it,
         its_words_alone_are_no_proof, a_launcher_that_does_not_end_is_ended,
         the_files_name_brings_no_newline_into_a_script, slurm_does_not_requeue_what_does_not_fit,
         slurm_requeues_what_it_can_count,
         a_damaged_sweep_json_is_kept_and_nothing_runs_twice,
         a_signal_waits_until_the_jobs_are_recorded, what_is_queued_but_not_recorded_is_named)
