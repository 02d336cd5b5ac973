#!/usr/bin/env python3
"""Computes the reference vectors of ops and of a tiny GPT with PyTorch, in f64 from inputs that are
exact in f32.

usage: python3 tests/golden/make_golden.py        (needs torch and numpy; writes tests/golden/*.bin)

  ops.bin           inputs, seeds, outputs and gradients of some cases of
                    tests/core/ops_cases_helper.c, by name
  gpt_weights.bin   a GPT of two blocks (C=32, NH=4, T=16, V=61 padded to 64, biases) and ten
                    batches of tokens
  gpt_grads.bin     the first batch's losses, their mean, and all gradients
  gpt_steps.bin     ten AdamW steps with clipping, warm-up and cosine: losses, norms, final weights

A file is a sequence of records: a line `NAME DIM...`, then the values as little-endian f32.
"""

import math
import os

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
random = np.random.default_rng(20260101)
torch.set_default_dtype(torch.float64)


class Writer:
    def __init__(self, name):
        self.file = open(os.path.join(HERE, name), "wb")

    def put(self, name, value):
        array = np.asarray(value.detach() if torch.is_tensor(value) else value,
                           dtype=np.float64).astype("<f4")
        self.file.write((" ".join([name, *map(str, array.shape)]) + "\n").encode())
        self.file.write(np.ascontiguousarray(array).tobytes())


def draw(*shape, scale=1.0, offset=0.0, grad=True, source=random):
    """Normal numbers that f32 holds exactly."""
    values = (offset + scale * source.standard_normal(shape)).astype(np.float32).astype(np.float64)
    return torch.tensor(values, requires_grad=grad)


def gelu(x):
    return F.gelu(x, approximate="tanh")


def write_case(out, case, inputs, outputs, extra=()):
    """outputs: name -> (value, seed); the gradients are those of sum(seed * value)."""
    sum((value * seed).sum() for value, seed in outputs.values()).backward()
    for name, value in inputs.items():
        out.put("%s/%s" % (case, name), value)
        out.put("%s/%s.grad" % (case, name), value.grad)
    for name, (value, seed) in outputs.items():
        out.put("%s/%s" % (case, name), value)
        out.put("%s/%s.seed" % (case, name), seed)
    for name, value in extra:
        out.put("%s/%s" % (case, name), value)


def seeded(value, source=random):
    return value, draw(*value.shape, grad=False, source=source)


def linear_cases(out):
    x, w, bias = draw(2, 3, 5), draw(7, 5), draw(7)
    write_case(out, "linear_ragged", {"x": x, "w": w, "bias": bias},
               {"y": seeded(F.linear(x, w, bias))})
    x, w, bias = draw(1, 21, 19), draw(13, 19, scale=0.3), draw(13)
    write_case(out, "linear_gelu_bias", {"x": x, "w": w, "bias": bias},
               {"y": seeded(gelu(F.linear(x, w, bias)))})
    x, w, w_2 = draw(3, 5, 24), draw(96, 24, scale=0.2), draw(24, 96, scale=0.1)
    b, b_2 = draw(96, scale=0.2), draw(24)
    y = F.linear(gelu(F.linear(x, w, b)), w_2, b_2)
    write_case(out, "mlp_bias", {"x": x, "w_fc": w, "w_proj": w_2, "b_fc": b, "b_proj": b_2},
               {"y": seeded(y)})


def layernorm_cases(out):
    x, gamma, beta = draw(1, 3, 33, offset=0.5), draw(33, offset=1, scale=0.2), draw(33)
    write_case(out, "layernorm_beta", {"x": x, "gamma": gamma, "beta": beta},
               {"y": seeded(F.layer_norm(x, (33,), gamma, beta))})
    x, branch, gamma = draw(3, 17, 24), draw(3, 17, 24), draw(24, offset=1, scale=0.2)
    total = x + branch
    write_case(out, "layernorm_branch", {"x": x, "branch": branch, "gamma": gamma},
               {"y": seeded(F.layer_norm(total, (24,), gamma)), "sum": seeded(total)})


def rms_norm(x, eps=1e-5):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)


def rmsnorm_cases(out):
    own = np.random.default_rng(13)
    x, gamma = draw(1, 3, 33, source=own), draw(33, offset=1, scale=0.2, source=own)
    write_case(out, "rmsnorm", {"x": x, "gamma": gamma}, {"y": seeded(rms_norm(x) * gamma, own)})
    x, branch = draw(3, 17, 24, source=own), draw(3, 17, 24, source=own)
    gamma, total = draw(24, offset=1, scale=0.2, source=own), x + branch
    write_case(out, "rmsnorm_branch", {"x": x, "branch": branch, "gamma": gamma},
               {"y": seeded(rms_norm(total) * gamma, own), "sum": seeded(total, own)})
    x = draw(2, 5, 16, source=own)
    write_case(out, "rmsnorm_plain", {"x": x}, {"y": seeded(rms_norm(x), own)})


def activation_cases(out):
    own = np.random.default_rng(14)
    x = draw(2, 5, 16, source=own)
    write_case(out, "relu2", {"x": x}, {"y": seeded(F.relu(x) ** 2, own)})
    for case, act in ("swiglu", F.silu), ("geglu", gelu):
        pair = draw(2, 5, 32, source=own)
        gate, up = pair.chunk(2, dim=-1)
        write_case(out, case, {"pair": pair}, {"y": seeded(act(gate) * up, own)})
    x, x0, s = draw(2, 5, 16, source=own), draw(2, 5, 16, source=own), draw(2, source=own)
    write_case(out, "mix", {"x": x, "x0": x0, "s": s}, {"y": seeded(s[0] * x + s[1] * x0, own)})


def embedding_cases(out):
    wte, wpe, tokens = draw(11, 5), draw(9, 5), random.integers(0, 11, (3, 7))
    x = F.embedding(torch.tensor(tokens), wte) + wpe[:7]
    write_case(out, "embedding_ragged", {"wte": wte, "wpe": wpe}, {"x": seeded(x)},
               [("tokens", tokens)])


def philox(key, low, high):
    """Philox4x32-10: Salmon et al., SC'11, section 3.3."""
    c, k = [low & 0xFFFFFFFF, low >> 32, high & 0xFFFFFFFF,
            high >> 32], [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def dropout_case(out):
    """The cases' StepState: seed 99, step 3, first sample 5; the program's first stream is 1."""
    rate, start = 0.1, 5 * 5 * 7
    words = [philox(99, i // 4, 3 << 24 | 1)[i % 4] for i in range(start, start + 3 * 5 * 7)]
    mask = torch.tensor([word >= int(rate * 2**32) for word in words]).reshape(3, 5, 7) / (1 - rate)
    x = draw(3, 5, 7)
    write_case(out, "dropout_ragged", {"x": x}, {"y": seeded(x * mask)})


def loss_cases(out):
    for case, (B, T, C, V,
               Vp) in {"loss_one_chunk": (2, 9, 8, 29, 32),
                       "loss_chunks": (3, 7, 8, 61, 64)}.items():
        x, wte, targets = draw(B, T, C), draw(Vp, C), random.integers(0, V, (B, T))
        logits = F.linear(x, wte).reshape(B * T, Vp)[:, :V]
        losses = F.cross_entropy(logits,
                                 torch.tensor(targets).reshape(-1),
                                 reduction="none").reshape(B * T, 1)
        seed = torch.full((B * T, 1), 1 / (B * T))
        write_case(out, case, {"x": x, "wte": wte}, {"losses": (losses, seed)},
                   [("tokens", targets)])


def softcap_case(out):
    own = np.random.default_rng(20261130)
    B, T, C, V, Vp, softcap = 2, 9, 8, 29, 32, 2
    x, wte = draw(B, T, C, source=own), draw(Vp, C, source=own)
    targets = own.integers(0, V, (B, T))
    logits = softcap * torch.tanh(F.linear(x, wte).reshape(B * T, Vp)[:, :V] / softcap)
    losses = F.cross_entropy(logits, torch.tensor(targets).reshape(-1), reduction="none")
    seed = torch.full((B * T, 1), 1 / (B * T))
    write_case(out, "loss_softcap", {"x": x, "wte": wte},
               {"losses": (losses.reshape(B * T, 1), seed)}, [("tokens", targets)])


def attention(qkv, NH):
    """nanoGPT's call: causal, heads side by side."""
    B, T, C = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    q, k, v = (t.reshape(B, T, NH, C // NH).transpose(1, 2) for t in qkv.split(C, dim=2))
    scale = float(np.float32(1 / math.sqrt(C // NH)))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True,
                                          scale=scale).transpose(1, 2).reshape(B, T, C)


def attention_cases(out):
    for size, (B, T, NH, HS) in {"5": (2, 5, 2, 3), "63": (1, 63, 2, 8)}.items():
        qkv = draw(B, T, 3 * NH * HS)
        write_case(out, "attention_" + size, {"qkv": qkv}, {"out": seeded(attention(qkv, NH))})


def rotated(x, pairs):
    """Hugging Face's rotate_half on the first 2 * pairs dimensions of heads (B, T, heads, HS)."""
    frequencies = torch.tensor([50**(-i / pairs) for i in range(pairs)])
    angles = torch.arange(x.shape[1])[:, None, None] * frequencies
    cosines, sines = 1.25 * torch.cos(angles), 1.25 * torch.sin(angles)
    a, b, rest = x[..., :pairs], x[..., pairs:2 * pairs], x[..., 2 * pairs:]
    return torch.cat([a * cosines - b * sines, b * cosines + a * sines, rest], dim=-1)


def head_cases(out):
    own = np.random.default_rng(20261129)
    B, T, NH, NH_kv, HS, pairs = 2, 5, 4, 2, 8, 4
    qkv = draw(B, T, (NH + 2 * NH_kv) * HS, source=own)
    heads = qkv.reshape(B, T, -1, HS)
    y = torch.cat([rotated(heads[:, :, :NH + NH_kv], pairs), heads[:, :, NH + NH_kv:]], dim=2)
    write_case(out, "rope", {"qkv": qkv}, {"y": seeded(y.reshape(B, T, -1), own)})
    B, T, NH, NH_kv, HS, pairs = 2, 20, 4, 2, 12, 4
    qkv = draw(B, T, (NH + 2 * NH_kv) * HS, source=own)
    q_gamma, k_gamma = (draw(HS, offset=1, scale=0.2, source=own) for _ in range(2))
    q, k, v = qkv.reshape(B, T, -1, HS).split([NH, NH_kv, NH_kv], dim=2)
    q, k = rms_norm(q, 1e-6) * q_gamma, rms_norm(k, 1e-6) * k_gamma
    y = torch.cat([rotated(q, pairs), rotated(k, pairs), v], dim=2)
    write_case(out, "qk_norm_rope_gamma", {"qkv": qkv, "q_gamma": q_gamma, "k_gamma": k_gamma},
               {"y": seeded(y.reshape(B, T, -1), own)})
    B, T, NH, NH_kv, HS = 2, 5, 4, 2, 6
    qkv, e = (draw(B, T, n * HS, source=own) for n in (NH + 2 * NH_kv, NH_kv))
    gate = draw(NH_kv, offset=1, source=own)
    v = qkv[..., -NH_kv * HS:] + e * gate.repeat_interleave(HS)
    y = torch.cat([qkv[..., :-NH_kv * HS], v], dim=2)
    write_case(out, "value_embedding", {"qkv": qkv, "e": e, "gate": gate}, {"y": seeded(y, own)})


def short_conv_case(out):
    own = np.random.default_rng(20261201)
    B, T, C, taps = 2, 7, 5, 3
    h, w = draw(B, T, C, source=own), draw(taps, C, source=own)
    padded = F.pad(h.transpose(1, 2), (taps - 1, 0))
    y = h + F.conv1d(padded, w.flip(0).T[:, None], groups=C).transpose(1, 2)
    write_case(out, "short_conv", {"h": h, "w": w}, {"y": seeded(y, own)})


L, C, NH, T, V, VP, B, STEPS = 2, 32, 4, 16, 61, 64, 4, 10


def gpt_weights():
    """Names and shapes as Hugging Face's GPT-2, but matrices as (outputs, inputs)."""
    w = {"wte.weight": draw(VP, C, scale=0.1), "wpe.weight": draw(T, C, scale=0.1)}
    with torch.no_grad():
        w["wte.weight"][V:] = 0
    for i in range(L):
        for name, rows, columns in (("attn.c_attn", 3 * C, C), ("attn.c_proj", C, C),
                                    ("mlp.c_fc", 4 * C, C), ("mlp.c_proj", C, 4 * C)):
            w["h.%d.%s.weight" % (i, name)] = draw(rows, columns, scale=0.15)
            w["h.%d.%s.bias" % (i, name)] = draw(rows, scale=0.1)
        for name in ("ln_1", "ln_2"):
            w["h.%d.%s.weight" % (i, name)] = draw(C, offset=1, scale=0.1)
            w["h.%d.%s.bias" % (i, name)] = draw(C, scale=0.1)
    w["ln_f.weight"], w["ln_f.bias"] = draw(C, offset=1, scale=0.1), draw(C, scale=0.1)
    return w


def gpt_losses(w, tokens, targets):
    def norm(name, x):
        return F.layer_norm(x, (C,), w[name + ".weight"], w[name + ".bias"])

    def project(name, x):
        return F.linear(x, w[name + ".weight"], w[name + ".bias"])

    x = F.embedding(tokens, w["wte.weight"]) + w["wpe.weight"]
    for h in ("h.%d." % i for i in range(L)):
        x = x + project(h + "attn.c_proj",
                        attention(project(h + "attn.c_attn", norm(h + "ln_1", x)), NH))
        x = x + project(h + "mlp.c_proj", gelu(project(h + "mlp.c_fc", norm(h + "ln_2", x))))
    logits = F.linear(norm("ln_f", x), w["wte.weight"])[..., :V]
    return F.cross_entropy(logits.reshape(-1, V), targets.reshape(-1), reduction="none")


def learning_rate(step, top=2e-3, low=2e-4, warmup=3, decay=9):
    if step < warmup:
        return top * (step + 1) / (warmup + 1)
    if step >= decay:
        return low
    return low + (top - low) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (decay - warmup)))


def gpt_steps(out, w, batches):
    """Decay on matrices alone; the norm of the whole gradient is clipped at 0.5."""
    groups = [{"params": [p for p in w.values() if p.ndim == 2], "weight_decay": 0.1},
              {"params": [p for p in w.values() if p.ndim == 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1, betas=(0.9, 0.95), eps=1e-8)
    losses, norms = [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = gpt_losses(w, batches[step, :, :-1], batches[step, :, 1:]).mean()
        loss.backward()
        norm = math.sqrt(sum(float((p.grad**2).sum()) for p in w.values()))
        for p in w.values():
            p.grad *= min(1, 0.5 / norm)
        for group in optimizer.param_groups:
            group["lr"] = float(np.float32(learning_rate(step)))
        optimizer.step()
        losses.append(float(loss.detach()))
        norms.append(norm)
    out.put("losses", losses)
    out.put("norms", norms)
    out.put("lr", [learning_rate(step) for step in range(STEPS)])
    for name, p in w.items():
        out.put(name, p)
    return losses, norms


def main():
    out = Writer("ops.bin")
    for cases in (linear_cases, layernorm_cases, embedding_cases, dropout_case, loss_cases,
                  attention_cases, rmsnorm_cases, head_cases, activation_cases, softcap_case,
                  short_conv_case):
        cases(out)
    w, batches = gpt_weights(), torch.tensor(random.integers(0, V, (STEPS, B, T + 1)))
    out = Writer("gpt_weights.bin")
    out.put("batches", batches)
    for name, p in w.items():
        out.put(name, p)
    out = Writer("gpt_grads.bin")
    losses = gpt_losses(w, batches[0, :, :-1], batches[0, :, 1:])
    losses.mean().backward()
    out.put("loss", [float(losses.mean().detach())])
    for name, p in w.items():
        out.put(name, p.grad)
    print("losses and norms:", *gpt_steps(Writer("gpt_steps.bin"), w, batches))


if __name__ == "__main__":
    main()
