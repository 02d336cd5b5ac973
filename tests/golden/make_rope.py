#!/usr/bin/env python3
"""Computes the reference frequencies of rotary embeddings with transformers' own functions.

usage: python3 tests/golden/make_rope.py        (needs torch and transformers 4.43 to 4.57; writes
                                                 tests/golden/rope.bin)

A record NAME holds the frequencies of a case of tests/nn/test_rope.c, then the attention factor, in
the format of tests/golden/make_golden.py.
"""

import os
import types

import numpy as np
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

HERE = os.path.dirname(os.path.abspath(__file__))

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192}

# name: base, head_dim, partial_rotary_factor, rope_scaling, max_position_embeddings
CASES = {
    "none": (10000.0, 64, 1.0, {"rope_type": "default"}, 2048),
    "none_partial": (1024.0, 80, 0.4, {"rope_type": "default"}, 2048),
    "none_wide": (1e6, 256, 1.0, {"rope_type": "default"}, 2048),
    "linear": (10000.0, 96, 1.0, {"rope_type": "linear", "factor": 2.5}, 2048),
    "llama3": (500000.0, 128, 1.0, LLAMA3, 131072),
    "llama3_small": (500000.0, 64, 1.0, dict(LLAMA3, factor=32.0), 131072),
    "yarn": (1e6, 128, 1.0, {"rope_type": "yarn", "factor": 4.0}, 32768),
    "yarn_partial": (10000.0, 128, 0.5, {"rope_type": "yarn", "factor": 16.0, "beta_fast": 24,
                                         "beta_slow": 2, "attention_factor": 1.5}, 4096),
    "yarn_short": (150000.0, 64, 1.0, {"rope_type": "yarn", "factor": 32.0}, 128),
}


def record(name, base, head_dim, fraction, scaling, positions):
    config = types.SimpleNamespace(rope_theta=base, head_dim=head_dim, hidden_size=4 * head_dim,
                                   num_attention_heads=4, partial_rotary_factor=fraction,
                                   rope_scaling=scaling, max_position_embeddings=positions)
    frequencies, factor = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, "cpu")
    values = np.append(np.asarray(frequencies), factor).astype("<f4")
    return ("%s %d\n" % (name, len(values))).encode() + values.tobytes()


def main():
    with open(os.path.join(HERE, "rope.bin"), "wb") as file:
        for name, case in CASES.items():
            file.write(record(name, *case))


if __name__ == "__main__":
    main()
