"""The classifier for scikit-learn: its own checks, pipelines and searches."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from izhi import IzhiError
from izhi.connections import Linear
from izhi.network import Layer, Network
from izhi.neurons import LIF
from izhi.sklearn import SpikingClassifier
from numpy_kernels import uncompiled
from tiers import slow_but

__all__ = ["uncompiled"]  # for all tests here

IRIS = load_iris(return_X_y=True)


@pytest.mark.slow
@parametrize_with_checks([SpikingClassifier(hidden=(32,), steps=8, epochs=15)])
def test_it_is_an_estimator_as_scikit_learn_checks_them(estimator, check):
    check(estimator)


@pytest.mark.parametrize("neuron", slow_but(["normalized"], ["lif", "normalized", "RS"]))
def test_it_learns_flowers_with_any_neuron(neuron):
    scores = cross_val_score(SpikingClassifier((32,), neuron, random_state=0), *IRIS, cv=3)
    assert scores.mean() > 0.9


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
