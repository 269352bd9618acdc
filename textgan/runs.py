"""A finished or unfinished run: a folder that can be opened, sampled and told about."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from textgan import machine
from textgan.errors import InputError
from textgan.generators import ROWS, Decoding, Generator, load_generator
from textgan.labels import draw_labels, id_of, label_facts
from textgan.manifest import MANIFEST, facts, problems
from textgan.processes import ALONE, TILE, Noise, gather, share, sharing, tile_seed, widest
from textgan.prompts import MARK, encode_prompted, given_prompts, load_prompts, prompt_lengths
from textgan.sequences import PAD, pad_to
from textgan.text import Encoded, decode, encode, load_tokenizer

BLOCK_ROWS = 256  # sentences that the model reads at once
BEST = "best"  # beside RUN/generator, which is the last one


class Run:
    """A run folder. `Run.open(path)` checks that it is one; nothing heavy is loaded until text is asked for."""

    def __init__(
        self, path: Path, settings: dict[str, Any], weights: str = "generator", *, device: str = "cpu",
        precision: str = "no",
    ) -> None:  # fmt: skip
        machine.check_precision(precision)
        self.path = path
        self.settings = settings
        self.weights = path / weights
        self.device, self.precision = machine.pick_device(device), precision

    @classmethod
    def open(cls, path: str | Path, *, device: str = "cpu", precision: str = "no") -> Run:
        """RUN, or RUN/best for its generator where the joint score was lowest.

        device: where the generator computes: cpu, where a seed gives the same bytes on every machine, cuda or auto.
        precision: "bf16" writes in bfloat16, whose rounding makes it another model by a little and a large one faster;
        what is measured stays float32. Errors: InputError for anything else.
        """
        folder, weights = Path(path), "generator"
        if folder.name == BEST and (folder / "config.json").exists():
            folder, weights = folder.parent, BEST
        try:
            settings = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            said = "no recipe.json" if folder.is_dir() else "is a file" if folder.exists() else "no such folder"
            above = f" (give {folder.parent})" if (folder.parent / "recipe.json").exists() else ""
            raise InputError(f"{folder}: {said}; a run is a folder that `textgan train` has written{above}") from error
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder}/recipe.json cannot be read ({error}); train again with another --out"
            ) from error
        return cls(folder, settings, weights, device=device, precision=precision)

    @property
    def log(self) -> list[dict[str, Any]]:
        """The rows of log.jsonl."""
        path = self.path / "log.jsonl"
        if not path.exists():
            return []
        try:
            return [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()]
        except ValueError as error:
            raise InputError(f"{path}: is damaged ({error}); restore it, or delete it to go on without") from error

    @property
    def evaluated(self) -> list[dict[str, Any]]:
        """The rows of the log at which the held-out text was measured: "valid_nll", nats a token, is in each."""
        return [row for row in self.log if "valid_nll" in row]

    @cached_property
    def generator(self) -> Generator:
        """The trained generator, in evaluation mode; where it has prompts, with those of the training text."""
        if self._net.mark is not None:
            self._net.prompts = load_prompts(self.path).to(self.device)
        return self._net

    @cached_property
    def _net(self) -> Generator:
        """The generator as its weights have it: it can go on from given prompts alone."""
        if not (self.weights / "config.json").exists():
            raise InputError(f"{self.path}: nothing trained yet; `textgan train ... --resume` goes on with this run")
        from safetensors import SafetensorError

        sealed = (self.weights / MANIFEST).exists()
        if sealed and (wrong := next(problems(self.weights), None)):
            raise self._damaged(f"{wrong}; where you have changed it yourself, delete {MANIFEST}")
        try:
            self.weights_sha256  # noqa: B018  # a training that goes on may write others any time
            net = load_generator(self.weights).eval()
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            if isinstance(error, InputError) or machine.out_of_memory(error):
                raise
            raise self._damaged(" ".join(str(error).split())[:200]) from error
        return net.to(self.device)

    def _damaged(self, said: str) -> InputError:
        return InputError(
            f"{self.weights}: is damaged ({said}); `textgan train ... --resume` writes it again from the checkpoint"
        )

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer that the run was trained with."""
        return load_tokenizer(self.weights)

    def sample_text(
        self, n: int, *, seed: int = 0, temperature: float = 1.0, top_p: float = 1.0, label: str | None = None,
        prompts: Sequence[str] = (),
    ) -> list[str]:  # fmt: skip
        """n sentences as clean text; the same seed gives the same sentences on the CPU in float32."""
        return list(self.stream_text(n, seed=seed, temperature=temperature, top_p=top_p, label=label, prompts=prompts))

    def stream_text(
        self, n: int, *, seed: int = 0, temperature: float = 1.0, top_p: float = 1.0, label: str | None = None,
        prompts: Sequence[str] = (),
    ) -> Iterator[str]:  # fmt: skip
        """`sample_text` one sentence at a time, drawn in blocks of 1,024, so that memory does not grow with n.

        Each block has a random state of its own (`block_seed`): those of n sentences are the first of more sentences,
        but for a last block that is not full. temperature, top_p: `generators.Decoding`'s. label: the class of all;
        without it a run with classes draws them as often as its training text has them. prompts: what the sentences
        begin with, in turn, in a run with or without prompts; a run with prompts draws them from its training text
        otherwise. Several processes (`processes.sharing`) draw a block each at a time: the first one gives all
        sentences, the same as one process alone, and the others none, but each must be read to its end. Errors: n
        below 1, a label that the run lacks, a prompt that leaves no room to write in.
        """
        if n < 1:
            raise InputError(f"-n {n} must be at least 1")
        if isinstance(prompts, str):
            raise InputError("prompts: a list of lines was wanted, got one string")
        if label is not None:
            id_of(label, self.labels, 0)  # refuse it before any work
        decoding = Decoding(temperature, top_p)
        decoding.check()
        given = None
        if len(prompts):
            given = given_prompts(self.tokenizer, prompts, self._net.mark, self._net.max_len)
        return chain.from_iterable(
            self._turn(block, n - block * ROWS, seed, decoding, label, given)
            for block in range(0, -(-n // ROWS), share().world)
        )

    @property
    def labels(self) -> dict[str, int]:
        """The run's classes and how often each was seen in training; empty where it has none."""
        return label_facts(self.settings)

    def _turn(
        self, block: int, n: int, seed: int, decoding: Decoding, label: str | None, prompts: torch.Tensor | None
    ) -> list[str]:
        """The next n sentences, but at most a block a process, from this block on; none but in the first process."""
        rank, world = share()
        sizes = [min(ROWS, max(0, n - i * ROWS)) for i in range(world)]
        with sharing(ALONE):
            prefix = None
            if prompts is not None:
                prefix = prompts[((block + rank) * ROWS + torch.arange(sizes[rank])) % len(prompts)]
            tokens = self._block(sizes[rank], block_seed(seed, block + rank), decoding, label, prefix)
        tokens = pad_to(tokens, widest(tokens.shape[1], tokens.device))
        tokens = gather(F.pad(tokens, (0, 0, 0, sizes[0] - len(tokens)), value=PAD))  # only the last block is not full
        return decode(self.tokenizer, tokens[: sum(sizes)].numpy()) if rank == 0 else []

    def _block(
        self, n: int, seed: int, decoding: Decoding, label: str | None, prefix: torch.Tensor | None
    ) -> torch.Tensor:
        """Tokens of a block, (n, T)."""
        if n == 0:
            return torch.full((0, 1), PAD)
        generator = self.generator if prefix is None else self._net
        rng, size = torch.Generator().manual_seed(seed), generator.vocab_size
        noise = Noise(n, None, self.device, seed=seed).uniform(generator.max_len)
        if label is None:
            context = draw_labels(self.labels, n, size, rng)
        else:
            context = torch.full((n,), id_of(label, self.labels, size))
        parameters = sum(p.numel() for p in generator.parameters())
        context, prefix = (None if x is None else x.to(self.device) for x in (context, prefix))
        rounded = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with machine.suited_threads(parameters, machine.USUAL_THREADS), rounded:
            drawn = generator.sample_from(noise, prefix=prefix, context=context, decoding=decoding)
            return drawn.tokens.cpu()

    def log_probs(self, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """`log_probs` of the run's generator; a line longer than the run's maximum length is cut there.

        With classes it is log sum_k p(k) p(line | k), p(k) as in the training text. With prompts the lines have them
        as the training text does, and it is of the rest.
        """
        return log_probs(self._marginal, self.encode(lines), self.generator.chosen)

    def encode(self, lines: Sequence[str]) -> Encoded:
        """Ids of the lines as the run's nets read them, with prompts as its training text has them."""
        how, max_len = self.settings["tokens"].get("prompt"), self.generator.max_len
        if how is None:
            return encode(self.tokenizer, lines, max_len=max_len)
        rows, mark = encode_prompted(self.tokenizer, lines, how), self.tokenizer.token_to_id(MARK)
        lengths = prompt_lengths(rows, mark)
        if lengths.max(initial=0) + 2 > max_len:
            place = int(lengths.argmax())
            raise InputError(
                f"line {place + 1}: its prompt has {lengths[place]} tokens, and {self.path} reads {max_len - 2}; cut it"
            )
        return rows.cut(max_len)

    def _marginal(self, tokens: torch.Tensor) -> torch.Tensor:
        """log p of sentences (B, T) whatever their class: (B,) float64."""
        tokens = tokens.to(self.device)
        if not self.labels:
            return self.generator.log_probs(tokens).double().sum(1)
        size, total = self.generator.vocab_size, sum(self.labels.values())
        terms = [
            self.generator.log_probs(tokens, tokens.new_full((len(tokens),), id_of(name, self.labels, size)))
            .double()
            .sum(1)
            + np.log(seen / total)
            for name, seen in self.labels.items()
        ]
        return torch.stack(terms).logsumexp(0)

    def pool_rows(
        self, n: int, *, seed: int = 0, temperature: float = 1.0, top_p: float = 1.0, label: str | None = None,
        prompts: Sequence[str] = (), first: int = 0,
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """n sentences as pool rows, each with its provenance (augmentation.pool), one at a time.

        prompts: as in `stream_text`; each row then has its "prompt", and its "top_p" where that is below 1. first:
        begin with this one of the seed's sentences; a multiple of 1,024, where a block begins.
        """
        from textgan.augmentation.pool import pool_rows

        if first % ROWS:
            raise InputError(f"first {first} must be a multiple of {ROWS:,}, where a block of sentences begins")
        given = [prompts[(first + i) % len(prompts)] for i in range(len(prompts))]  # the first's turn may be any
        chosen: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "label": label, "prompts": given}
        rows = pool_rows(
            self.stream_text(n, seed=block_seed(seed, first // ROWS), **chosen),
            source=self.settings["recipe"],
            generator={"name": f"{self.settings['recipe']}", "sha256": self.weights_sha256},
            run=self.path.name,
            seed=seed,
            temperature=temperature,
            first=first,
        )
        more = {} if top_p == 1 else {"top_p": top_p}
        if not given:
            return (row | more for row in rows)
        return (row | more | {"prompt": prompts[row["index"] % len(prompts)]} for row in rows)

    @cached_property
    def weights_sha256(self) -> str:
        """Hash of the generator's weights file, as it was when it was first asked for or the generator was loaded."""
        return str(facts(self.weights / "model.safetensors")["sha256"])


def block_seed(seed: int, block: int) -> int:
    """The seed of a block of sentences: that of its first tile, so that none of them has another's noise."""
    return tile_seed(seed, block * (ROWS // TILE))


@torch.no_grad()
def log_probs(
    score: Callable[[torch.Tensor], torch.Tensor], data: Encoded, chosen: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[np.ndarray, np.ndarray]:
    """What a generator thinks of text: (n,) log p(line) in nats and (n,) tokens, the end counted, at temperature 1.

    score: sentences (B, T) -> (B,) log p. chosen: (B, T) -> (B, T), the tokens that count. An unknown word counts as
    <unk>; PAD and BOS are forbidden as in writing.
    """
    sums, counts, order = np.zeros(len(data)), np.zeros(len(data), np.int64), np.argsort(data.lengths, kind="stable")
    for start in range(0, len(order), BLOCK_ROWS):
        rows = order[start : start + BLOCK_ROWS]
        tokens = torch.from_numpy(data.batch(rows))
        sums[rows], counts[rows] = score(tokens).cpu().numpy(), chosen(tokens).sum(1).numpy()
    return sums, counts
