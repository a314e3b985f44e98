"""What a first try gives: runs at defaults beside scikit-learn's, on ten small data sets or those that are named.

    python benchmarks/defaults.py                     # tables and time series; data in $IZHI_DATA where it is at hand
    python benchmarks/defaults.py --estimators        # SpikingClassifier and SpikingRegressor beside scikit-learn's own
    python benchmarks/defaults.py iris own.npz --seeds 0,1,2 --neurons lif,normalized --json found.json

Each network is trained as ``izhi train --dataset NAME --seed SEED`` does without further options, as it does with
``--neuron``, and by a file of settings, which do not follow the data ("before"). The classifiers of scikit-learn have
its defaults behind a StandardScaler; they see a time series as 64 means over time. All learn from the same training
samples, validation samples included for scikit-learn, and are tested on the same others.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from baselines import arrays
from izhi import data
from izhi.cli import main as izhi
from izhi.errors import IzhiError
from izhi.sklearn import SpikingClassifier, SpikingRegressor

NAMES = ("iris", "wine", "breast_cancer", "digits", "vibrations", "hapt", "ts:JapaneseVowels", "ts:BasicMotions",
         "ts:GunPoint", "smartwatch")  # fmt: skip
#: The run without options, and that by a file of settings.
USUAL, BEFORE = "izhi train", "before"


def vibrations(file: Path) -> str:
    """Three kinds of vibration of three channels, 128 steps, told apart by their frequencies alone."""
    draw, t = np.random.default_rng(5), np.arange(128)
    kinds = np.array([[0.15, 0.4, 0.9], [0.18, 0.5, 0.8], [0.22, 0.35, 1.0]])
    arrays: dict[str, Any] = {"over_time": True}
    for part, count in (("train", 240), ("test", 120)):
        y = draw.integers(0, 3, count)
        phase = kinds[y][:, None] * t[:, None] * draw.uniform(0.95, 1.05, (count, 1, 3))
        wave = np.sin(phase + draw.uniform(0, 2 * np.pi, (count, 1, 3))) * draw.uniform(0.5, 1, (count, 1, 3))
        arrays[f"x_{part}"] = (wave + 0.5 * draw.normal(size=wave.shape)).astype(np.float32)
        arrays[f"y_{part}"] = y
    np.savez(file, **arrays)
    return str(file)


def plain(dataset: data.Dataset, seed: int) -> dict[str, float]:
    """Test accuracies of classifiers of scikit-learn."""
    parts = [arrays(part, 64) for part in (dataset.train, dataset.test)]
    (x, y), (x_test, y_test) = ((values.astype(np.float64), labels) for values, labels in parts)
    models = {
        "logistic regression": LogisticRegression(max_iter=1000), "SVC": SVC(),
        "MLP": MLPClassifier(max_iter=500, random_state=seed), "forest": RandomForestClassifier(random_state=seed),
    }  # fmt: skip
    return {
        name: float(make_pipeline(StandardScaler(), one).fit(x, y).score(x_test, y_test))
        for name, one in models.items()
    }


def trained(name: str, method: str, seed: int) -> tuple[float, float]:
    """Test accuracy of a run by the command line, and its seconds."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        began, found, config = time.perf_counter(), Path(folder) / "found.json", Path(folder) / "own.toml"
        config.write_text(f"dataset = {json.dumps(name)}")
        source = ["--config", str(config)] if method == BEFORE else ["--dataset", name]
        neuron = [] if method in (USUAL, BEFORE) else ["--neuron", method]
        words = ["train", *source, *neuron, "--seed", str(seed)]
        if izhi([*words, "--quiet", "--out", f"{folder}/run", "--json", str(found)]):
            raise SystemExit(f"izhi {' '.join(words)} fails")
        return float(json.loads(found.read_text())["test_accuracy"]), time.perf_counter() - began


def row(name: str, neurons: list[str], seeds: list[int]) -> dict[str, Any]:
    """Accuracies of each seed by method, and the seconds of a run."""
    dataset = data.load(name)
    found: dict[str, Any] = {"data": name, "seconds": {}}
    for seed in seeds:
        for method, accuracy in plain(dataset, seed).items():
            found.setdefault(method, []).append(accuracy)
        for method in (BEFORE, USUAL, *neurons):
            accuracy, seconds = trained(name, method, seed)
            found.setdefault(method, []).append(accuracy)
            found["seconds"].setdefault(method, []).append(seconds)
    return found


def classifications() -> dict[str, Any]:
    """Eight small tables: four of scikit-learn, four that are made."""
    made: Any = datasets.make_classification
    return {
        **{name: getattr(datasets, f"load_{name}")(return_X_y=True) for name in NAMES[:4]},
        "300 × 12, 3 classes": made(300, 12, n_informative=8, n_classes=3, random_state=7),
        "400 × 20, 4 classes": made(400, 20, n_informative=10, n_classes=4, random_state=8),
        "500 × 8, 2 classes": made(500, 8, n_informative=5, n_classes=2, random_state=9),
        "quantiles 400 × 6": datasets.make_gaussian_quantiles(
            n_samples=400, n_features=6, n_classes=3, random_state=10
        ),
    }


def regressions() -> dict[str, Any]:
    """Four small tables of numbers to predict: one of scikit-learn, three that are made."""
    return {
        "diabetes": datasets.load_diabetes(return_X_y=True),
        "make_regression 300 × 12": datasets.make_regression(300, 12, n_informative=8, noise=20, random_state=7),
        "make_friedman1 400 × 10": datasets.make_friedman1(400, 10, noise=1, random_state=8),
        "make_friedman2 400 × 4": datasets.make_friedman2(400, noise=100, random_state=9),
    }


def scaled(model: Any) -> Any:
    """A regressor that sees features and targets standardised."""
    return TransformedTargetRegressor(make_pipeline(StandardScaler(), model), transformer=StandardScaler())


def estimators(seeds: list[int]) -> str:
    """Tables of classifiers and of regressors at their defaults."""
    classifiers: dict[str, Any] = {
        "SpikingClassifier": lambda seed: SpikingClassifier(random_state=seed),
        "MLPClassifier": lambda seed: MLPClassifier(random_state=seed), "SVC": lambda seed: SVC(),
    }  # fmt: skip
    regressors: dict[str, Any] = {
        "SpikingRegressor": lambda seed: SpikingRegressor(random_state=seed),
        "MLPRegressor": lambda seed: MLPRegressor(random_state=seed),
        "MLPRegressor, scaled": lambda seed: scaled(MLPRegressor(random_state=seed)),
        "SVR": lambda seed: SVR(), "SVR, scaled": lambda seed: scaled(SVR()), "Ridge": lambda seed: Ridge(),
    }  # fmt: skip
    return "\n\n".join(
        (
            folded(classifiers, classifications(), StratifiedKFold(3, shuffle=True, random_state=0), seeds),
            folded(regressors, regressions(), KFold(3, shuffle=True, random_state=0), seeds),
        )
    )


def folded(makers: dict[str, Any], tables: dict[str, Any], folds: Any, seeds: list[int]) -> str:
    """Scores over folds (accuracy, R²) × 100, mean ± deviation of the seeds, and seconds of a fit."""
    lines, means = ["| table | " + " | ".join(makers) + " |", "|---" * (len(makers) + 1) + "|"], []
    for name, (x, y) in tables.items():
        cells, row = [], []
        for make in makers.values():
            began = time.process_time()
            found = [100 * cross_val_score(make(seed), x, y, cv=folds).mean() for seed in seeds]
            seconds = (time.process_time() - began) / (folds.get_n_splits() * len(seeds))
            cells.append(f"{np.mean(found):.1f} ± {np.std(found):.1f} ({seconds:.1f} s)")
            row.append(np.mean(found))
        means.append(row)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "| mean | " + " | ".join(f"{x:.1f}" for x in np.mean(means, axis=0)) + " |"])


def table(rows: list[dict[str, Any]]) -> str:
    """Mean test accuracies in per cent, a row for each data set."""
    methods = [name for name in rows[0] if name not in ("data", "seconds")]
    lines = ["| data | " + " | ".join(methods) + " | seconds of a run |", "|---" * (len(methods) + 2) + "|"]
    for one in rows:
        cells = [f"{100 * np.mean(one[m]):.1f}" + (f" ± {100 * np.std(one[m]):.1f}" if len(one[m]) > 1 else "")
                 for m in methods]  # fmt: skip
        lines.append(f"| {one['data']} | " + " | ".join(cells) + f" | {np.median(one['seconds'][USUAL]):.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Run, and print the table."""
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES, help="data sets or files")
    parser.add_argument("--neurons", default="lif")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--estimators", action="store_true", help="estimators of scikit-learn on twelve tables instead")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.estimators:
        print(estimators([int(seed) for seed in options.seeds.split(",")]))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names:
            try:
                file = vibrations(Path(folder) / "vibrations.npz") if name == "vibrations" else name
                found = row(
                    file, [x for x in options.neurons.split(",") if x], [int(seed) for seed in options.seeds.split(",")]
                )
            except IzhiError as error:
                print(f"{name} is left out: {error}")
                continue
            rows.append({**found, "data": Path(name).stem if name.endswith(".npz") else name})
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
