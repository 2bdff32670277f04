"""What strategies minimise, and where they start: against steps written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from transferscope.confirm import Recipe
from transferscope.confirm.aligned import Aligned, coral, mmd
from transferscope.confirm.joint import Joint
from transferscope.confirm.l2_sp import L2SP
from transferscope.confirm.lp_ft import ProbedStart
from transferscope.confirm.network import Batch, Network
from transferscope.confirm.objective import Objective
from transferscope.confirm.optimizer import make_optimizer
from transferscope.confirm.probe import fit_probe, held_out_part, probe_parts
from transferscope.confirm.strategy import STRATEGIES, Trial
from transferscope.confirm.training import Plan, set_modes, train
from transferscope.confirm.tuning import Tuning
from transferscope.errors import UnknownNameError
from transferscope.targets.arrays import from_arrays

TrialOf = Callable[..., Trial]
cross_entropy = torch.nn.functional.cross_entropy


def first(network: Network, n: int = 8) -> Batch:
    batch = network.data.batch(network.trial.split.train[:n])
    assert batch is not None
    return batch


def test_joint_step_is_that_of_both_tasks_written_by_hand(trial_of: TrialOf) -> None:
    trial = trial_of("vit", "joint")
    joint = Joint(trial)
    with joint.opened(trial, 0, 0.3) as network:
        batch = first(network)
        other = joint.companion(network, len(batch), np.random.default_rng(3))
        assert other is not None
        body = list(network.body.parameters())
        losses = [
            cross_entropy(network.heads[head](network.features(data.inputs)), data.labels)
            for head, data in (("target", batch), ("source", other))
        ]
        target, source = (torch.autograd.grad(loss, body, retain_graph=True, allow_unused=True) for loss in losses)
        heads = torch.autograd.grad(
            losses[0] + 0.3 * losses[1], [network.heads[h].weight for h in ("target", "source")]
        )
        loss = joint.backward(network, batch, other, 1.0)
        assert loss == pytest.approx(float((losses[0] + 0.3 * losses[1]).detach()), rel=1e-6)
        for value, a, b in zip(body, target, source, strict=True):
            if a is not None:
                torch.testing.assert_close(value.grad, a + 0.3 * b, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(network.head.weight.grad, heads[0])
        torch.testing.assert_close(network.heads["source"].weight.grad, heads[1])
        flat = [torch.cat([g.flatten() for g in grads if g is not None]) for grads in (target, source)]
        cosine = float(torch.nn.functional.cosine_similarity(*flat, dim=0))
        assert joint.measures(network) == {"gradient_cosine": pytest.approx(cosine, abs=1e-4)}


def test_joint_searches_its_weight_on_validation(trial_of: TrialOf) -> None:
    trial = trial_of("cnn", "joint")
    recipe = replace(trial.recipe, learning_rates=(1e-2,), n_seeds=2, epochs=8)
    runs = STRATEGIES["joint"].fit(replace(trial, recipe=recipe))
    tested = [run for run in runs if run.test_accuracy is not None]
    searched = [run for run in runs if run.seed == 0 and not run.collapsed]
    assert {run.settings["source_weight"] for run in searched} == {0.1, 1.0}
    assert len({run.settings["source_weight"] for run in tested}) == 1
    assert [run.seed for run in tested] == [0, 1]
    assert tested[0].validation_accuracy == max(run.validation_accuracy for run in searched)
    assert all(-1 <= epoch.measures["gradient_cosine"] <= 1 for run in runs for epoch in run.epochs)


def test_source_batches_leave_batch_norms_statistics_alone(trial_of: TrialOf) -> None:
    trial = trial_of("cnn", "joint")
    joint = Joint(trial)
    with joint.opened(trial, 0, 1.0) as network:
        network.body.train()
        batch = first(network)
        network.features(batch.inputs)
        once = [buffer.clone() for buffer in network.body.buffers()]
    with joint.opened(trial, 0, 1.0) as network:
        network.body.train()
        joint.backward(network, batch, joint.companion(network, 8, np.random.default_rng(0)), 1.0)
        for buffer, wanted in zip(network.body.buffers(), once, strict=True):
            assert torch.equal(buffer, wanted)


def test_coral_and_mmd_by_hand() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(6, 3)), rng.normal(size=(5, 3)) * 2 + 1
    variance = (np.trace(np.cov(a.T)) + np.trace(np.cov(b.T))) / (2 * 3)
    by_hand = ((np.cov(a.T) - np.cov(b.T)) ** 2).sum() / (4 * 3**2 * variance**2)
    assert float(coral(torch.tensor(a), torch.tensor(b))) == pytest.approx(by_hand)
    assert float(coral(torch.tensor(9 * a), torch.tensor(9 * b))) == pytest.approx(by_hand)
    both = np.vstack([a, b])
    squares = ((both[:, None] - both[None]) ** 2).sum(axis=2)
    width = squares.sum() / (11 * 10)
    k = sum(np.exp(-squares / (width * factor)) for factor in (0.25, 0.5, 1, 2, 4))
    by_hand = k[:6, :6].mean() + k[6:, 6:].mean() - 2 * k[:6, 6:].mean()
    assert float(mmd(torch.tensor(a), torch.tensor(b))) == pytest.approx(by_hand)
    assert float(mmd(torch.tensor(a), torch.tensor(a))) == pytest.approx(0, abs=1e-12)
    with pytest.raises(UnknownNameError, match="no alignment named 'korall'"):
        Recipe(alignment="korall")  # type: ignore[arg-type]


@pytest.mark.parametrize(("alignment", "weight"), [("coral", 100.0), ("mmd", 10.0)])
def test_aligned_training_draws_features_together(trial_of: TrialOf, alignment: str, weight: float) -> None:
    trial = trial_of("cnn", "aligned")
    dark = [
        Image.eval(sample, lambda level: level // 3) for sample in map(trial.target.samples.__getitem__, range(24))
    ]
    trial = replace(trial, recipe=replace(trial.recipe, alignment=alignment, epochs=8, layer_decay=1.0),
                    source_data=from_arrays(dark, list(trial.target.labels[:24]), modality="image"))  # fmt: skip
    measure, apart = {"coral": coral, "mmd": mmd}[alignment], {}
    for strength in (0.0, weight):
        aligned = Aligned(trial)
        with aligned.opened(trial, 0, strength) as network:
            batch, other = first(network, 16), aligned.companion(network, 16, np.random.default_rng(0))
            assert other is not None
            optimizer, _ = make_optimizer(network, aligned, 3e-2)
            for _ in range(8):
                optimizer.zero_grad()
                aligned.backward(network, batch, other, 1.0)
                optimizer.step()
            with torch.no_grad():
                apart[strength] = float(measure(network.features(batch.inputs), network.features(other.inputs)))
    assert apart[weight] < 0.5 * apart[0.0], apart


def test_l2_sp_pulls_towards_the_start(trial_of: TrialOf) -> None:
    trial = trial_of("vit", "l2_sp")
    moved = {}
    for alpha in (0.0, 0.1, 10.0):
        changed = replace(trial, recipe=replace(trial.recipe, alpha=alpha, beta=0.0, epochs=6))
        run = train(Plan(changed, L2SP(), 3e-3, 0, None, changed.folder / "one", "one"))
        moved[alpha] = run.epochs[-1].measures["distance"]
    assert moved[10.0] < 0.5 * moved[0.0]
    assert moved[10.0] < moved[0.1] < moved[0.0]


def test_l2_sp_objective_by_hand(trial_of: TrialOf) -> None:
    trial = trial_of("vit", "l2_sp")
    tuning = L2SP()
    with tuning.opened(trial, 0, None) as network:
        batch = first(network)
        plain = Tuning().loss(network, batch, None)
        with torch.no_grad():
            for value in network.body.parameters():
                value.add_(0.5)
        n = sum(value.numel() for value in network.body.parameters())
        with torch.no_grad():
            plain = Tuning().loss(network, batch, None)
            loss = tuning.loss(network, batch, None)
        wanted = plain + 0.1 / 2 * n * 0.25 + 0.01 / 2 * network.head.weight.square().sum()
        assert loss.item() == pytest.approx(wanted.item(), rel=1e-4)
        assert tuning.measures(network)["distance"] == pytest.approx((n * 0.25) ** 0.5, rel=1e-4)


@pytest.mark.parametrize("kind", ["cnn", "vit", "wav2vec2", "bert"])
def test_lp_ft_starts_at_the_probe(trial_of: TrialOf, kind: str) -> None:
    trial = trial_of(kind, "lp_ft")
    train, validation = probe_parts(trial)
    probe = fit_probe(train, validation, trial.objective)
    with ProbedStart(probe).opened(trial, 0, None) as network:
        assert network.judge(trial.split.validation)[0].mean() == pytest.approx(probe.validation_accuracy)
        assert network.judge(trial.split.test)[0].mean() == pytest.approx(probe.accuracy(*held_out_part(trial)))
        set_modes(network.body, keep_statistics=True)
        (norm,) = [m for m in network.body.modules() if isinstance(m, torch.nn.BatchNorm2d)][:1] or [None]
        assert norm is None or not norm.training
    *_, run = STRATEGIES["lp_ft"].fit(trial)
    assert run.validation_accuracy >= probe.validation_accuracy
    assert run.settings["probe_validation_accuracy"] == probe.validation_accuracy


def test_calibration_scales_the_probe_to_the_least_loss(trial_of: TrialOf) -> None:
    trial = trial_of("vit", "lp_ft")
    train, validation = probe_parts(trial)
    probe = fit_probe(train, validation, Objective(3))
    made = probe.calibrated(*validation)
    scale = made.weight[0, 0] / probe.weight[0, 0]
    np.testing.assert_allclose(made.weight, scale * probe.weight)
    np.testing.assert_allclose(made.bias, scale * probe.bias)
    labels, n = torch.from_numpy(validation[1]), len(validation[1])
    losses = [
        float(cross_entropy(torch.from_numpy(f * made.logits(validation[0])), labels, label_smoothing=1 / (n + 2)))
        for f in (0.95, 1, 1.05)
    ]
    assert min(losses) == losses[1]


def test_rates_fall_from_the_head_down_and_biases_do_not_decay(trial_of: TrialOf) -> None:
    trial = trial_of("bert", "full")
    with Tuning().opened(trial, 0, None) as network:
        optimizer, _ = make_optimizer(network, Tuning(), 1e-3)
        names = {id(value): name for name, value in network.body.named_parameters()}
        found = {names.get(id(v), "head"): g for g in optimizer.param_groups for v in g["params"]}
        rates = {name: group["max_lr"] for name, group in found.items()}
        query = "encoder.layer.{}.attention.self.query.{}"
        assert [rates[query.format(i, "weight")] for i in range(3)] == pytest.approx([0.64e-3, 0.8e-3, 1e-3])
        assert rates["embeddings.word_embeddings.weight"] == pytest.approx(0.512e-3)
        assert rates["head"] == pytest.approx(1e-2)
        assert found[query.format(0, "bias")]["weight_decay"] == 0
        assert found[query.format(0, "weight")]["weight_decay"] == 0.01
    trial = trial_of("cnn", "full")
    with Tuning().opened(trial, 0, None) as network:
        optimizer, _ = make_optimizer(network, Tuning(), 1e-3)
        assert {group["max_lr"] for group in optimizer.param_groups} == {1e-3, 1e-2}
