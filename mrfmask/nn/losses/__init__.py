"""Losses that train the potentials of a model from target masks.

| loss | inference | what it makes likely or lowest |
|---|---|---|
| StructuredHinge | one cut | the target below all others by a margin |
| Perceptron | one cut | the target at the minimum |
| PseudoLikelihood | none | every pixel given its neighbours |
| MeanFieldLikelihood | mean field | every pixel under mean field |
| ExactLikelihood | elimination of narrow grids or crops | the whole mask |
| PersistentLikelihood | Gibbs sampling | the whole mask, by its gradient |
"""

from mrfmask.nn.losses.exact_likelihood import ExactLikelihood
from mrfmask.nn.losses.loss import Loss, LossDetails
from mrfmask.nn.losses.max_margin import Perceptron, StructuredHinge
from mrfmask.nn.losses.mean_field_likelihood import MeanFieldLikelihood
from mrfmask.nn.losses.persistent_likelihood import PersistentLikelihood
from mrfmask.nn.losses.pseudo_likelihood import PseudoLikelihood

__all__ = [
    "ExactLikelihood",
    "Loss",
    "LossDetails",
    "MeanFieldLikelihood",
    "Perceptron",
    "PersistentLikelihood",
    "PseudoLikelihood",
    "StructuredHinge",
]
