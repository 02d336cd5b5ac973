#!/usr/bin/env python3
"""GPT-2 124M and llama-124m in PyTorch, the reference for ./bench step: the same sizes, the same
work.

    ./bench step [model.preset=llama-124m]
    python3 scripts/bench_pytorch.py [--model=gpt2|llama] [--device=cpu|cuda] [--batch=4]
        [--length=256] [--autocast] [--compile]

Forward, backward, clipping and AdamW on random tokens; PyTorch's own fused attention and fused
AdamW; dropout 0. A GPU computes under bf16 autocast; a CPU in f32, with --autocast under bf16
autocast too.
"""
import argparse
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

V, L, NH, C, T_MAX = 50304, 12, 12, 768, 1024


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(C), nn.LayerNorm(C)
        self.c_attn, self.attn_proj = nn.Linear(C, 3 * C), nn.Linear(C, C)
        self.c_fc, self.mlp_proj = nn.Linear(C, 4 * C), nn.Linear(4 * C, C)

    def forward(self, x):
        B, T, _ = x.shape
        q, k, v = (t.view(B, T, NH, C // NH).transpose(1, 2)
                   for t in self.c_attn(self.ln_1(x)).split(C, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_proj(y.transpose(1, 2).reshape(B, T, C))
        return x + self.mlp_proj(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(V, C), nn.Embedding(T_MAX, C)
        self.blocks = nn.ModuleList(Block() for _ in range(L))
        self.ln_f = nn.LayerNorm(C)

    def forward(self, tokens, targets, n_tokens=V):
        """The loss; columns from n_tokens on are padding of the vocabulary and excluded from the
        softmax."""
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        logits = (self.ln_f(x) @ self.wte.weight.T).view(-1, V)
        return F.cross_entropy(logits[:, :n_tokens], targets.reshape(-1))


class LlamaBlock(nn.Module):
    NH_KV, HS, F = 4, C // NH, 2048

    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.RMSNorm(C, eps=1e-5), nn.RMSNorm(C, eps=1e-5)
        self.c_attn = nn.Linear(C, (NH + 2 * self.NH_KV) * self.HS, bias=False)
        self.attn_proj = nn.Linear(C, C, bias=False)
        self.c_fc, self.mlp_proj = (nn.Linear(C, 2 * self.F, bias=False),
                                    nn.Linear(self.F, C, bias=False))

    def heads(self, x, rotation):
        cos, sin = rotation
        first, second = x.chunk(2, dim=-1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)

    def forward(self, x, rotation):
        B, T, _ = x.shape
        q, k, v = self.c_attn(self.ln_1(x)).view(B, T, -1, self.HS).transpose(1, 2).split(
            [NH, self.NH_KV, self.NH_KV], dim=1)
        y = F.scaled_dot_product_attention(self.heads(q, rotation), self.heads(k, rotation), v,
                                           is_causal=True, enable_gqa=True)
        x = x + self.attn_proj(y.transpose(1, 2).reshape(B, T, C))
        gate, up = self.c_fc(self.ln_2(x)).chunk(2, dim=-1)
        return x + self.mlp_proj(F.silu(gate) * up)


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(V, C)
        self.blocks = nn.ModuleList(LlamaBlock() for _ in range(L))
        self.ln_f = nn.RMSNorm(C, eps=1e-5)
        HS = LlamaBlock.HS
        rates = 10000.0 ** (-torch.arange(0, HS, 2) / HS)
        angles = torch.outer(torch.arange(T_MAX), rates)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, tokens, targets):
        T = tokens.shape[1]
        x = self.wte(tokens)
        rotation = self.cos[:T].to(torch.bfloat16 if x.is_cuda else x.dtype), self.sin[:T].to(
            torch.bfloat16 if x.is_cuda else x.dtype)
        for block in self.blocks:
            x = block(x, rotation)
        return F.cross_entropy((self.ln_f(x) @ self.wte.weight.T).view(-1, V), targets.reshape(-1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="gpt2", choices=["gpt2", "llama"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--autocast", action="store_true")
    parser.add_argument("--compile", action="store_true")
    o = parser.parse_args()
    if o.threads:
        torch.set_num_threads(o.threads)
    torch.manual_seed(0)
    model = (Gpt() if o.model == "gpt2" else Llama()).to(o.device)
    step_model = torch.compile(model) if o.compile else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), weight_decay=0.1,
                                  fused=True)
    tokens = torch.randint(0, 50257, (o.batch, o.length + 1), device=o.device)
    in_bf16 = o.autocast or o.device == "cuda"
    precision = torch.autocast(o.device, torch.bfloat16, enabled=in_bf16)
    times = []
    for _ in range(o.steps + 2):
        start = time.perf_counter()
        with precision:
            loss = step_model(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if o.device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times[2:])
    print("PyTorch %s, %s, %s%s, %d threads: %.2f ms a step, %.0f tokens/s" %
          (torch.__version__, o.model, o.device, " in bf16" if in_bf16 else "",
           torch.get_num_threads(), 1e3 * seconds, o.batch * o.length / seconds))


if __name__ == "__main__":
    main()
