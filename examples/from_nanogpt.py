#!/usr/bin/env python3
"""Writes the weights of a ckpt.pt of nanoGPT as a GPT-2 of Hugging Face, which ./convert reads.

usage: examples/from_nanogpt.py CKPT.PT DIR        needs the packages torch and safetensors
       ./convert DIR runs/NAME
"""

import json
import os
import re
import sys

import safetensors.torch
import torch

# nn.Linear has (out, in) where GPT-2's Conv1D has (in, out).
TRANSPOSED = re.compile(r"(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.weight$")
BIASED = re.compile(r"(ln_\w+|c_attn|c_proj|c_fc)\.weight$")


def tensors_of(state):
    """The tensors under Hugging Face's names; a model without biases gets zeros."""
    tensors = {}
    for name, tensor in state.items():
        name = name.removeprefix("_orig_mod.")  # of torch.compile
        if name == "lm_head.weight" or name.endswith(".attn.bias"):
            continue  # the token embedding; the causal mask
        tensors[name] = (tensor.t() if TRANSPOSED.search(name) else tensor).float().contiguous()
    for name in [name for name in tensors if BIASED.search(name)]:
        bias = name.removesuffix("weight") + "bias"
        tensors.setdefault(bias, torch.zeros(tensors[name].shape[-1]))
    return tensors


def config_of(args):
    """nanoGPT computes the exact GELU, GPT-2 its tanh form; they differ by at most 5e-4."""
    return {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"],
            "vocab_size": args["vocab_size"], "n_positions": args["block_size"],
            "n_layer": args["n_layer"], "n_head": args["n_head"], "n_embd": args["n_embd"],
            "activation_function": "gelu_new"}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    checkpoint = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
    os.makedirs(sys.argv[2], exist_ok=True)
    safetensors.torch.save_file(tensors_of(checkpoint["model"]),
                                os.path.join(sys.argv[2], "model.safetensors"))
    with open(os.path.join(sys.argv[2], "config.json"), "w", encoding="utf-8") as file:
        json.dump(config_of(checkpoint["model_args"]), file, indent=2)


if __name__ == "__main__":
    main()
