"""Full fine-tuning: every weight of the source, and a new linear head on its last layer."""

from __future__ import annotations

from ..results import Run
from .strategy import Trial, register_strategy
from .training import Network, Trained, read_state, train


@register_strategy("full", head_at="last", trains_body=True)
def full(trial: Trial) -> tuple[Run, ...]:
    """Search the learning rate on validation with the first seed, then repeat the best rate with the others.

    One rate for all sources would rank the rate rather than the sources. Test rows are predicted once per
    seed, with the weights of the best validation epoch at the chosen rate.

    References
    ----------
    Kornblith, Shlens and Le, "Do better ImageNet models transfer better?", CVPR 2019 (search per model).
    """
    model = trial.source.model
    pristine = {name: value.clone() for name, value in model.state_dict().items()}

    def fit(rate: float, seed: int) -> Trained:
        model.load_state_dict(pristine)
        task = f"fine-tuning {trial.source.card.name} on {trial.target.name} (rate {rate:g}, seed {seed})"
        return train(trial, learning_rate=rate, seed=seed, folder=trial.folder / f"{rate:g}-{seed}", task=task)

    try:
        first = trial.seed
        searched = {rate: fit(rate, first) for rate in trial.recipe.learning_rates}
        best = max(searched, key=lambda rate: searched[rate].validation_accuracy)
        chosen = {first: searched[best]}
        chosen |= {first + i: fit(best, first + i) for i in range(1, trial.recipe.n_seeds)}
        runs = [_run(first, rate, trained) for rate, trained in searched.items() if rate != best]
        return (*runs, *(_run(seed, best, trained, _test(trial, trained, seed)) for seed, trained in chosen.items()))
    finally:
        model.load_state_dict(pristine)  # the next strategy starts from the source's own weights again


def _test(trial: Trial, trained: Trained, seed: int) -> float:
    network = Network(trial, seed)
    network.load(read_state(trained.weights))
    return network.accuracy(trial.split.test)


def _run(seed: int, rate: float, trained: Trained, test_accuracy: float | None = None) -> Run:
    return Run(seed, rate, trained.validation_accuracy, test_accuracy, trained.epochs, trained.seconds)
