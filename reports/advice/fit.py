"""Fit the advice to the confirmed runs in grid.jsonl, and say what it is worth on targets that it did not see.

    python reports/advice/fit.py > reports/advice/README.md

writes `transferscope/advice/calibration.json` too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from transferscope.advice.verdict import NAMES, WORTH, Calibration, inputs
from transferscope.advices import CurvePoint, Signals

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "transferscope" / "advice" / "calibration.json"
TUNED = ("lp_ft", "lora", "full")
RIDGE = 1.0  # prior standard deviations: a gain of 0.1 for one unit of an input, against noise of 0.1


@dataclass(frozen=True)
class Case:
    """One confirmed source, target and size."""

    target: str
    source: str
    n: int
    n_test: int
    reached: Mapping[str, float]
    validated: Mapping[str, float]
    seconds: Mapping[str, float]
    signals: Signals

    @property
    def best(self) -> float:
        """Of all four ways."""
        return max(self.reached.values())


def read() -> list[Case]:
    """All confirmed cases."""
    found = []
    for line in (HERE / "grid.jsonl").read_text().splitlines():
        told = json.loads(line)
        points = tuple(CurvePoint(**point) for point in told["signals"].pop("curve"))
        runs = {"frozen" if way == "linear_probe" else way: one for way, one in told["reached"].items()}
        reached, validated, seconds = (
            {way: one[key] for way, one in runs.items()} for key in ("test", "validation", "seconds")
        )
        target, source, n = told["key"]
        found.append(
            Case(
                target,
                source,
                n,
                told["n_test"],
                reached,
                validated,
                seconds,
                Signals(curve=points, **told["signals"]),
            )
        )
    return found


def fit(cases: Sequence[Case]) -> dict[str, tuple[float, ...]]:
    """Ridge regression of each strategy's gain; the constant is not shrunk, and every target counts the same."""
    share = {t: 1 / sum(c.target == t for c in cases) for t in {c.target for c in cases}}
    weight = np.sqrt([share[c.target] * len(cases) / len(share) for c in cases])
    rows = np.stack([inputs(c.signals) for c in cases]) * weight[:, None]
    penalty = RIDGE * np.diag([0.0, *np.ones(len(NAMES) - 1)])
    found = {}
    for way in TUNED:
        gains = np.array([c.reached[way] - c.reached["frozen"] for c in cases]) * weight
        found[way] = tuple(np.linalg.solve(rows.T @ rows + penalty, rows.T @ gains).round(4).tolist())
    return found


def advised(weights: Mapping[str, Sequence[float]], case: Case) -> tuple[str, float]:
    """The way that is expected to be the best, and its gain."""
    gains = {way: float(np.array(found) @ inputs(case.signals)) for way, found in weights.items()}
    best = max(gains, key=lambda way: gains[way])
    return (best if gains[best] > WORTH else "frozen"), gains[best]


def left_out(cases: Sequence[Case]) -> list[tuple[Case, str, float, float]]:
    """Each case with the advice from other targets, its expected gain, and that of the same strategy as measured."""
    found = []
    for target in sorted({c.target for c in cases}):
        weights = fit([c for c in cases if c.target != target])
        for case in (c for c in cases if c.target == target):
            way, gain = advised(weights, case)
            best = max(weights, key=lambda name: np.array(weights[name]) @ inputs(case.signals))
            found.append((case, way, gain, case.reached[best] - case.reached["frozen"]))
    return found


def calibrate(cases: Sequence[Case]) -> Calibration:
    """What is shipped."""
    errors = [measured - gain for _, _, gain, measured in left_out(cases)]
    error = round(float(np.sqrt(np.mean(np.square(errors)))), 4)
    return Calibration(fit(cases), error, len(cases), len({c.target for c in cases}))


def main() -> None:
    cases = read()
    known = calibrate(cases)
    SHIPPED.write_text(json.dumps(asdict(known), indent=1) + "\n")
    told = left_out(cases)
    print("# Freeze or fine-tune\n")
    print("Confirmed runs of freezing and of three ways to fine-tune, and what the advice that is")
    print("fitted to them is worth on targets that it did not see.")
    print("\n`python reports/advice/grid.py IMAGE` (AUDIO, TEXT) made grid.jsonl, `python reports/advice/fit.py` this")
    print(
        "page and `transferscope/advice/calibration.json`. Advice for a target is fitted to the other targets alone.\n"
    )
    n_test = sorted({c.n_test for c in cases})
    sure = [one for one in told if abs(one[2] - WORTH) > 1.645 * known.error]
    print(f"{len(cases)} cases: {known.n_targets} targets, {len({c.source for c in cases})} sources, "
          f"{len({c.n for c in cases})} training sizes ({min(c.n for c in cases)} to {max(c.n for c in cases)}). Test "
          f"sets have {n_test[0]} to {n_test[-1]} samples, so that a point is well within noise.\n")  # fmt: skip
    print("| policy | within 1 point of the best way | within 3 points | mean loss, points | seconds of training |")
    print("| --- | --- | --- | --- | --- |")
    policies = {"the advice": {id(case): way for case, way, _, _ in told}}
    policies |= {f"always {way}": {id(c): way for c in cases} for way in ("frozen", *TUNED)}
    measured = {id(c): max(c.validated, key=lambda way: c.validated[way]) for c in cases}  # the cheaper of equals
    for name, ways in policies.items():
        print(_row(name, cases, ways))
    print(_row("train all four, choose on validation", cases, measured, everything=True))
    print(f"\n{_beside(told, policies)}")
    print("\nBy target and size, share within 1 point (advice / always frozen / always full / always LP-FT):\n")
    print("| cases | n | advice | frozen | full | lp_ft |\n| --- | --- | --- | --- | --- | --- |")
    groups = {t: [c for c in cases if c.target == t] for t in sorted({c.target for c in cases})}
    groups |= {f"{n} samples": [c for c in cases if c.n == n] for n in sorted({c.n for c in cases})}
    for name, some in groups.items():
        shares = [_within(some, policies[p]) for p in ("the advice", "always frozen", "always full", "always lp_ft")]
        print(f"| {name} | {len(some)} | " + " | ".join(f"{100 * share:.0f} %" for share in shares) + " |")
    gaps = np.array([[gain, real] for _, _, gain, real in told])
    inside = np.mean(np.abs(gaps[:, 1] - gaps[:, 0]) <= 1.645 * known.error)
    right = sum(_within([case], {id(case): way}) == 1 for case, way, _, _ in sure)
    print(
        f"\nExpected against measured gain on targets left out: correlation {np.corrcoef(gaps.T)[0, 1]:.2f}, root\n"
        f"mean square error {100 * known.error:.1f} points; {100 * inside:.0f} % of gains lie in the 90 % interval.\n"
        f"{len(sure)} of {len(told)} calls are sure; {right} of these are within 1 point of the best way."
    )
    print(f"\nWeights ({', '.join(NAMES)}):\n")
    for way, weights in known.weights.items():
        print(f"- {way}: " + ", ".join(f"{weight:+.3f}" for weight in weights))


def _beside(told: Sequence[tuple[Case, str, float, float]], policies: Mapping[str, Mapping[int, str]]) -> str:
    """The advice against freezing always, over cases and over targets."""
    gaps: dict[str, list[float]] = {}
    for case, way, _, _ in told:
        gaps.setdefault(case.target, []).append(case.reached[way] - case.reached["frozen"])
    means = np.array([np.mean(found) for found in gaps.values()])
    error = means.std(ddof=1) / np.sqrt(len(means))
    said = f"The advice gains {100 * means.mean():+.1f} points over always freezing (± {100 * error:.1f} over targets)"
    if means.mean() > 1.645 * error:
        return f"{said}: it is worth following."
    return f"{said}: that is no proof that it helps. `advise` gives its interval and says where to train both ways."


def _within(cases: Sequence[Case], ways: Mapping[int, str], points: float = 0.01) -> float:
    return float(np.mean([c.reached[ways[id(c)]] >= c.best - points - 1e-9 for c in cases]))


def _row(name: str, cases: Sequence[Case], ways: Mapping[int, str], *, everything: bool = False) -> str:
    loss = np.mean([c.best - c.reached[ways[id(c)]] for c in cases])
    seconds = np.mean([sum(c.seconds.values()) if everything else c.seconds[ways[id(c)]] for c in cases])
    near, far = _within(cases, ways), _within(cases, ways, 0.03)
    return f"| {name} | {100 * near:.0f} % | {100 * far:.0f} % | {100 * loss:.1f} | {seconds:.0f} |"


if __name__ == "__main__":
    main()
