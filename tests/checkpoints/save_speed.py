#!/usr/bin/env python3
"""Saves of GPT-2 124M with its moments against dd with fdatasync, in turn: save_speed.py DIR [N].

DIR is on the disk to measure. Prints the medians of N pairs (9; at least 3), and how long training
waits if the next update comes after the save, 0.4 s after its beginning, and at once. $BUILD as for
the tests."""

import os
import statistics
import subprocess
import sys
import time


def dd_seconds(directory, size):
    path = os.path.join(directory, "dd")
    begin = time.monotonic()
    subprocess.run(["dd", "if=/dev/zero", "of=" + path, "bs=4M", "count=%d" % size,
                    "iflag=count_bytes", "conv=fdatasync", "status=none"], check=True)
    seconds = time.monotonic() - begin
    os.unlink(path)
    return seconds


def main(directory, pairs=9):
    program = os.path.join(os.environ.get("BUILD", "build"), "tests/checkpoints/mpi_save_speed")
    saves, dds = [], []
    with subprocess.Popen([program, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as saver:
        for _ in range(int(pairs)):
            saver.stdin.write("\n")
            saver.stdin.flush()
            waits, save, size = saver.stdout.readline().split()
            saves.append((float(waits), float(save)))
            dds.append(dd_seconds(directory, int(size)))
            print("waits %s s, save %s s, dd %.2f s" % (waits, save, dds[-1]), flush=True)
        saver.stdin.close()
    for path in os.listdir(directory):
        if path.startswith("step_"):
            os.unlink(os.path.join(directory, path))
    rates = [dd / save for (_, save), dd in zip(saves, dds)]
    print("rate / dd's %.3f, median of %d" % (statistics.median(rates), len(saves)))
    for when, part in (("after the save", saves[::3]), ("after 0.4 s", saves[1::3]),
                       ("at once", saves[2::3])):
        print("the update comes %s: waits %.4f s, %.4f of the save, medians of %d" %
              (when, statistics.median(waits for waits, _ in part),
               statistics.median(waits / save for waits, save in part), len(part)))


if __name__ == "__main__":
    main(*sys.argv[1:])
