"""Training by evolution, without gradients: over weights, neuron coefficients, or both."""

from izhi.training.evolution.evolve import Evolution, Members
from izhi.training.evolution.population import Genome, Population
from izhi.training.evolution.search import SEARCHES, Search

__all__ = ["SEARCHES", "Evolution", "Genome", "Members", "Population", "Search"]
