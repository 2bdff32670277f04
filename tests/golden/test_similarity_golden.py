"""Every recorded number of the similarity of two models on the same rows: the table of README.md beside this file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from transferscope.similarity import cka_minibatch, cka_rbf, procrustes, pwcca, svcca
from transferscope.similarity.layer_cka import cka_layers

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())["pair"]
with np.load(HERE / "pair.npz") as file:
    A, B = file["A"], file["B"]

CALLS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "cka_rbf_biased.parc": cka_rbf,
    "cka_rbf_debiased.parc": lambda a, b: cka_rbf(a, b, debiased=True),
    "cka_minibatch50.cka_pytorch": lambda a, b: cka_minibatch(a, b, batch_size=50),
    "svcca.resi": svcca,
    "pwcca.resi": pwcca,
    "pwcca.resi_swapped": lambda a, b: pwcca(b, a),
    "procrustes.resi_normalized": procrustes,
}


def wanted(key: str) -> float:
    return float(EXPECTED[key].get("exact", EXPECTED[key]["value"]))


@pytest.mark.parametrize("key", CALLS)
def test_pair(key: str) -> None:
    """To 12 digits, well within the recorded tolerances; after storing as float32, to 5."""
    assert CALLS[key](A, B) == pytest.approx(wanted(key), rel=min(1e-12, EXPECTED[key]["tolerance"]))
    assert CALLS[key](A.astype(np.float32), B.astype(np.float32)) == pytest.approx(wanted(key), rel=1e-5)


def test_layers_of_two_models() -> None:
    values, _, _ = cka_layers([A, B], [B, A, A[:, :3]], batch_size=50)
    assert values[0, 0] == pytest.approx(wanted("cka_minibatch50.cka_pytorch"), rel=1e-12)
    assert values[1, 1] == pytest.approx(wanted("cka_minibatch50.cka_pytorch"), rel=1e-12)


def test_published_codes_that_are_wrong_are_not_followed() -> None:
    """One component kept in place of 99 percent of the variance; means added back before the decomposition."""
    assert abs(svcca(A, B) - EXPECTED["svcca.resi"]["value"]) > 0.1
    assert abs(pwcca(B, A) - EXPECTED["pwcca.resi_swapped"]["value"]) > 1e-3
