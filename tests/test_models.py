"""Our own language models against slow twins."""

from __future__ import annotations

import math

import torch

from textgan.sequences import BOS
from toys import VOCAB, build


def test_the_relational_memory_equals_its_equations_written_out() -> None:
    """One sentence, slot by slot and head by head: Santoro et al. 2018, eq. 1-8."""
    model = build("memory", seed=3).model
    tokens = torch.tensor([[1, 4, 5, 3]])
    slots, heads, size = 2, 2, 4
    memory = [torch.eye(slots, heads * size)[s] for s in range(slots)]
    for t in range(tokens.shape[1]):
        x = model.enter(model.embedding(tokens[0, t]))
        rows = [model.attend_norm(model.attend(row)) for row in (*memory, x)]
        after = []
        for s in range(slots):
            seen = []
            for head in range(heads):
                q, k, v = (slice(part * heads * size + head * size, part * heads * size + (head + 1) * size)
                           for part in range(3))  # fmt: skip
                weights = torch.stack([rows[s][q] @ row[k] / math.sqrt(size) for row in rows]).softmax(0)
                seen.append(sum(w * row[v] for w, row in zip(weights, rows, strict=True)))
            thought = model.first_norm(memory[s] + torch.cat(seen))
            thought = model.second_norm(thought + model.think(thought))
            gates = model.gate_memory(memory[s].tanh()) + model.gate_input(x)
            enter, forget = gates[: heads * size], gates[heads * size :]
            after.append((forget + 1).sigmoid() * memory[s] + enter.sigmoid() * thought.tanh())
        memory = after
    logits = model.head(torch.cat(memory))
    assert logits.shape == (VOCAB,)
    assert torch.allclose(logits, model(tokens).logits[0, -1], atol=1e-4)


def test_leakgans_generator_writes_in_half_precision() -> None:
    """As `from_pretrained(..., dtype=torch.bfloat16)` has it: goals are of float32, whatever the weights are."""
    model = build("leak").model.to(torch.bfloat16).eval()
    assert model.generate(torch.tensor([[BOS]]), max_new_tokens=4, do_sample=False).shape[0] == 1
