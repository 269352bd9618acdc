"""CatGAN: classes, Gumbel-softmax, a relativistic D for each class, and Gumbel temperatures that evolve.

Liu, Wang & Liang, AAAI 2020.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from textgan.discriminators import DiscriminatorSpec, MultiCNN, with_classes
from textgan.generators import LSTM, GeneratorSpec, Memory
from textgan.objectives import RELATIVISTIC
from textgan.papers import CONSTANT_ADAM, EPOCH
from textgan.processes import average, gather
from textgan.sequences import Relaxed, mask_of, split_labels
from textgan.updates import Logs, Phase, Player, Players, adam, generator_players, likelihood_phase


@dataclass(frozen=True)
class CatGAN:
    """Maximum likelihood, then rounds in which children of G, each at its own temperature, compete; labelled text.

    D has a logit a class and minimises softplus(D_k(fake) - D_k(real)) over pairs of one class k. A round's children
    take one step each at temperatures around beta_max^(-step / steps); the fittest is the next G:
    fitness = -RELATIVISTIC loss of G + diversity times the entropy of its samples.
    Differs: temperatures evolve, objectives do not (the paper mutates both), and each sentence is compared with its
    partner (the port's D, and one of its two objectives of G, compares it with the others' mean logit: "ragan");
    entropy stands for the paper's diversity by NLL; one optimiser's moments serve all children, which have the same
    noise. At 1e-4 two children differ by so little that one batch is a weak judge of which is fitter.

    Args (the others are `updates.FIELDS`):
        beta_max: the last inverse temperature, about which children vary
        children: children a round; 1 is no evolution
        mutation: factor by which a child's temperature may be larger or smaller than the round's
        diversity: weight of the entropy, nats a token, in the fitness
    """

    name: ClassVar[str] = "catgan"
    paper: ClassVar[str] = "Liu et al. 2020"
    bridge: ClassVar[str] = "Gumbel-softmax, temperatures that evolve; labels"
    opponent: ClassVar[str] = "CNN over several representations, relativistic in each class"
    classes: ClassVar[bool] = True
    no_logit: ClassVar[str] = "it has a logit a class, and a line of a pool names none"

    batch: int = 64
    mle_steps: int = 1500
    judge_steps: int = 0
    adversarial_steps: int = 300
    discriminator_updates: int = 5
    beta_max: float = 100.0
    children: int = 2
    mutation: float = 2.0
    diversity: float = 0.1
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-4
    generator: GeneratorSpec = LSTM()
    discriminator: DiscriminatorSpec = MultiCNN()

    def players(self, vocab_size: int, max_len: int, labels: int = 2) -> Players:
        judge = with_classes(self.discriminator, vocab_size, max_len, classes=labels, real=labels)
        players = generator_players(self, vocab_size, max_len)
        return players | {"discriminator": Player(judge, adam(judge, self.discriminator_lr))}

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d = players["generator"], players["discriminator"]
        labels = d.net.real
        first = g.net.vocab_size - labels  # the id of the first label

        def logits_of(x: Tensor, mask: Tensor, label: Tensor) -> Tensor:
            return d.net.class_logits(x, mask).gather(1, (label - first)[:, None]).squeeze(1)  # (B,)

        def relaxed(label: Tensor, temperature: float) -> Relaxed:
            return g.net.eval().relaxed_sample(
                len(label), temperature=temperature, hard=False, feed_tokens=True, context=label, rng=rng
            )

        def judge_step(batches: Iterator[Tensor], temperature: float) -> Logs:
            real, label = split_labels(next(batches))
            with torch.no_grad():
                fake = relaxed(label, temperature)
            d.net.train()
            of_real = logits_of(real, mask_of(real), label)
            of_fake = logits_of(fake.probs, fake.mask, label)
            loss = d.minimise(RELATIVISTIC.discriminator(of_real, of_fake))
            return {"d_loss": loss, "d_accuracy": (of_real > of_fake).float().mean()}

        def loss_of(tokens: Tensor, temperature: float) -> tuple[Tensor, Relaxed, Tensor]:
            real, label = split_labels(tokens)
            fake = relaxed(label, temperature)
            d.net.eval()
            of_real, of_fake = logits_of(real, mask_of(real), label), logits_of(fake.probs, fake.mask, label)
            return RELATIVISTIC.generator(of_real, of_fake), fake, label

        def fitness(tokens: Tensor, temperature: float) -> Tensor:
            with torch.no_grad():
                loss, fake, label = loss_of(tokens, temperature)
                entropy = -gather(g.net.log_probs(fake.tokens, label)).sum() / gather(fake.mask).sum()
            return average([self.diversity * entropy - loss])[0]

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            middle = self.beta_max ** (-step / max(1, self.adversarial_steps))
            logs: Logs = {}
            for _ in range(self.discriminator_updates):
                logs |= judge_step(batches, middle)
            tokens, test = next(batches), next(batches)
            parent, grown, noise = copy.deepcopy(g.net.state_dict()), [], rng.get_state()

            def become(weights: dict[str, Tensor]) -> None:
                g.net.load_state_dict(weights)
                torch.clear_autocast_cache()

            for child in range(self.children):
                rng.set_state(noise)  # children differ by their temperature, not by their luck
                become(parent)
                temperature = middle * spread(child, self.children, self.mutation)
                loss = g.minimise(loss_of(tokens, temperature)[0])
                own = {"g_loss": loss, "temperature": loss.new_full((), temperature, dtype=torch.float64)}
                grown.append((own | {"fitness": fitness(test, middle)}, copy.deepcopy(g.net.state_dict())))
            best = torch.stack([child["fitness"] for child, _ in grown]).argmax()
            become(chosen([weights for _, weights in grown], best))
            return logs | chosen([child for child, _ in grown], best)

        return (
            likelihood_phase(players["likelihood"], self),
            Phase("judge", self.judge_steps, lambda step, batches: judge_step(batches, 1.0)),
            Phase("adversarial", self.adversarial_steps, play),
        )


def chosen(children: list[dict[str, Tensor]], best: Tensor) -> dict[str, Tensor]:
    """The child at the place `best` (), which is not waited for."""
    return {key: torch.stack([child[key] for child in children]).index_select(0, best[None])[0] for key in children[0]}


def spread(child: int, children: int, mutation: float) -> float:
    """What a child's temperature is multiplied by: from 1 / mutation to mutation, evenly in the logarithm."""
    return 1.0 if children == 1 else mutation ** (2 * child / (children - 1) - 1)


REAL = CatGAN(  # run_catgan.py, labelled text; differs: the port's loss is "ragan", for G also "rsgan", which is ours
    **CONSTANT_ADAM,
    mle_steps=150 * EPOCH,  # the paper
    judge_steps=0,
    adversarial_steps=2000,
    discriminator_updates=3,
    beta_max=100.0,
    children=2,  # one for each of its two objectives
    diversity=0.001,
    generator_lr=1e-4,
    discriminator_lr=1e-4,
    generator=Memory(embedding=32, slots=1, heads=2, head_size=512),
    discriminator=MultiCNN(
        embedding=64, representations=64, widths=(2, 3, 4, 5), filters=(300, 300, 300, 300), hidden=100, dropout=0.25
    ),  # RelGAN's
)
PRESETS = {"port": REAL, "port-oracle": replace(REAL, beta_max=1.0)}
