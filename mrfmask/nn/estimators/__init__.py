"""How gradients pass through a mask: one file an estimator, and their table."""

from mrfmask.nn.estimators.covariance import CovarianceEstimator
from mrfmask.nn.estimators.estimator import Draw, Estimator
from mrfmask.nn.estimators.gumbel import GumbelEstimator
from mrfmask.nn.estimators.imle import ImleEstimator
from mrfmask.nn.estimators.mean_field import MeanFieldEstimator
from mrfmask.nn.estimators.score_function import ScoreFunctionEstimator
from mrfmask.nn.estimators.tv_prox import TvProxEstimator

# The one registry: `MaskLayer` and its tests read it.
ESTIMATORS: dict[str, type[Estimator]] = {
    estimator.name: estimator
    for estimator in (
        MeanFieldEstimator,
        ScoreFunctionEstimator,
        CovarianceEstimator,
        ImleEstimator,
        GumbelEstimator,
        TvProxEstimator,
    )
}

__all__ = ["ESTIMATORS", "Draw", "Estimator"]
