#!/usr/bin/env python3
"""./supervise: a run goes on after a kill; what would come again ends it; the first cause is named.

sanitizers: no
"""

import json
import os
import signal

from e2e import (ENVIRONMENT, WORK, check, checkpoints, config, equal, rank_of, run,
                 run_directory, start, states, train)
from e2e import main


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


def the_first_cause_is_named_after_all_tries():
    folder, count = os.path.join(WORK, "bin"), os.path.join(WORK, "count")
    os.mkdir(folder)
    with open(folder + "/mpirun", "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\necho >> %s\n"
                   "echo \"train: error: cause $(wc -l < %s)\" >&2\nexit 1\n" % (count, count))
    os.chmod(folder + "/mpirun", 0o755)
    done = run("supervise", config("endless"), "--ranks=2", "--tries=3",
               PATH=folder + ":" + ENVIRONMENT["PATH"])
    equal(done.code, 1, repr(done))
    check("gave up after 3 failures without a new checkpoint; the first: cause 1;" in done.err,
          repr(done))
    check("attempt 2 failed" in done.err and "starts again in 2 s from the beginning" in done.err,
          repr(done))
    equal(os.path.getsize(count), 3, "attempts")


def a_request_to_stop_is_passed_on():
    job = start(["supervise", config("asked", training__stop={"steps": 1000000}), "--ranks=2"])
    job.wait_for(r"(?m)^step 20/")
    job.send(signal.SIGTERM)
    done = job.end()
    equal(done.code, 75, repr(done))
    equal(incidents("asked"), [], "incidents")


if __name__ == "__main__":
    main(a_killed_run_goes_on, what_would_come_again_ends_it,
         the_first_cause_is_named_after_all_tries, a_request_to_stop_is_passed_on)
