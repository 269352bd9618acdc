"""A language model of others as generator: its tokens and its rows put in the order that this package knows.

Here PAD, BOS, EOS and UNK are 0..3, and a tokenizer is a tokenizer.json. A foreign model keeps its weights and the text
of its tokens; only ids change, once, into RUN/adopted, from which the nets are built. What a run then saves is a folder
like any other: AutoModelForCausalLM and AutoTokenizer load it.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch

from textgan.checkpoints import replace_folder
from textgan.errors import InputError
from textgan.generators import Pretrained
from textgan.lm.likelihood import ends, unknown_id
from textgan.lm.loading import Lm, load_lm, quiet
from textgan.models import StatefulForCausalLM
from textgan.text import BOS, EOS, PAD, SPECIALS, UNK, load_tokenizer, save_tokenizer, write_json
from textgan.updates import Recipe

FOLDER, NOTE = "adopted", "adopted.json"


class Adopted(NamedTuple):
    """A recipe whose nets are built from RUN/adopted, the model's tokenizer, and what recipe.json says of it."""

    recipe: Recipe
    tokenizer: Any | None
    facts: dict[str, Any]


def adopt(recipe: Recipe, folder: Path) -> Adopted:
    """The recipe itself where it has no `pretrained` net; else its model in our order, found again by a resumed run.

    Errors: InputError for a model that cannot be loaded, a second one, and a tokenizer whose ids cannot be moved.
    """
    nets = {name: net for name, net in vars(recipe).items() if isinstance(net, Pretrained)}
    if not nets:
        return Adopted(recipe, None, {})
    paths = {net.path for net in nets.values()}
    if len(paths) > 1 or (nets and not isinstance(getattr(recipe, "generator", None), Pretrained)):
        raise InputError("--judge pretrained reads the generator's tokens; give both the same path")
    path, kept = paths.pop(), folder / FOLDER
    if not path:
        raise InputError("--generator pretrained wants --generator.path: a folder or a name on the hub")
    note = _note(kept)
    if note is None or (note.get("path") != path and not (folder / "recipe.json").exists()):  # of a start that failed
        lm = load_lm(path, device="cpu")
        if isinstance(lm.model, StatefulForCausalLM):
            raise InputError(
                f"--generator.path {path} is a generator of textgan's own; give its run as --start, and its family as "
                "--generator"
            )
        replace_folder(kept, lambda new: move(lm, new, path))
    found = {key: value for key, value in (_note(kept) or {}).items() if key != "path"}
    ours = dataclasses.replace(recipe, **{name: Pretrained(str(kept)) for name in nets})  # type: ignore[type-var]
    return Adopted(ours, load_tokenizer(kept), {"pretrained": found})


def _note(kept: Path) -> dict[str, Any] | None:
    """{"name", "tokens", "path"} of what was adopted, None for nothing."""
    path = kept / NOTE
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return found


def move(lm: Lm, out: Path, path: str = "") -> None:
    """Write the model with its ids in our order into a folder: config, safetensors, tokenizer, and a note.

    path: what it was asked for by.
    """
    tokenizer, sources = reordered(lm.tokenizer)
    with torch.no_grad():
        _move_rows(lm.model, sources)
    config = lm.model.config
    config.pad_token_id, config.bos_token_id, config.eos_token_id = PAD, BOS, EOS
    lm.model.generation_config.eos_token_id = lm.model.generation_config.bos_token_id = None  # a run sets its own
    with quiet():
        lm.model.save_pretrained(str(out))
    save_tokenizer(tokenizer, out)
    write_json(out / NOTE, {"name": lm.name, "tokens": len(sources), "path": path})


def reordered(tokenizer: Any) -> tuple[Any, list[int | None]]:
    """Our tokenizer of the same pieces, and for each new id the old one; None for a mark that the old one lacks.

    tokenizer: of transformers, with a fast tokenizer inside. Marks come first, the others keep their order.
    """
    from tokenizers import Tokenizer, processors

    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        raise InputError("--generator pretrained: its tokenizer has no tokenizer.json; give a model with a fast one")
    state = json.loads(fast.to_str())
    if not isinstance(state["model"].get("vocab"), dict):
        raise InputError(
            f"--generator pretrained: ids of a {state['model'].get('type')} tokenizer cannot be moved; give a model of "
            "byte pairs, words or word pieces, such as GPT-2"
        )
    bos, eos = ends(tokenizer)
    marks = {PAD: tokenizer.pad_token_id, BOS: bos, EOS: eos, UNK: unknown_id(tokenizer)}
    if marks[PAD] in (bos, eos):
        marks[PAD] = None
    old = {index: token for token, index in fast.get_vocab(with_added_tokens=True).items()}
    taken = {index for index in marks.values() if index is not None}
    rest = [index for index in sorted(old) if index not in taken]
    if clash := [old[index] for index in rest if old[index] in SPECIALS]:
        raise InputError(
            f"--generator pretrained: {clash[0]} is a common token of it, but a mark here; give another one"
        )
    sources = [*(marks[mark] for mark in (PAD, BOS, EOS, UNK)), *rest]
    ids = {old[index]: place for place, index in enumerate(rest, len(SPECIALS))}
    added = [entry | {"id": ids[entry["content"]]} for entry in state["added_tokens"] if entry["content"] in ids]
    inside = {token for token in state["model"]["vocab"] if token in ids}
    vocabulary = {mark: place for place, mark in enumerate(SPECIALS)} | {t: i for t, i in ids.items() if t in inside}
    state["model"]["vocab"] = vocabulary
    if state["model"].get("unk_token") is not None:
        state["model"]["unk_token"] = SPECIALS[UNK]
    state |= {"added_tokens": added, "post_processor": None, "truncation": None, "padding": None}
    ours = Tokenizer.from_str(json.dumps(state))
    ours.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", BOS)])
    ours.add_special_tokens(list(SPECIALS[:UNK]))
    return ours, sources


def _move_rows(model: Any, sources: list[int | None]) -> None:
    """Rows of the embedding and of the head as `reordered` has the ids.

    A mark that the model lacks gets the mean row: exp(mean logit) is at most the mean of exp, so its probability is at
    most 1 / V.
    """

    def moved(weight: torch.Tensor) -> torch.Tensor:
        mean = weight.mean(0)
        return torch.stack([mean if source is None else weight[source] for source in sources])

    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head.weight is embedding.weight
    new = [moved(embedding.weight), moved(head.weight)]
    bias = None if getattr(head, "bias", None) is None else moved(head.bias)
    model.resize_token_embeddings(len(sources), mean_resizing=False)
    model.get_input_embeddings().weight.copy_(new[0])
    if not tied:
        model.get_output_embeddings().weight.copy_(new[1])
    if bias is not None:
        model.get_output_embeddings().bias.copy_(bias)
