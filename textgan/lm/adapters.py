"""LoRA: a low-rank change of a language model's linear maps instead of all its weights (Hu et al. 2021, 2106.09685)."""

import importlib.util

from textgan.errors import InputError
from textgan.lm.loading import Lm

LR = 2e-4  # what the paper's GPT-2 was adapted with (its table 11)


def adapted(lm: Lm, rank: int) -> Lm:
    """The same model, frozen, with trainable matrices of that rank beside each linear map; it starts as it was.

    alpha is twice the rank and there is no dropout of the adapters' own. Needs the peft package.
    """
    if rank < 1:
        raise InputError(f"lora {rank} adapts nothing; give a rank of 1 or more, as 8")
    if importlib.util.find_spec("peft") is None:
        raise InputError("LoRA needs the peft package; pip install 'textgan[lora]'")
    from peft import LoraConfig, get_peft_model

    chosen = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM",
        fan_in_fan_out=type(lm.model).__name__.startswith("GPT2"),
    )  # fmt: skip
    try:
        return lm._replace(model=get_peft_model(lm.model, chosen))
    except ValueError as error:
        raise InputError(f"{lm.name} cannot be adapted by LoRA: {str(error).splitlines()[0]}") from error


def merged(lm: Lm) -> Lm:
    """The adapters' change put into the weights: an ordinary model again."""
    return lm._replace(model=lm.model.merge_and_unload())
