"""Why a figure is absent."""

from ..errors import InputError


class Unmeasurable(InputError):
    """This metric has no value on these texts; the message is the reason that stands in `Evaluation.absent`."""
