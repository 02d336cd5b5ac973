"""A model of nanoGPT's layers and names, and its checkpoint. Source of the names:
github.com/karpathy/nanoGPT, model.py and train.py."""

import torch
from torch import nn
from torch.nn import functional as F

SIZES = dict(n_layer=2, n_head=4, n_embd=32)
CASES = {
    "nanogpt": dict(SIZES, bias=True),
    "nanogpt, no biases, compiled": dict(SIZES, bias=False),
}


class Norm(nn.Module):
    def __init__(self, C, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(C))
        self.bias = nn.Parameter(torch.zeros(C)) if bias else None

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class Attention(nn.Module):
    def __init__(self, C, NH, bias):
        super().__init__()
        self.NH = NH
        self.c_attn, self.c_proj = nn.Linear(C, 3 * C, bias=bias), nn.Linear(C, C, bias=bias)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (part.view(B, T, self.NH, C // self.NH).transpose(1, 2)
                   for part in self.c_attn(x).split(C, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, C))


class Mlp(nn.Module):
    def __init__(self, C, bias):
        super().__init__()
        self.gelu = "none"
        self.c_fc, self.c_proj = nn.Linear(C, 4 * C, bias=bias), nn.Linear(4 * C, C, bias=bias)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate=self.gelu))


class Block(nn.Module):
    def __init__(self, C, NH, bias):
        super().__init__()
        self.ln_1, self.attn = Norm(C, bias), Attention(C, NH, bias)
        self.ln_2, self.mlp = Norm(C, bias), Mlp(C, bias)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    def __init__(self, **sizes):
        super().__init__()
        C, bias = sizes["n_embd"], sizes["bias"]
        self.sizes = sizes
        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(sizes["vocab_size"], C),
            "wpe": nn.Embedding(sizes["block_size"], C),
            "h": nn.ModuleList(Block(C, sizes["n_head"], bias) for _ in range(sizes["n_layer"])),
            "ln_f": Norm(C, bias),
        })
        self.lm_head = nn.Linear(C, sizes["vocab_size"], bias=False)
        self.transformer.wte.weight = self.lm_head.weight

    def forward(self, tokens):
        t = self.transformer
        x = t.wte(tokens) + t.wpe(torch.arange(tokens.shape[1]))
        for block in t.h:
            x = block(x)
        return self.lm_head(t.ln_f(x))


def make(seed, **sizes):
    """A model whose every parameter matters."""
    torch.manual_seed(seed)
    model = Gpt(**sizes)
    with torch.no_grad():
        for parameter in model.parameters():
            is_vector = parameter.ndim == 1
            std = 0.2 if is_vector else 1.5 / parameter.shape[-1]**0.5
            parameter.copy_(torch.randn_like(parameter) * std + float(is_vector))
    return model.eval()


def save(model, path, compiled):
    """The content of train.py's ckpt.pt; torch.compile puts a prefix before each name."""
    prefix = "_orig_mod." if compiled else ""
    weights = {prefix + name: value for name, value in model.state_dict().items()}
    torch.save({"model": weights, "optimizer": torch.optim.AdamW(model.parameters()).state_dict(),
                "model_args": dict(model.sizes, dropout=0.0), "iter_num": 100,
                "best_val_loss": torch.tensor(1.5), "config": {"out_dir": "out"}}, path)


def logits_of(model, tokens, gelu):
    """(T, V) of the first T of T + 1 tokens, in f64. gelu: F.gelu's `approximate`."""
    for block in model.transformer.h:
        block.mlp.gelu = gelu
    with torch.no_grad():
        logits = model.double()(torch.tensor([tokens[:-1]]))[0].numpy()
    model.float()
    return logits


def loss_of(logits, tokens):
    return F.cross_entropy(torch.tensor(logits), torch.tensor(tokens[1:])).item()
