#!/usr/bin/env python3
"""Saves of GPT-2 124M with its moments against dd with fdatasync, in turn: save_speed.py DIR [N].

DIR is on the disk to measure. Prints the medians of N pairs (5). $BUILD as for the tests."""

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


def main(directory, pairs=5):
    program = os.path.join(os.environ.get("BUILD", "build"), "tests/checkpoints/mpi_save_speed")
    saves, dds = [], []
    with subprocess.Popen([program, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as saver:
        for _ in range(int(pairs)):
            saver.stdin.write("\n")
            saver.stdin.flush()
            snapshot, write, size = saver.stdout.readline().split()
            saves.append((float(snapshot), float(write)))
            dds.append(dd_seconds(directory, int(size)))
            print("snapshot %s s, write %s s, dd %.2f s" % (snapshot, write, dds[-1]), flush=True)
        saver.stdin.close()
    for path in os.listdir(directory):
        if path.startswith("step_"):
            os.unlink(os.path.join(directory, path))
    rates = [dd / write for (_, write), dd in zip(saves, dds)]
    stalls = [snapshot / write for snapshot, write in saves]
    print("rate / dd's %.3f, snapshot / write %.4f, medians of %d" %
          (statistics.median(rates), statistics.median(stalls), len(saves)))


if __name__ == "__main__":
    main(*sys.argv[1:])
