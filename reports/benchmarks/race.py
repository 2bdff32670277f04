"""Which source to fine-tune next: the policy of `transferscope.history.acquire` replayed on published fine-tunes.

    python reports/benchmarks/race.py FOLDER

FOLDER holds transfergraph_image_accuracy.csv and parc_controlled_accuracy.csv. Writes race.md and race.svg beside
this file, in about five minutes on two cores.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from transferscope.evaluate.read import read_table
from transferscope.evaluate.table import Table
from transferscope.evaluate.tables import static_order
from transferscope.history.acquire import PRICE, next_source
from transferscope.history.surrogate import STRENGTH, Surrogate

HERE = Path(__file__).parent
SPENDS = (5, 10, 25)  # per cent of the seconds of all sources on the target
CLOSE = 0.01
RANDOM_ORDERS = 100
SEEDS = 20
GOAL = (0.5, 0.65, 0.9)  # share of the targets that should be close to the best at each of SPENDS
FEW = 5  # earlier targets, of those there are
STRENGTHS, PRICES = (4.0, 8.0, 15.0), (0.003, 0.01)
POLICY, ANCHOR = "policy", "mean rank (anchor)"
STEADY, CHEAPEST, RANDOM = "policy without feedback", "cheapest first", "random"
COLORS = {POLICY: "#0072B2", STEADY: "#56B4E9", ANCHOR: "#D55E00", CHEAPEST: "#009E73", RANDOM: "#000000"}
STYLES = {POLICY: "-", STEADY: "-.", ANCHOR: "--", CHEAPEST: (0, (5, 1, 1, 1, 1, 1)), RANDOM: ":"}

Array = np.ndarray
Order = Callable[
    [Table, Table], list[int]
]  # earlier targets, the new one's row: its columns, in the order of training


def curve(held: Table, order: Sequence[int]) -> Array:
    """Regret at every per cent of the exhaustive seconds; only runs that end within the spend count."""
    assert held.seconds is not None
    accuracy, seconds = held.accuracy[0], held.seconds[0]
    ended = np.cumsum(seconds[list(order)])
    best = np.maximum.accumulate(accuracy[list(order)])
    n_ended = np.searchsorted(ended, np.arange(1, 101) / 100 * seconds.sum() * (1 + 1e-12), side="right")
    return accuracy.max() - np.where(n_ended > 0, best[np.maximum(n_ended - 1, 0)], 0.0)


def columns(table: Table, places: Sequence[int] | Array) -> Table:
    """Some sources of a table."""
    assert table.seconds is not None
    names = tuple(table.sources[place] for place in places)
    return Table(table.targets, names, table.accuracy[:, places], {}, table.seconds[:, places])


def rows(table: Table, places: Sequence[int] | Array) -> Table:
    """Some targets of a table, each as often as it is named."""
    assert table.seconds is not None
    names = tuple(f"{count}:{table.targets[place]}" for count, place in enumerate(places))
    return Table(names, table.sources, table.accuracy[places], {}, table.seconds[places])


def by_policy(
    earlier: Table, held: Table, *, until: float = 1.0, strength: float = STRENGTH, price: float = PRICE,
    learns: bool = True, stops: bool = False,
) -> list[int]:  # fmt: skip
    """Sources as the policy picks them; none once `until` of the seconds are spent, or where it `stops` by itself."""
    assert held.seconds is not None
    surrogate = Surrogate.fit(earlier, sources=held.sources, strength=strength)
    places = {name: place for place, name in enumerate(held.sources)}
    observed: dict[str, float] = {}
    seconds: dict[str, float] = {}
    while sum(seconds.values()) < until * held.seconds.sum():
        choice = next_source(surrogate, observed, seconds, price=price)
        if choice is None or (stops and not choice.is_worth_it):
            break
        place = places[choice.source]
        observed[choice.source] = float(held.accuracy[0, place]) if learns else np.nan
        seconds[choice.source] = float(held.seconds[0, place])
    return [places[name] for name in observed]


def stopped(earlier: Table, held: Table) -> tuple[float, float]:
    """Share of the seconds spent, and regret, where the policy stops by itself."""
    assert held.seconds is not None
    order = by_policy(earlier, held, stops=True)
    spent = held.seconds[0, order].sum() / held.seconds.sum()
    return float(spent), float(held.accuracy.max() - held.accuracy[0, order].max())


def by_mean_rank(earlier: Table, held: Table) -> list[int]:
    unknown = np.full((1, len(earlier.sources)), np.nan)
    told = static_order(Table((*earlier.targets, "new"), earlier.sources, np.vstack([earlier.accuracy, unknown])))[-1]
    found = told[[earlier.sources.index(name) for name in held.sources]]
    return np.argsort(-np.nan_to_num(found, nan=-1.0), kind="stable").tolist()


def by_seconds(earlier: Table, held: Table) -> list[int]:
    predicted = Surrogate.fit(earlier, sources=held.sources).predict().seconds
    return np.argsort(predicted, kind="stable").tolist()


def split(
    table: Table, target: int, few: np.random.Generator | None = None, again: bool = False
) -> tuple[Table, Table]:
    """A target's history, all others, `FEW` of them or as many drawn with replacement; and its own row."""
    assert table.seconds is not None
    others = np.delete(np.arange(len(table.targets)), target)
    if few is not None:
        others = few.choice(others, len(others) if again else FEW, replace=again)
    measured = np.flatnonzero(np.isfinite(table.accuracy[target]))
    return rows(table, others), columns(rows(table, [target]), measured)


def replay(
    table: Table, order: Order, target: int, few: np.random.Generator | None = None, again: bool = False
) -> Array:
    """The curve of an order on one target."""
    earlier, held = split(table, target, few, again)
    return curve(held, order(earlier, held))


def replays(table: Table, order: Order) -> Array:
    return np.array([replay(table, order, target) for target in range(len(table.targets))])


def random_curves(table: Table) -> Array:
    """Mean curves are of regrets, and so are shares: of shape (orders, targets, 100)."""
    rng = np.random.default_rng(0)
    return np.array(
        [replays(table, lambda _, held: rng.permutation(len(held.sources)).tolist()) for _ in range(RANDOM_ORDERS)]
    )


def perturbed(table: Table, order: Order, kind: str, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    if kind == "sources":
        keep = np.sort(rng.permutation(len(table.sources))[: round(0.9 * len(table.sources))])
        return replays(columns(table, keep), order)
    return np.array([replay(table, order, t, rng, kind == "again") for t in range(len(table.targets))])


def nested(table: Table, setting: tuple[float, float]) -> Array:
    """How often a setting is close to the best, up to the largest of `SPENDS`, by (target left out, replayed)."""
    order = partial(by_policy, until=SPENDS[-1] / 100, strength=setting[0], price=setting[1])
    found = np.full((len(table.targets),) * 2, np.nan)
    for out in range(len(table.targets)):
        rest = np.delete(np.arange(len(table.targets)), out)
        curves = replays(rows(table, rest), order)
        found[out, rest] = (curves[:, : SPENDS[-1]] <= CLOSE).mean(axis=1)
    return found


def close(curves: Array, spends: Sequence[int] = SPENDS) -> Array:
    """On how many targets the best so far is within `CLOSE` of the best model."""
    return (curves[..., [spend - 1 for spend in spends]] <= CLOSE + 1e-12).sum(axis=-2)


def table_of(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def counts(found: Array, n: int) -> list[str]:
    return [f"{value:.4g} ({100 * value / n:.0f} %)" for value in found]


def points(curves: Array, spends: Sequence[int]) -> list[str]:
    """Mean regrets, in points of accuracy."""
    return [f"{100 * curves[..., spend - 1].mean():.2f}" for spend in spends]


def spread(found: Array) -> list[str]:
    """Mean, and smallest to largest, over seeds."""
    return [f"{col.mean():.1f} ({col.min()}-{col.max()})" for col in found.T]


def figure(curves: dict[str, Array]) -> None:
    import matplotlib as mpl

    mpl.rcParams.update({"svg.hashsalt": "transferscope", "svg.fonttype": "path", "font.size": 11})
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(8, 4.6), layout="constrained")
    axes = drawn.add_subplot()
    for name, found in curves.items():
        mean = 100 * found.reshape(-1, 100).mean(axis=0)
        axes.plot(range(1, 101), mean, color=COLORS[name], linestyle=STYLES[name], linewidth=2, label=name)
    for spend in SPENDS:
        axes.axvline(spend, color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, *SPENDS, 50, 100], ["1", "2", *map(str, SPENDS), "50", "100"])
    axes.minorticks_off()
    axes.set_xlim(1, 100)
    axes.set_ylim(0, 20)
    axes.set_xlabel("spent, % of the seconds that all sources take")
    axes.set_ylabel("mean regret, points of accuracy")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    drawn.savefig(HERE / "race.svg", metadata={"Date": None, "Creator": None})


def main_section(table: Table) -> str:
    n = len(table.targets)
    orders: dict[str, Order] = {
        POLICY: by_policy, STEADY: partial(by_policy, learns=False), ANCHOR: by_mean_rank, CHEAPEST: by_seconds,
    }  # fmt: skip
    started = time.perf_counter()
    curves = {POLICY: replays(table, orders[POLICY])}
    per_choice = (time.perf_counter() - started) / np.isfinite(table.accuracy).sum()
    curves |= {name: replays(table, order) for name, order in orders.items() if name != POLICY}
    curves[RANDOM] = random_curves(table)
    figure(curves)
    shares = [[name, *counts(close(c).reshape(-1, len(SPENDS)).mean(axis=0), n)] for name, c in curves.items()]
    wide = (1, 2, 5, 10, 15, 25, 35, 50, 75)
    spent, left = np.array([stopped(*split(table, target)) for target in range(n)]).T
    regrets = [[name, *points(found, wide)] for name, found in curves.items()]
    each = [[t, *(points(curves[name][row], SPENDS)[k] for name in (POLICY, ANCHOR) for k in range(len(SPENDS)))]
            for row, t in enumerate(table.targets)]  # fmt: skip
    heads = [f"{spend} %" for spend in SPENDS]
    return (
        f"## Targets, of {n}, on which the best so far is within {CLOSE} of the best model\n\n"
        + table_of(["order", *heads], shares)
        + "\n## Mean regret, points of accuracy, against spend\n\n![curves](race.svg)\n\n"
        + table_of(["order", *(f"{spend} %" for spend in wide)], regrets)
        + f"\nA choice among up to {len(table.sources)} sources took {1000 * per_choice:.0f} ms on average. Left to "
        "stop by itself, where no source is worth its price\nany more, it "
        f"spent {100 * spent.mean():.0f} % of the seconds (median "
        f"{100 * np.median(spent):.0f} %), was close to the best on {(left <= CLOSE).sum()} targets, and left a mean "
        f"regret of {100 * left.mean():.2f}\npoints.\n"
        + "\n## Regret on every target, points\n\n"
        + table_of(["target", *(f"{who}, {head}" for who in (POLICY, "anchor") for head in heads)], each)
    )


def stability_section(table: Table, pool: ProcessPoolExecutor) -> str:
    said = {
        "sources": "a tenth of the sources dropped",
        "again": "earlier targets drawn with replacement",
        "few": f"only {FEW} earlier targets, drawn",
    }
    orders: dict[str, Order] = {POLICY: partial(by_policy, until=SPENDS[-1] / 100), ANCHOR: by_mean_rank}
    body = []
    for kind, words in said.items():
        for name, order in orders.items():
            found = np.array(list(pool.map(partial(perturbed, table, order, kind), range(SEEDS))))
            reached = (close(found) >= np.multiply(GOAL, len(table.targets))).mean(axis=0)
            shares = ", ".join(f"{100 * share:.0f} %" for share in reached)
            body.append([words, name, *spread(close(found)), shares, *points(found, SPENDS)])
    heads = [
        *(f"close at {spend} %" for spend in SPENDS),
        "seeds at the goal",
        *(f"regret at {spend} %" for spend in SPENDS),
    ]
    return (
        f"\n## How stable that is: {SEEDS} seeds each\n\n"
        "Targets close to the best: mean over seeds (smallest-largest). Goal: at least "
        f"{', '.join(f'{100 * share:.0f} %' for share in GOAL)} of them.\nRegret: mean, points.\n\n"
        + table_of(["perturbation", "order", *heads], body)
    )


def settings_section(table: Table, pool: ProcessPoolExecutor) -> str:
    settings = [(strength, price) for strength in STRENGTHS for price in PRICES]
    orders = [partial(by_policy, until=SPENDS[-1] / 100, strength=s, price=p) for s, p in settings]
    curves = list(pool.map(partial(replays, table), orders))
    merits = np.array(list(pool.map(partial(nested, table), settings)))  # (settings, left out, replayed)
    chosen = np.nanmean(merits, axis=2).argmax(axis=0)  # the held-out target has no say
    picked = np.array([curves[setting][target] for target, setting in enumerate(chosen)])
    body = [[f"{s:g}", f"{p:g}", *map(str, close(c)), *points(c, SPENDS), str((chosen == k).sum())]
            for k, ((s, p), c) in enumerate(zip(settings, curves, strict=True))]  # fmt: skip
    body.append(["chosen", "chosen", *map(str, close(picked)), *points(picked, SPENDS), str(len(chosen))])
    heads = [*(f"close at {spend} %" for spend in SPENDS), *(f"regret at {spend} %" for spend in SPENDS)]
    return (
        "\n## Other settings\n\n"
        "The form of the policy, scores that stress first places and reservation values, was settled with a look at "
        "this table: normal\nscores and expected improvement per second were close to the best less often. The "
        f"defaults are a strength of {STRENGTH:g} and a price of\n{PRICE:g}. The last row leaves those two to "
        "nobody's taste: for every target the setting is the one that was close to the best most\noften, over the "
        f"spends up to {SPENDS[-1]} %, when each of the *other* targets was replayed on the rest.\n\n"
        + table_of(["strength", "price", *heads, "chosen by"], body)
    )


def parc_section(table: Table) -> str:
    """Another table, with runs of equal length."""
    n, spends = len(table.targets), (10, 25, 50)
    orders: dict[str, Order] = {POLICY: by_policy, STEADY: partial(by_policy, learns=False), ANCHOR: by_mean_rank}
    curves = {name: replays(table, order) for name, order in orders.items()} | {RANDOM: random_curves(table)}
    body = [[name, *counts(close(c, spends).reshape(-1, len(spends)).mean(axis=0), n), *points(c, spends)]
            for name, c in curves.items()]  # fmt: skip
    heads = [*(f"close at {spend} %" for spend in spends), *(f"regret at {spend} %" for spend in spends)]
    return (
        f"\n## Another table: PARC's, {n} targets x {len(table.sources)} sources\n\n"
        "It tells no seconds: every run counts the same. Nothing of the policy was chosen on it.\n\n"
        + table_of(["order", *heads], body)
    )


def main(folder: Path) -> None:
    graph = read_table(folder / "transfergraph_image_accuracy.csv")
    parc = read_table(folder / "parc_controlled_accuracy.csv")
    equal = np.where(np.isfinite(parc.accuracy), 1.0, np.nan)
    parc = Table(parc.targets, parc.sources, parc.accuracy / 100, {}, equal)
    head = (
        "# Which source to fine-tune next\n\n"
        f"Made by `python reports/benchmarks/race.py FOLDER`, FOLDER with the published tables, on {os.cpu_count()} "
        f"cores ({platform.machine()}),\nPython {platform.python_version()}, NumPy {np.__version__}.\n\n"
        f"TransferGraph's image records: {len(graph.targets)} targets, {len(graph.sources)} hub models, accuracy and "
        "seconds of every fine-tune. Each target is\nleft out in turn; an order of its sources is followed, and "
        "judged by the best accuracy of the runs that ended within a share\nof the seconds that all sources take on "
        "it. The policy knows the other targets' accuracies and seconds, and of this one the\nresults so far; what "
        "a run takes it must predict. The anchor is each source's mean rank on the other targets. Random:\n"
        f"{RANDOM_ORDERS} orders.\n\n"
    )
    with (
        threadpool_limits(1),
        ProcessPoolExecutor(os.cpu_count(), initializer=threadpool_limits, initargs=(1,)) as pool,
    ):
        text = head + main_section(graph) + parc_section(parc)
        (HERE / "race.md").write_text(text)
        text += stability_section(graph, pool) + settings_section(graph, pool)
    (HERE / "race.md").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
