#!/usr/bin/env python3
"""Converts a checkpoint of nanoGPT to a Hugging Face directory. Needs PyTorch.

usage: scripts/nanogpt_to_hugging_face.py ckpt.pt DIR

DIR must not exist; it gets config.json and model.safetensors (float32), for ./evaluate, ./generate,
./convert and transformers' from_pretrained. nanoGPT with bias=False gets biases of 0.

nanoGPT's MLP computes GELU with the error function; GPT-2, transformers' "gelu_new" and Hourglass
compute it with tanh. docs/results/interop.md has the difference that this makes.
"""

import json
import os
import struct
import sys

import torch

ARGUMENTS = {"n_layer", "n_head", "n_embd", "block_size", "vocab_size", "bias", "dropout"}
TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
COMPILED = "_orig_mod."  # before the names of a model that torch.compile has wrapped


def refuse(path, text):
    print("nanogpt_to_hugging_face: error: %s: %s" % (path, text), file=sys.stderr)
    sys.exit(65)


def read(path):
    """model_args and the weights, by their names without torch.compile's prefix."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        sizes, weights = checkpoint["model_args"], checkpoint["model"]
    except (KeyError, TypeError):
        refuse(path, "no checkpoint of nanoGPT, which holds model and model_args")
    except Exception as error:  # torch.load raises many
        refuse(path, "cannot be read: %s" % str(error).split("\n", maxsplit=1)[0])
    unknown = sorted(set(sizes) - ARGUMENTS)
    if unknown:
        refuse(path, "model_args has %s, which nanoGPT's GPT does not have" % ", ".join(unknown))
    missing = sorted(ARGUMENTS - {"dropout", "bias"} - set(sizes))
    if missing:
        refuse(path, "model_args has no %s" % ", ".join(missing))
    return sizes, {name.removeprefix(COMPILED): value for name, value in weights.items()}


def shapes(sizes):
    """The shape of each tensor of transformers' GPT2LMHeadModel."""
    channels, found = sizes["n_embd"], {}
    found["transformer.wte.weight"] = (sizes["vocab_size"], channels)
    found["transformer.wpe.weight"] = (sizes["block_size"], channels)
    norms = ["transformer.ln_f"]
    for block in range(sizes["n_layer"]):
        start = "transformer.h.%d." % block
        norms += [start + "ln_1", start + "ln_2"]
        for name, inputs, outputs in (("attn.c_attn", 1, 3), ("attn.c_proj", 1, 1),
                                      ("mlp.c_fc", 1, 4), ("mlp.c_proj", 4, 1)):
            found[start + name + ".weight"] = (inputs * channels, outputs * channels)
            found[start + name + ".bias"] = (outputs * channels, )
    for norm in norms:
        found[norm + ".weight"] = found[norm + ".bias"] = (channels, )
    return found


def converted(path, sizes, weights):
    """The tensors for Hugging Face, in their shapes."""
    tensors = {}
    for name, shape in shapes(sizes).items():
        value = weights.pop(name, None)
        if value is None and name.endswith(".bias") and not sizes.get("bias", True):
            value = torch.zeros(shape)
        if value is None:
            refuse(path, "has no tensor %s" % name)
        value = value.t() if name.endswith(TRANSPOSED) else value
        if tuple(value.shape) != shape:
            refuse(path, "tensor %s has shape %s, expected was %s" % (name, tuple(value.shape),
                                                                     shape))
        tensors[name] = value.float().contiguous()
    head = weights.pop("lm_head.weight", tensors["transformer.wte.weight"])
    if not torch.equal(head.float(), tensors["transformer.wte.weight"]):
        refuse(path, "lm_head.weight differs from transformer.wte.weight, which nanoGPT ties")
    others = [name for name in weights if not name.endswith(".attn.bias")]  # those are masks
    if others:
        refuse(path, "tensor %s is none of nanoGPT's GPT" % others[0])
    return tensors


def config(sizes):
    return {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size":
        sizes["vocab_size"], "n_positions": sizes["block_size"], "n_embd": sizes["n_embd"],
        "n_layer": sizes["n_layer"], "n_head": sizes["n_head"], "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True, "torch_dtype": "float32"
    }


def write(folder, sizes, tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, value in tensors.items():
        end = at + 4 * value.numel()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(folder)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for value in tensors.values():
            file.write(value.numpy().tobytes())
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config(sizes), file, indent=1)


def main():
    if len(sys.argv) != 3:
        print("usage: nanogpt_to_hugging_face.py ckpt.pt DIR", file=sys.stderr)
        sys.exit(64)
    path, folder = sys.argv[1:]
    if os.path.exists(folder):
        refuse(folder, "already exists")
    sizes, weights = read(path)
    write(folder, sizes, converted(path, sizes, weights))


if __name__ == "__main__":
    main()
