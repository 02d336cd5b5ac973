"""Small random models of Hugging Face's transformers, and what they compute by this project's
names of parameters."""

import os
import struct

import numpy as np
import torch
import transformers

CLASSES = {
    "gpt2": transformers.GPT2Config, "llama": transformers.LlamaConfig,
    "mistral": transformers.MistralConfig, "qwen2": transformers.Qwen2Config,
    "qwen3": transformers.Qwen3Config
}


def make(family, seed, **fields):
    """A model in f32 whose every parameter matters: weights far larger than the initial ones."""
    torch.manual_seed(seed)
    config = CLASSES[family](**fields)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_norm = parameter.ndim == 1 and not name.endswith("bias")
            std = 0.2 if parameter.ndim == 1 else 1.5 / parameter.shape[-1]**0.5
            parameter.copy_(torch.randn_like(parameter) * std + float(is_norm))
    return model.float().eval()


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32).eval()


def logits_of(model, tokens):
    """(T, V) of the first T of T + 1 tokens."""
    with torch.no_grad():
        return model(torch.tensor([tokens[:-1]]), use_cache=False).logits[0].float().numpy()


def values_of(model, tokens):
    """Logits, mean loss and gradients, in f64 where transformers allows it."""
    wide = model.double()
    out = wide(torch.tensor([tokens[:-1]]), use_cache=False)
    loss = torch.nn.functional.cross_entropy(out.logits[0], torch.tensor(tokens[1:]))
    wide.zero_grad()
    loss.backward()
    values = {"logits": out.logits[0].detach().numpy(), "loss": np.array([loss.item()])}
    values.update(by_our_names(wide))
    model.float()
    return values


def windows_loss(model, tokens, T, stride):
    """The mean loss over windows of T that overlap: each scores the targets that the one before
    has not. Source: transformers' page "Perplexity of fixed-length models"."""
    wide, nats, scored = model.double(), 0.0, 0
    for start in range(0, len(tokens) - 1, stride):
        inputs, targets = tokens[:-1][start:start + T], tokens[1:][start:start + T]
        with torch.no_grad():
            logits = wide(torch.tensor([inputs]), use_cache=False).logits[0]
        losses = torch.nn.functional.cross_entropy(logits, torch.tensor(targets), reduction="none")
        nats += losses[scored - start:].sum().item()
        scored = start + len(targets)
        if scored == len(tokens) - 1:
            break
    model.float()
    return nats / scored


# ---- names ---------------------------------------------------------------------------------------

BLOCK = {
    "input_layernorm": "ln_1", "post_attention_layernorm": "ln_2", "self_attn.q_proj":
    "attn.c_attn", "self_attn.k_proj": "attn.c_attn", "self_attn.v_proj": "attn.c_attn",
    "self_attn.q_norm": "attn.q_norm", "self_attn.k_norm": "attn.k_norm", "self_attn.o_proj":
    "attn.c_proj", "mlp.gate_proj": "mlp.c_fc", "mlp.up_proj": "mlp.c_fc", "mlp.down_proj":
    "mlp.c_proj"
}


def our_name(name):
    if name.startswith("transformer."):
        return name[len("transformer."):]
    name = name.replace("model.", "", 1)
    stem, kind = name.rsplit(".", 1)
    if stem.startswith("layers."):
        _, block, layer = stem.split(".", 2)
        return "h.%s.%s.%s" % (block, BLOCK[layer], kind)
    return "%s.%s" % ({"embed_tokens": "wte", "norm": "ln_f"}.get(stem, stem), kind)


def by_our_names(model):
    """The gradients; those of q, k and v, of gate and up, one below the other."""
    joined = {}
    for name, parameter in model.named_parameters():
        grad = parameter.grad.numpy()
        is_conv1d = name.startswith("transformer.h.") and grad.ndim == 2
        joined.setdefault(our_name(name), []).append(grad.T if is_conv1d else grad)
    return {name: np.concatenate(parts) for name, parts in joined.items()}


# ---- records -------------------------------------------------------------------------------------

def tokens_of(seed, n, vocabulary):
    return np.random.default_rng(seed).integers(0, vocabulary, n).tolist()


def write_tokens(path, tokens):
    with open(path, "wb") as file:
        file.write(struct.pack("<%di" % len(tokens), *tokens))


def write_records(path, values):
    """The format of tests/golden/golden.h."""
    with open(path, "wb") as file:
        for name, value in values.items():
            array = np.ascontiguousarray(value, dtype="<f4")
            file.write((" ".join([name, *map(str, array.shape)]) + "\n").encode())
            file.write(array.tobytes())


def read_records(path):
    with open(path, "rb") as file:
        data = file.read()
    records, at = {}, 0
    while at < len(data):
        end = data.index(b"\n", at)
        name, *shape = data[at:end].decode().split()
        shape = [int(n) for n in shape]
        count = int(np.prod(shape))
        records[name] = np.frombuffer(data, "<f4", count, end + 1).reshape(shape)
        at = end + 1 + 4 * count
    return records


def files_of(folder):
    return sorted(os.listdir(folder))
