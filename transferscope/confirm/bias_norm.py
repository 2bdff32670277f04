"""Biases, norms and the head: what moves is a thousandth of the weights."""

from __future__ import annotations

from collections.abc import Collection

from .search import register_tuning
from .strategy import Trial
from .tuning import Tuning


class BiasNorm(Tuning):
    """Only biases and norms' parameters train, ten times as fast as all weights together would."""

    rate_factor = 10.0  # BitFit's rates are about ten times those of full fine-tuning (Zaken et al., appendix A)

    def trainable(self, trial: Trial) -> Collection[str]:
        """Vectors that are a bias, or of a module that is called some norm, as in all libraries here."""
        return {
            f"{path}.{name}" if path else name
            for path, module in trial.source.model.named_modules()
            for name, value in module.named_parameters(recurse=False)
            if value.ndim < 2 and (name.endswith("bias") or "norm" in type(module).__name__.lower())
        }


@register_tuning("bias_norm", head_at="last")
def bias_norm(trial: Trial) -> Tuning:
    """Train biases and norms.

    References
    ----------
    Lu et al., "Pretrained transformers as universal computation engines", AAAI 2022.
    Ben Zaken, Goldberg and Ravfogel, "BitFit: simple parameter-efficient fine-tuning for transformer-based masked
    language-models", ACL 2022.
    """
    return BiasNorm()
