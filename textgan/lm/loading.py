"""Language models on disk: from a folder, a .gguf file or the hub into memory, and back into a folder."""

import importlib.util
import io
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch

from textgan.errors import InputError
from textgan.lm.likelihood import context_of, ends
from textgan.machine import pick_device
from textgan.text import write_json

PARTIAL = ".partial"  # holds a model that is being written
NOTES = ("finetune.json", "pretrained.json")  # our own folders say there, under "lm", which model they hold


class Lm(NamedTuple):
    """A causal language model with its tokenizer; `name` says in plain words which one it is."""

    model: Any
    tokenizer: Any
    name: str


@contextmanager
def quiet() -> Iterator[None]:
    """transformers without its progress bars and warnings, which are about settings that we make on purpose."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    verbosity, hub, bar = logging.get_verbosity(), hub_logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with redirect_stderr(io.StringIO()):  # the reader of GGUF has a bar of its own, which nothing turns off
            yield
    finally:
        logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub)
        if bar:
            logging.enable_progress_bar()


def load_lm(lm: str | Path, *, device: str = "auto") -> Lm:
    """A causal language model in float32 with its tokenizer, from a folder, a .gguf file or the hub.

    Only safetensors (or GGUF) weights and the classes of transformers (and textgan's own) are loaded: no pickle, no
    code that came with the weights. What cannot be loaded is an InputError.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path, where = Path(lm), str(lm)
    options: dict[str, Any] = {}
    if path.suffix == ".gguf":
        if importlib.util.find_spec("gguf") is None:
            raise InputError(f"{lm}: reading GGUF needs the gguf package; pip install 'textgan[gguf]'")
        where, options["gguf_file"] = str(path.parent), path.name
    elif path.is_dir():
        _check_folder(path)
    elif not _hub_is_known():
        options["local_files_only"] = True  # what was downloaded before still loads
    chosen = pick_device(device)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False, **options)
            model, info = AutoModelForCausalLM.from_pretrained(
                where, dtype=torch.float32, use_safetensors=True, output_loading_info=True, trust_remote_code=False,
                **options,
            )
    except Exception as error:  # the loaders raise a dozen kinds, down to a bare Exception for a damaged tokenizer.json
        raise _cannot_load(lm, path, error) from error
    if info["missing_keys"]:
        lacking = sorted(info["missing_keys"])
        raise InputError(f"{lm}: its weights lack {len(lacking)} tensors ({lacking[0]}, ...); give the whole model")
    if "gguf_file" in options:  # a model read from GGUF refuses save_pretrained, and so does one of its configuration
        del model.config.quantization_config
        fresh = AutoModelForCausalLM.from_config(model.config)
        fresh.load_state_dict(model.state_dict())
        model = fresh
    _check_tokenizer(lm, tokenizer, model)
    return Lm(model.to(chosen).eval(), tokenizer, _name(lm, path, model))


def save_lm(lm: Lm, out: Path, note: str, value: dict[str, Any]) -> None:
    """Write model, tokenizer and then the note into `out`: each file whole or not at all, the note last.

    All are in out/.partial before the first is in its place, so that `settle` ends what a kill has broken off.
    """
    from transformers import GenerationConfig

    bos, eos = ends(lm.tokenizer)
    pad = eos if lm.tokenizer.pad_token_id is None else lm.tokenizer.pad_token_id
    lm.model.generation_config = GenerationConfig(
        do_sample=True, top_k=0, top_p=1.0, bos_token_id=bos, eos_token_id=eos, pad_token_id=pad,
        suppress_tokens=lm.model.generation_config.suppress_tokens,
    )  # fmt: skip
    partial = out / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    with quiet():
        lm.model.save_pretrained(str(partial))
        lm.tokenizer.save_pretrained(str(partial))
    for old in out.glob("model*.safetensors*"):
        if not (partial / old.name).exists():
            old.unlink()
    write_json(partial / note, value)
    settle(out, note)


def settle(out: Path, note: str) -> None:
    """Put the files of out/.partial in their places, the note last, if all of them are there; else nothing."""
    partial = out / PARTIAL
    if not (partial / note).exists():
        return
    for name in sorted((path.name for path in partial.iterdir()), key=lambda name: (name == note, name)):
        os.replace(partial / name, out / name)
    partial.rmdir()


def count_parameters(model: Any) -> str:
    """As a reader says it: 0.26 M."""
    return f"{sum(p.numel() for p in model.parameters()) / 1e6:.3g} M"


def _hub_is_known() -> bool:
    """Whether the hub's host has an address here. Offline, the hub's own client would try for a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if getproxies():
        return True  # then names are the proxy's business
    try:
        return bool(socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443))
    except OSError:
        return False


def _check_folder(path: Path) -> None:
    if not (path / "config.json").is_file():
        inside = f"{path}/generator, which holds the run's model" if (path / "recipe.json").exists() else ""
        wanted = inside or "one with config.json and safetensors"
        raise InputError(f"{path}: no config.json, so it is no model folder; give {wanted}")
    if not any(path.glob("*.safetensors")):
        pickles = sorted(p.name for kind in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in path.glob(kind))
        found = f"only pickled weights ({pickles[0]}), which can run code" if pickles else "no weights"
        raise InputError(f"{path}: {found}; give a folder with model.safetensors")


def _check_tokenizer(lm: str | Path, tokenizer: Any, model: Any) -> None:
    if tokenizer.eos_token_id is None:
        raise InputError(f"{lm}: its tokenizer has no end-of-sentence token; give a model whose tokenizer has one")
    if len(tokenizer) > model.config.vocab_size:
        raise InputError(
            f"{lm}: its tokenizer has {len(tokenizer)} tokens and its model {model.config.vocab_size}; "
            "give a pair that fits"
        )
    if context_of(model) < 2:
        raise InputError(f"{lm}: its context of {context_of(model)} holds no sentence; give a larger model")


def _cannot_load(lm: str | Path, path: Path, error: Exception) -> InputError:
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
    if path.exists():
        return InputError(f"{lm}: cannot be loaded as a causal language model: {said}")
    return InputError(
        f"{lm}: no folder of that name here, and the hub did not give it (offline, or no such model); "
        'give a local model folder, or "small" for a GPT-2 made here'
    )


def _name(lm: str | Path, path: Path, model: Any) -> str:
    size = f"{model.config.model_type}, {count_parameters(model)} parameters"
    if not path.exists():
        return f"{lm} from the hub ({size})"
    for note in NOTES:
        try:
            said = json.loads((path / note).read_text(encoding="utf-8"))["lm"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return str(said) if note == "pretrained.json" else f"{said}, fine-tuned before"
    return f"local {'file' if path.is_file() else 'folder'} {path.name} ({size})"
