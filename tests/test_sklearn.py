"""The estimators for scikit-learn: its own checks, pipelines and searches, weights, and training that goes on."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_friedman1
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from izhi import IzhiError
from izhi.connections import Linear
from izhi.network import Layer, Network
from izhi.neurons import LIF
from izhi.sklearn import SpikingClassifier, SpikingRegressor
from numpy_kernels import uncompiled
from tiers import slow_but

__all__ = ["uncompiled"]  # for all tests here

#: Checks whose tolerance is smaller than the rounding of training in float32; of weights there are tests below.
BEYOND_FLOAT32 = {"check_sample_weight_equivalence_on_dense_data": "probabilities agree within 2e-7, not 1e-7"}

IRIS = load_iris(return_X_y=True)
FRIEDMAN = make_friedman1(150, random_state=3)
#: Both estimators, small, and samples for them.
BOTH = pytest.mark.parametrize(
    ("model", "samples"),
    [
        (SpikingClassifier((8,), steps=8, epochs=3, random_state=4), IRIS),
        (SpikingRegressor((8,), steps=8, epochs=3, random_state=4), FRIEDMAN),
    ],
    ids=["classifier", "regressor"],
)


def answers(model, samples):
    """Everything that an estimator says of samples, as numbers."""
    return model.predict_proba(samples[0]) if hasattr(model, "predict_proba") else model.predict(samples[0])


@pytest.mark.slow
@parametrize_with_checks(
    [SpikingClassifier(hidden=(32,), steps=8, epochs=15), SpikingRegressor(hidden=(32,), steps=8, epochs=15)],
    expected_failed_checks=lambda estimator: {} if isinstance(estimator, SpikingRegressor) else BEYOND_FLOAT32,
)
def test_it_is_an_estimator_as_scikit_learn_checks_them(estimator, check):
    check(estimator)


@pytest.mark.parametrize("neuron", slow_but(["lif"], ["lif", "normalized", "RS"]))
def test_it_learns_flowers_with_any_neuron(neuron):
    scores = cross_val_score(SpikingClassifier((32,), neuron, random_state=0), *IRIS, cv=3)
    assert scores.mean() > 0.9


@pytest.mark.slow
def test_in_a_pipeline_and_a_search():
    steps = make_pipeline(StandardScaler(), SpikingClassifier((16,), epochs=10, random_state=0))
    search = GridSearchCV(steps, {"spikingclassifier__learning_rate": [1e-6, 1e-2]}, cv=2).fit(*IRIS)
    assert search.best_params_ == {"spikingclassifier__learning_rate": 1e-2}
    assert search.score(*IRIS) > 0.85


def test_the_same_seed_gives_the_same_network_before_and_after_pickling():
    one, two = (SpikingClassifier((8,), epochs=2, random_state=4).fit(*IRIS) for _ in range(2))
    again = pickle.loads(pickle.dumps(one))
    for other in (two, again):
        np.testing.assert_array_equal(one.predict_proba(IRIS[0]), other.predict_proba(IRIS[0]))
    assert one.predict_proba(IRIS[0]).sum(1) == pytest.approx(1)


@pytest.mark.slow
def test_a_network_of_ones_own_and_learned_coefficients():
    def network(features, classes):
        return Network([Layer(Linear(features, 20, recurrent=True), LIF())], readout=Linear(20, classes))

    found = SpikingClassifier(network=network, epochs=15, random_state=0).fit(*IRIS)
    assert found.network_.layers[0].connection.feedback is not None
    assert found.score(*IRIS) > 0.85
    learned = SpikingClassifier((8,), learn=("a2", "c"), epochs=1, random_state=0).fit(*IRIS)
    assert learned.network_.layers[0].neuron.learned["c"].shape == (8,)
    with pytest.raises(IzhiError, match="encoding is 'morse', expected one of rate, latency, constant"):
        SpikingClassifier(encoding="morse").fit(*IRIS)


@pytest.mark.slow
def test_a_regression_is_better_than_a_plane():
    x, y = make_friedman1(300, random_state=5)
    train, test = slice(0, 200), slice(200, None)
    model = SpikingRegressor(random_state=0).fit(x[train], y[train])
    assert model.score(x[test], y[test]) > Ridge().fit(x[train], y[train]).score(x[test], y[test]) + 0.05


@pytest.mark.slow
def test_targets_keep_their_form_and_scale():
    x, y = FRIEDMAN
    both = np.stack([1000 * y + 5000, -y], axis=1)
    several = SpikingRegressor((16,), steps=10, epochs=20, random_state=0).fit(x, both)
    assert several.predict(x).shape == (150, 2)
    assert several.score(x, both) > 0.6
    column = SpikingRegressor((8,), steps=5, epochs=1, random_state=0).fit(x, y[:, None])
    assert column.predict(x[:5]).shape == (5, 1)


@BOTH
def test_a_weight_of_0_is_a_sample_that_is_not_there(model, samples):
    x, y = samples
    there = np.arange(len(x)) % 3 > 0
    odd = np.where(there[:, None], x, 1e6)  # which would change means and steps
    weighted = clone(model).fit(odd, y, sample_weight=there)
    np.testing.assert_array_equal(answers(weighted, samples), answers(clone(model).fit(x[there], y[there]), samples))
    went_on, plain = (clone(model).fit(x, y) for _ in range(2))
    went_on.partial_fit(odd, y, sample_weight=there)
    np.testing.assert_array_equal(answers(went_on, samples), answers(plain.partial_fit(x[there], y[there]), samples))


@BOTH
def test_a_weight_of_2_is_a_sample_that_is_there_twice(model, samples):
    x, y = samples
    weights = 1.0 + np.arange(len(x)) % 2
    model = clone(model).set_params(batch_size=1000, epochs=10, learning_rate=1e-3)
    weighted = clone(model).fit(x, y, sample_weight=weights)
    twice = clone(model).fit(x.repeat(weights.astype(int), axis=0), y.repeat(weights.astype(int)))
    plain = clone(model).fit(x, y)
    np.testing.assert_allclose(answers(weighted, samples), answers(twice, samples), rtol=1e-4)
    assert np.abs(answers(plain, samples) / answers(weighted, samples) - 1).max() > 1e-3
    np.testing.assert_array_equal(
        answers(weighted, samples), answers(clone(model).fit(x, y, sample_weight=4 * weights), samples)
    )


@BOTH
def test_weights_count_over_all_samples_not_within_a_batch(model, samples):
    """Else the few heavy samples of one batch would count less than those of another."""
    x, y = samples
    weights = np.where(np.arange(len(x)) % 7, 1.0, 50.0)
    model = clone(model).set_params(epochs=1, learning_rate=1e-12)
    losses = [
        clone(model).set_params(batch_size=size).fit(x, y, weights).history_[0]["train_loss"] for size in (10, 1000)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@BOTH
def test_partial_fit_goes_on_from_network_optimiser_and_pickle(model, samples):
    x, y = samples
    fitted = clone(model).fit(x, y)
    network, loss = fitted.network_, fitted.history_[-1]["train_loss"]
    again = pickle.loads(pickle.dumps(fitted))
    for _ in range(3):
        fitted.partial_fit(x, y)
        again.partial_fit(x, y)
    assert fitted.network_ is network
    assert [row["epoch"] for row in fitted.history_] == [1, 2, 3, 4, 5, 6]
    assert fitted.history_[-1]["train_loss"] < loss
    np.testing.assert_array_equal(answers(fitted, samples), answers(again, samples))
    steps = {int(state["step"]) for state in fitted.optimizer_.state.values()}
    assert steps == {6 * -(-len(x) // 32)}


@BOTH
def test_partial_fit_standardises_by_all_samples_so_far(model, samples):
    x, y = samples
    order = np.argsort(x[:, 0])  # each call sees other values
    extra = {"classes": [0, 1, 2]} if y.dtype.kind == "i" else {}
    model = clone(model)
    for index in np.split(order, 5):
        model.partial_fit(x[index], y[index], **extra)
    np.testing.assert_allclose(model.scaler_.mean_, x.mean(0))
    np.testing.assert_allclose(model.scaler_.scale_, x.std(0))
    if not extra:
        np.testing.assert_allclose(model.target_scaler_.mean_, y.mean())


@pytest.mark.slow
def test_partial_fit_alone_learns():
    x, y = IRIS
    order, model = np.random.default_rng(0).permutation(len(x)), SpikingClassifier(random_state=0)
    for _ in range(6):
        for index in np.split(order, 3):
            model.partial_fit(x[index], y[index], classes=np.unique(y))
    assert model.score(x, y) > 0.9
    regressor = SpikingRegressor(random_state=0)
    for _ in range(20):
        regressor.partial_fit(*FRIEDMAN)
    assert regressor.score(*FRIEDMAN) > 0.7


def test_classes_that_come_later_are_named_at_first():
    x, y = IRIS
    model = SpikingClassifier((8,), random_state=0).partial_fit(x[:60], y[:60], classes=[0, 1, 2])
    assert model.predict_proba(x).shape == (150, 3)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        SpikingClassifier((8,)).partial_fit(x, y)
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(x, y, classes=[0, 1])
    with pytest.raises(IzhiError, match="a label is 7, expected one of .0, 1, 2.; give every label as classes="):
        model.partial_fit(x, np.where(y == 2, 7, y))
    fresh = SpikingClassifier((8,), random_state=0)
    with pytest.raises(IzhiError, match="a label is 2, expected one of .0, 1."):
        fresh.partial_fit(x, y, classes=[0, 1])
    assert fresh.partial_fit(x[:100], y[:100], classes=[0, 1]).score(x[:100], y[:100]) > 0.4


@BOTH
def test_wrong_weights_and_targets_are_named(model, samples):
    x, y = samples
    with pytest.raises(IzhiError, match="a sample weight is -2, expected numbers from 0"):
        clone(model).fit(x, y, sample_weight=np.where(np.arange(len(x)) == 3, -2, 1))
    with pytest.raises(IzhiError, match="every sample weight is zero, expected one above 0 at least"):
        clone(model).fit(x, y, sample_weight=np.zeros(len(x)))
    with pytest.raises(IzhiError, match="batch_size"):
        clone(model).set_params(batch_size=0).fit(x, y)


def test_targets_of_another_form_are_named():
    x, y = FRIEDMAN
    model = SpikingRegressor((8,), epochs=1).fit(x, y)
    with pytest.raises(IzhiError, match=r"y has shape \(150, 2\), expected \(150,\) as in the first call"):
        model.partial_fit(x, np.stack([y, y], axis=1))
