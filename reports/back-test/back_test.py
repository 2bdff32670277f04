"""What an order learned from other targets is worth, on published tables of fine-tuned models.

    python reports/back-test/back_test.py FOLDER > reports/back-test/README.md

FOLDER holds tllib_rankings.csv, tllib_published.json, parc_controlled_accuracy.csv, transfergraph_image_accuracy.csv.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from transferscope.agreements import Estimate
from transferscope.evaluate.read import read_table
from transferscope.evaluate.table import Table
from transferscope.evaluate.tables import STATIC, evaluate_table
from transferscope.history.fuse import HISTORY, default_weights, fuse
from transferscope.history.prior import static_prior
from transferscope.history.weights import learn_weights
from transferscope.results import Evaluation

SPENDS = (1, 2, 3, 5, 10, 20, 50)  # fine-tunes
RANDOM_ORDERS = 200
PRIOR, CONSENSUS = "shrunken prior", "consensus"


def priors(table: Table) -> np.ndarray:
    """Each target's order by the prior of the others."""
    rows = []
    for target in table.targets:
        known = static_prior(table, target)
        rows.append([known[name].mean if name in known else np.nan for name in table.sources])
    return np.array(rows)


def with_orders(table: Table) -> Table:
    """The table with the prior, and where there are scores the consensus, without and with the history."""
    orders = {**table.scores, PRIOR: priors(table)}
    if table.scores:
        plain, full = (default_weights(list(table.scores), history=wanted) for wanted in (False, True))
        rows = range(len(table.targets))
        of = [{name: values[row] for name, values in table.scores.items()} for row in rows]
        orders[CONSENSUS] = np.array([fuse(of[row], plain) for row in rows])
        orders[f"{CONSENSUS} with {HISTORY}"] = np.array([fuse(of[row], full, orders[PRIOR][row]) for row in rows])
    return Table(table.targets, table.sources, table.accuracy, orders, table.seconds)


def text(found: Estimate, factor: float = 1.0) -> str:
    if found.value is None:
        return "–"
    digits = 3 if factor == 1 else 2
    value = f"{factor * found.value:.{digits}f}"
    if found.low is None or found.high is None:
        return value
    return f"{value} [{factor * found.low:.{digits}f}, {factor * found.high:.{digits}f}]"


def print_orders(name: str, table: Table, factor: float) -> Evaluation:
    """Means over targets."""
    found = evaluate_table(with_orders(table))
    print(f"\n## {name}: {len(table.targets)} targets x {len(table.sources)} sources\n")
    print("| order | weighted τ | regret@1, points | regret@3 | regret@5 | best in top 3 | first among 3 best |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    means = [row for row in found.orders if row.target is None]
    for row in sorted(means, key=lambda row: -(row.measures["weighted_kendall"].value or -2)):
        said = row.measures
        cells = (
            f"{row.order}{' (control)' if row.order in (STATIC, PRIOR) else ''}",
            text(said["weighted_kendall"]),
            *(text(said[f"regret_at_{k}"], factor) for k in (1, 3, 5)),
            text(said["best_in_top_3"]),
            text(said["top_1_among_3_best"]),
        )
        print(f"| {' | '.join(cells)} |")
    return found


def regrets(order: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Regret after each number of fine-tunes in `SPENDS`, following an order, higher first; NaN beyond the last."""
    known = np.isfinite(accuracy)
    followed = accuracy[known][np.argsort(-np.nan_to_num(order[known], nan=-np.inf), kind="stable")]
    best_so_far = np.maximum.accumulate(followed)
    return np.array([best_so_far.max() - best_so_far[n - 1] if n <= len(followed) else np.nan for n in SPENDS])


def print_spending(name: str, table: Table, factor: float) -> None:
    """Regret against the number of fine-tunes."""
    from transferscope.evaluate.tables import static_order

    rng = np.random.default_rng(0)
    rows = range(len(table.targets))
    chance = [
        np.mean([regrets(rng.random(len(table.sources)), table.accuracy[row]) for _ in range(RANDOM_ORDERS)], axis=0)
        for row in rows
    ]
    curves = {
        "random order": chance,
        "static order": [regrets(static_order(table)[row], table.accuracy[row]) for row in rows],
        PRIOR: [regrets(priors(table)[row], table.accuracy[row]) for row in rows],
    }
    print(f"\n### {name}: regret in points against fine-tunes spent (mean over targets, and the worst tenth)\n")
    print(f"| order | {' | '.join(map(str, SPENDS))} |")
    print(f"| --- {'| --- ' * len(SPENDS)}|")
    for order, found in curves.items():
        curve = factor * np.array(found)
        cells = [
            f"{np.mean(column):.2f} ({np.quantile(column, 0.9):.2f})"
            for column in curve.T
            if np.isfinite(column).all()
        ]
        cells += ["–"] * (len(SPENDS) - len(cells))
        print(f"| {order} | {' | '.join(cells)} |")


def print_reproduction(table: Table, printed: dict[str, dict[str, dict[str, float]]]) -> None:
    """The weighted tau of a published page beside that of its own columns."""
    found = evaluate_table(table, n_bootstrap=10)
    print("\n## TLlib's page: printed weighted τ beside that of the page's own columns\n")
    print("| target | scorer | printed | from its columns | |\n| --- | --- | --- | --- | --- |")
    for row in found.orders:
        if row.target and row.order != STATIC:
            ours, theirs = (
                row.measures["weighted_kendall"].value or 0.0,
                printed[row.target]["weighted_tau"][row.order],
            )
            follows = "" if round(ours, 3) == theirs else "does not follow"
            print(f"| {row.target} | {row.order} | {theirs:.3f} | {ours:.3f} | {follows} |")


def main(folder: Path) -> None:
    print("# Back-test on published tables\n")
    print("`python reports/back-test/back_test.py FOLDER > reports/back-test/README.md`. Weighted τ is")
    print("`scipy.stats.weightedtau` by default; intervals are 90 % bootstrap intervals over targets and sources. The")
    print("static order is each source's mean rank on the *other* targets; the shrunken prior is what `rank` uses.")
    tllib, parc, graph = (
        read_table(folder / f"{name}.csv")
        for name in ("tllib_rankings", "parc_controlled_accuracy", "transfergraph_image_accuracy")
    )
    print_orders("TLlib, accuracies in per cent", tllib, 1.0)
    learned = learn_weights(tllib, list(tllib.scores))
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in learned.weights.items())
    print(f"\nWeights learned from all eight targets: {weights}. On targets left out (neither weights")
    taus = ", ".join(
        f"{name} {tau:.3f}" for name, tau in sorted(learned.validation.items(), key=lambda pair: -pair[1])
    )
    print(f"nor their strength nor the priors they were learned from saw them), mean weighted τ: {taus}.")
    print_orders("PARC, controlled, accuracies in per cent", parc, 1.0)
    print_spending("PARC", parc, 1.0)
    print_orders("TransferGraph, images", graph, 100.0)
    print_spending("TransferGraph", graph, 100.0)
    print_reproduction(tllib, json.loads((folder / "tllib_published.json").read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
