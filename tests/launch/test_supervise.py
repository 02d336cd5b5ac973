#!/usr/bin/env python3
"""./supervise: a run goes on after a kill; what would come again ends it; the first cause is named.

sanitizers: no
"""

import errno
import json
import os
import shutil
import signal
import tempfile
import time

from e2e import (ENVIRONMENT, PROGRAMS, WORK, Job, Skip, check, checkpoints, config, equal,
                 rank_of, run, run_directory, start, states, train, write)
from e2e import main
from injected import injected


def incidents(name):
    path = run_directory(name) + "/incidents.jsonl"
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def a_killed_run_goes_on():
    steps = {"training__stop": {"steps": 200}, "checkpoint__interval": "5 steps"}
    job = start(["supervise", config("killed", **steps), "--ranks=2"])
    job.wait_for(r"(?m)^step 20/")
    os.kill(rank_of(job), signal.SIGKILL)
    done = job.end()
    equal(done.code, 0, repr(done))
    check("supervise: attempt 1 failed after" in done.err, repr(done))
    equal([(i["attempt"], i["ranks"], i["failures"]) for i in incidents("killed")], [(1, 2, 1)])
    train(config("alone", **steps), ranks=2)
    last = [states([checkpoints(run_directory(name))[-1]]) for name in ("killed", "alone")]
    equal(last[0], last[1], "the last state")


def what_would_come_again_ends_it():
    done = run("supervise", config("no_data", data__train=WORK + "/none.h5"), "--ranks=2")
    equal(done.code, 65, repr(done))
    equal((len(done.errors()), incidents("no_data")), (1, []), repr(done))
    done = run("supervise", config("wrong", model__n_head=3))
    equal(done.code, 78, repr(done))


def fake(program, script, path=ENVIRONMENT["PATH"]):
    """PATH with a program that runs the script, and a file with a line for each of its starts."""
    folder, count = tempfile.mkdtemp(dir=WORK), tempfile.mktemp(dir=WORK)
    write(folder + "/" + program, "#!/bin/sh\necho >> %s\ncount=$(wc -l < %s)\n%s\nexit 1\n" %
          (count, count, script))
    os.chmod(folder + "/" + program, 0o755)
    return folder + ":" + path, count


def fake_mpirun(script):
    return fake("mpirun", script)


def failing(name):
    """A run that has a directory and never starts."""
    path = config(name)
    os.makedirs(run_directory(name))
    return path


def the_first_cause_is_named_after_all_tries():
    path, count = fake_mpirun('echo "train: error: cause $count" >&2')
    done = run("supervise", config("endless"), "--ranks=2", "--tries=3", PATH=path)
    equal(done.code, 1, repr(done))
    check("gave up after 3 failures without a new checkpoint; the first: cause 1;" in done.err,
          repr(done))
    check("attempt 2 failed" in done.err and "starts again in 2 s from the beginning" in done.err,
          repr(done))
    equal(os.path.getsize(count), 3, "attempts")


def a_notice_of_mpirun_is_a_cause():
    rule = "-" * 74
    for text, cause in (("note\n%s\nNo host\nis free:\n\n  node1\n%s\nlast\n" % (rule, rule),
                         "No host is free:"), ("%s\nNo host.\n%s\n" % (rule, rule), "No host."),
                        ("%s\n\n" % rule, rule), ("one\ntwo\n\n", "two"), ("", "no message")):
        path, _ = fake_mpirun("cat >&2 <<'END'\n%sEND" % text)
        done = run("supervise", config("notice"), "--ranks=2", "--tries=1", PATH=path)
        check("; the first: %s; see" % cause in done.err, "%r: %r" % (text, done))


def a_host_may_stand_on_a_line_for_each_slot():
    path = os.path.join(WORK, "hosts")
    for text in ("localhost\nlocalhost # again\n", "localhost slots=1\n%s\n" % os.uname().nodename,
                 "127.0.0.1\n::1\n"):
        write(path, text)
        done = run("supervise", config("lines", output=tempfile.mkdtemp(dir=WORK)),
                   "--hostfile=" + path, "--ranks=2", "--tries=1")
        check(done.code == 0 and "2 ranks" in done.out, repr(done))


def a_host_that_does_not_answer_is_named_with_its_reason():
    """Alone it ends the supervisor at once; beside others it is left out."""
    agent, path = os.path.join(WORK, "agent"), os.path.join(WORK, "lost_hosts")
    write(agent, "#!/bin/sh\necho Welcome >&2\necho agent: no name $1 >&2\nexit 255\n")
    os.chmod(agent, 0o755)
    write(path, "elsewhere\n")
    done = run("supervise", config("lost"), "--hostfile=" + path, OMPI_MCA_plm_rsh_agent=agent)
    check(done.code == 1 and len(done.errors()) == 1 and "attempt" not in done.err, repr(done))
    check("no host of %s answers; elsewhere: agent: no name elsewhere;" % path in done.err,
          repr(done))
    write(path, "localhost\nelsewhere\n")
    done = run("supervise", config("partly"), "--hostfile=" + path, OMPI_MCA_plm_rsh_agent=agent)
    check(done.code == 0 and "elsewhere is left out: agent: no name elsewhere" in done.err,
          repr(done))
    done = run("supervise", config("mute"), "--hostfile=" + path, OMPI_MCA_plm_rsh_agent="false")
    check(done.code == 0 and "elsewhere is left out: exit code 1" in done.err, repr(done))


def bad_hostfiles_are_named():
    path = os.path.join(WORK, "bad_hosts")
    for line, message in (("a slots=2x", "'slots=2x' needs a number from 1 to 1000000"),
                          ("a slots=0", "'slots=0' needs"), ("a slots=1e30", "'slots=1e30' needs"),
                          ("a cores=2", "'cores=2' is none of NAME"), ("# a", "names no host")):
        write(path, "localhost\n" + line + "\n" if "=" in line else line)
        done = run("supervise", config("bad_hosts"), "--hostfile=" + path)
        check(done.code == 78 and message in done.err and len(done.errors()) == 1, repr(done))


def more_ranks_than_a_host_can_hold_are_refused():
    """No mpirun starts: it would start processes without end."""
    mpirun, count = fake_mpirun("exit 0")
    most, path = 64 * os.cpu_count(), os.path.join(WORK, "many_slots")

    def refuses(way_out, *words):
        done = run(*words, PATH=mpirun)
        check(done.code == 78 and len(done.errors()) == 1 and not os.path.exists(count),
              repr(done))
        check("at most %d, 64 per core; %s" % (most, way_out) in done.err, repr(done))
    many = config("many")
    refuses("lower --ranks, or name more hosts by --hostfile", "supervise", many, "--ranks=100000")
    write(path, "localhost slots=%d\nelsewhere slots=8\n" % (most + 1))
    refuses("lower its slots in the hostfile", "supervise", many, "--ranks=100000",
            "--hostfile=" + path)
    study = config("many_points", sweep={"seed": [1, 2]})
    refuses("lower --ranks or launch.local.ranks", "sweep", study, "--local", "--ranks=100000")
    done = run("supervise", many, "--ranks=%d" % most, "--tries=1", PATH=mpirun)
    check(done.code == 0 and os.path.exists(count), repr(done))


def what_cannot_be_written_ends_it():
    """Before the first start, and after one. root may write everywhere, so the run is another
    user's."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        raise Skip("root may write everywhere, and there is no setpriv")
    path = config("unwritable", training__stop={"steps": 1000000}, checkpoint__keep=2)
    directory, programs = run_directory("unwritable"), tempfile.mkdtemp(dir=WORK)
    os.makedirs(directory)
    drop = []
    if os.geteuid() == 0:
        os.chown(directory, 65534, 65534)
        drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    for folder in (WORK, programs):
        os.chmod(folder, 0o755)
    for program in ("supervise", "train"):
        shutil.copy(os.path.join(PROGRAMS, program), programs)

    def begin():
        return Job([*drop, programs + "/supervise", path], ENVIRONMENT)

    def refused(done, entry):
        check(done.code == 1 and "starts again" not in done.err, repr(done))
        check("supervise: error: %s: cannot be written: Permission denied; change" % entry
              in done.err, repr(done))
    os.chmod(directory, 0o555)
    done = begin().end()
    refused(done, directory)
    equal(len(done.errors()), 1, repr(done))
    os.chmod(directory, 0o755)
    job = begin()
    job.wait_for(r"(?m)^step 5/")
    os.chmod(directory + "/checkpoints", 0o555)
    refused(job.end(), directory + "/checkpoints")
    os.chmod(directory + "/checkpoints", 0o755)
    shutil.rmtree(directory)
    os.chmod(os.path.dirname(directory), 0o555)
    refused(begin().end(), os.path.dirname(directory))
    os.chmod(os.path.dirname(directory), 0o755)


def a_directory_in_use_is_left_alone():
    """Also if its run makes new checkpoints, which are no progress of the supervisor's."""
    path = config("used", training__stop={"steps": 1000000}, checkpoint__interval="5 steps",
                  checkpoint__keep=2)
    other = start(["train", path])
    try:
        other.wait_for(r"(?m)^step 20/")
        done = run("supervise", path, "--ranks=2")
        check(done.code == 1 and len(done.errors()) == 1 and "attempt" not in done.err, repr(done))
        check("another run is using this directory: process %d" % other.process.pid in done.err,
              repr(done))
    finally:
        other.send(signal.SIGKILL)
        other.end()


def checkpoints_of_another_run_are_no_progress():
    """It starts while this one's first attempt fails."""
    path = config("taken", training__stop={"steps": 1000000}, checkpoint__interval="5 steps",
                  checkpoint__keep=2)
    mpirun, count = fake_mpirun("sleep 1; echo 'train: error: cause' >&2")
    job = start(["supervise", path, "--ranks=2", "--tries=3"], PATH=mpirun)
    job.wait_until(lambda: os.path.exists(count), "no attempt")
    other = start(["train", path])
    try:
        done = job.end(60)
        check(done.code == 1 and "gave up after 3 failures" in done.err, repr(done))
    finally:
        other.send(signal.SIGKILL)
        other.end()


def a_request_to_stop_is_passed_on():
    job = start(["supervise", config("asked", training__stop={"steps": 1000000}), "--ranks=2"])
    job.wait_for(r"(?m)^step 20/")
    job.send(signal.SIGTERM)
    done = job.end()
    equal(done.code, 75, repr(done))
    equal(incidents("asked"), [], "incidents")


def a_request_to_stop_in_the_pause_is_one():
    mpirun, _ = fake_mpirun("echo 'train: error: cause' >&2")
    for signal_, name in ((signal.SIGTERM, "Terminated"), (signal.SIGINT, "Interrupt")):
        job = start(["supervise", config("pause"), "--ranks=2"], PATH=mpirun)
        job.wait_until(lambda: "starts again in 4 s" in job.read(job.err))
        job.send(signal_)
        done = job.end(3)
        check(done.code == 75 and "stopped by %s before attempt 4;" % name in done.err, repr(done))


FAILS = "echo 'train: error: cause' >&2"


def a_request_to_stop_while_no_host_answers_is_one():
    agent, hosts, gone = (os.path.join(WORK, name) for name in ("slow_agent", "gone_hosts", "gone"))
    write(agent, "#!/bin/sh\n[ ! -e %s ] || { touch %s.2; sleep 2; exit 255; }\n" % (gone, gone))
    os.chmod(agent, 0o755)
    write(hosts, "elsewhere slots=2\n")
    mpirun, _ = fake_mpirun("touch %s; %s" % (gone, FAILS))
    job = start(["supervise", failing("probed"), "--ranks=2", "--hostfile=" + hosts], PATH=mpirun,
                OMPI_MCA_plm_rsh_agent=agent)
    job.wait_until(lambda: os.path.exists(gone + ".2"), "no probe")
    job.send(signal.SIGTERM)
    done = job.end(10)
    check(done.code == 75 and "stopped by Terminated before attempt 2;" in done.err, repr(done))


def what_passes_is_a_failed_attempt():
    """A process or a file that the system does not give once."""
    for fault, words in (("fork:supervise:2:%d" % errno.EAGAIN, "mpirun: cannot be started: Res"),
                         ("mkstemp:hourglass-stderr:2:%d" % errno.ENOSPC, "cannot be created: No")):
        mpirun, count = fake_mpirun(FAILS)
        name = "passes_" + fault[:4]
        done = run("supervise", failing(name), "--ranks=2", "--tries=3", PATH=mpirun,
                   **injected(fault))
        check(done.code == 1 and "gave up after 3 failures" in done.err, repr(done))
        equal(os.path.getsize(count), 2, "starts: %r" % done)
        check(words in incidents(name)[1]["cause"], repr(incidents(name)))


def a_probe_that_cannot_start_is_a_failed_attempt():
    agent, hosts = os.path.join(WORK, "probe_agent"), os.path.join(WORK, "probed_hosts")
    write(agent, "#!/bin/sh\nexit 0\n")
    os.chmod(agent, 0o755)
    write(hosts, "one\ntwo\n")
    mpirun, count = fake_mpirun(FAILS)
    done = run("supervise", failing("unprobed"), "--ranks=2", "--tries=2", "--hostfile=" + hosts,
               PATH=mpirun, OMPI_MCA_plm_rsh_agent=agent,
               **injected("fork:supervise:2:%d" % errno.EAGAIN))
    check(done.code == 1 and "gave up after 2 failures" in done.err, repr(done))
    check("cannot be started: Res" in incidents("unprobed")[0]["cause"], repr(done))
    equal(os.path.getsize(count), 1, "starts")


def the_next_one_removes_the_errors_of_a_killed_one():
    mpirun, count = fake_mpirun("[ $count -gt 1 ] || exec sleep 60")
    path = failing("killed_hard")
    job = start(["supervise", path, "--ranks=2", "--tries=1"], PATH=mpirun)
    job.wait_until(lambda: os.path.exists(count), "no attempt")
    folder = "/proc/%d/fd/" % job.process.pid
    links = [os.readlink(folder + number) for number in os.listdir(folder)]
    left = next(link for link in links if "hourglass-stderr-" in link)
    job.send(signal.SIGKILL)
    job.end()
    check(os.path.exists(left), "nothing is left")
    os.utime(left, (1, 1))
    for _ in range(50):  # the killed one's mpirun may still be ending
        run("supervise", path, "--ranks=2", "--tries=1", PATH=mpirun)
        if not os.path.exists(left):
            return
        time.sleep(0.2)
    raise AssertionError("%s is still there" % left)


def a_table_that_takes_no_line_costs_that_line():
    mpirun, count = fake_mpirun(FAILS)
    path = failing("untold")
    os.mkdir(run_directory("untold") + "/incidents.jsonl")
    done = run("supervise", path, "--ranks=2", "--tries=2", PATH=mpirun)
    check(done.code == 1 and "gave up after 2 failures" in done.err, repr(done))
    equal(done.err.count("goes on without this line"), 1, repr(done))
    equal(os.path.getsize(count), 2, "starts")


def a_long_line_is_told():
    agent, hosts = os.path.join(WORK, "any_agent"), os.path.join(WORK, "many_hosts")
    names = ["compute-node-with-a-long-name-%03d" % i for i in range(200)]
    write(agent, "#!/bin/sh\nexit 0\n")
    os.chmod(agent, 0o755)
    write(hosts, "\n".join(names))
    mpirun, _ = fake_mpirun(FAILS)
    done = run("supervise", failing("long"), "--ranks=100", "--tries=2", "--hostfile=" + hosts,
               PATH=mpirun, OMPI_MCA_plm_rsh_agent=agent)
    check("gave up after 2 failures" in done.err, repr(done))
    equal([i["hosts"] for i in incidents("long")], [names, names])


def of_slurm(path, mpirun, scontrol, **more):
    """One start in a job, and how often it asked for a requeue."""
    both, asked = fake("scontrol", scontrol, mpirun)
    done = run("supervise", path, "--ranks=2", "--tries=3", PATH=both, SLURM_JOB_ID="77", **more)
    return done, os.path.getsize(asked) if os.path.exists(asked) else 0


def slurm_is_asked_again_and_else_it_goes_on_in_the_job():
    silent = "echo 'slurm_requeue error: Unable to contact slurm controller' >&2"
    mpirun, _ = fake_mpirun(FAILS)
    done, asked = of_slurm(failing("silent"), mpirun, "[ $count -eq 1 ] || exit 0\n" + silent)
    equal((done.code, asked, done.err.count("requeued and goes on")), (1, 2, 1), repr(done))
    mpirun, count = fake_mpirun(FAILS)
    done, asked = of_slurm(failing("refused"), mpirun, "echo 'presently disabled' >&2")
    equal((done.code, asked, os.path.getsize(count)), (1, 2, 3), repr(done))
    check("requeued" not in done.err and "presently disabled; goes on in this job" in done.err and
          "gave up after 3 failures" in done.err, repr(done))


def failures_before_there_is_a_run_are_counted_in_the_job():
    """No table could tell the next job of them, which would be requeued for ever."""
    path, (mpirun, count) = config("no_directory"), fake_mpirun("echo 'no daemon' >&2")
    done, asked = of_slurm(path, mpirun, "exit 0")
    equal((done.code, asked, os.path.getsize(count)), (1, 0, 3), repr(done))
    check("gave up after 3 failures" in done.err and "no daemon" in done.err, repr(done))


def a_run_that_diverges_again_ends():
    path = config("diverges", optimizer={"lr": 1000, "grad_clip": 0, "weight_decay": 10},
                  lr_scheduler={"warmup": 1, "min_lr": 1000}, training__stop__steps=50,
                  checkpoint__interval=0)
    done = run("supervise", path, "--tries=5")
    check(done.code == 1 and "gave up: the run diverged again in the same step: step " in done.err,
          repr(done))
    equal(len(incidents("diverges")), 2, "failures")


def a_damaged_line_resets_no_count():
    """Zero bytes are what a power cut leaves."""
    path, (mpirun, _) = failing("cut"), fake_mpirun(FAILS)
    of_slurm(path, mpirun, "exit 0")
    with open(run_directory("cut") + "/incidents.jsonl", "ab") as file:
        file.write(bytes(40) + b"\n")
    of_slurm(path, mpirun, "exit 0", SLURM_RESTART_COUNT="1")
    done, asked = of_slurm(path, mpirun, "exit 0", SLURM_RESTART_COUNT="2")
    check(asked == 0 and "gave up after 3 failures" in done.err, repr(done))


if __name__ == "__main__":
    main(a_killed_run_goes_on, what_would_come_again_ends_it,
         the_first_cause_is_named_after_all_tries, a_notice_of_mpirun_is_a_cause,
         a_host_may_stand_on_a_line_for_each_slot,
         a_host_that_does_not_answer_is_named_with_its_reason, bad_hostfiles_are_named,
         more_ranks_than_a_host_can_hold_are_refused, what_cannot_be_written_ends_it,
         a_directory_in_use_is_left_alone, checkpoints_of_another_run_are_no_progress,
         a_request_to_stop_is_passed_on, a_request_to_stop_in_the_pause_is_one,
         a_request_to_stop_while_no_host_answers_is_one, what_passes_is_a_failed_attempt,
         a_probe_that_cannot_start_is_a_failed_attempt,
         the_next_one_removes_the_errors_of_a_killed_one,
         a_table_that_takes_no_line_costs_that_line, a_long_line_is_told,
         slurm_is_asked_again_and_else_it_goes_on_in_the_job,
         failures_before_there_is_a_run_are_counted_in_the_job, a_run_that_diverges_again_ends,
         a_damaged_line_resets_no_count)
