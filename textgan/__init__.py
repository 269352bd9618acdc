"""Text-native GANs. Importing textgan does no work: each public name below loads its module when it is first used."""

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from textgan import autoload, sources

__version__ = "0.1.0"

_PUBLIC = {
    "errors": "InputError Interrupted NotFinite",
    "text": "Encoded Text decode encode load_tokenizer read_lines read_text save_tokenizer split train_tokenizer "
    "write_lines",
    "sequences": "Relaxed Samples",
    "generators": "LSTM Generator Infill Leak Memory Pretrained Transformer load_generator",
    "discriminators": "CNN Bidirectional Discriminator MultiCNN Recurrent StepDiscriminator",
    "objectives": "Objective",
    "updates": "Phase Player Recipe",
    "batches": "TextSettings",
    "recipes": "CatGAN CoT DGSAN DPGAN GAD GSGAN JSDGAN LeakGAN MLE MaliGAN MaskGAN PGBLEU RECIPES "
    "RankGAN RelGAN ScratchGAN SentiGAN SeqGAN TextGAIL TextGAN",
    "runs": "Run",
    "training": "Schedule fit",
    "metrics": "METRICS Metric Score",
    "evaluation": "Evaluation Reference evaluate",
    "lm": "FineTuned finetune load_lm",
    "comparisons": "Comparison compare",
    "sweeps": "Sweep sweep_runs",
    "augmentation": "DensityRatio MixPlan blend choose compare_seeds mix pool_rows read_pool verify_pool write_pairs "
    "write_pool",
    "pools": "generate",
    "selection": "select",
    "audits": "audit",
    "laboratory": "Study read_study run_study",
    "grammar": "grammar",
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names.split()}
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'textgan' has no attribute {name!r}")
    module = import_module(f"textgan.{_MODULE_OF[name]}")
    value = module if name == _MODULE_OF[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def _corpus(source: str) -> Iterable[str]:
    """The sentences of `MODULE:...`, by the `lines` of that module."""
    sentences: Iterable[str] = import_module(f"textgan.{source.partition(':')[0]}").lines(source)
    return sentences


for _name in ("grammar", "oracle"):
    sources.register(_name, _corpus)
autoload.install()
