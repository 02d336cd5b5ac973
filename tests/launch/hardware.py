"""What this machine has, for tests that need it."""

import itertools
import os
import subprocess


def gpus():
    """The number of GPUs that a program may open. As for CUDA, the list of visible ones ends before
    the first that is empty or -1."""
    try:
        found = subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, check=False)
    except OSError:
        return 0
    count, visible = found.stdout.count(b"GPU "), os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return count
    named = itertools.takewhile(lambda gpu: gpu.strip() not in ("", "-1"), visible.split(","))
    return min(count, len(list(named)))
