"""The augmentation laboratory: does generated text make a language model better, answered under controls."""

from textgan.laboratory.running import Report, run_study, write_report
from textgan.laboratory.study import Study, read_study

__all__ = ["Report", "Study", "read_study", "run_study", "write_report"]
