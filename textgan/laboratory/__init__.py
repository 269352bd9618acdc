"""The augmentation laboratory: does generated text make a language model better, answered under controls."""
