"""Measures of the quality of frozen features."""

from keras_mvssl.evaluation.batch_statistics import with_batch_statistics
from keras_mvssl.evaluation.features import extract_features
from keras_mvssl.evaluation.linear import linear_probe
from keras_mvssl.evaluation.neighbors import knn
from keras_mvssl.evaluation.sixteen_views import probe_16_views
from keras_mvssl.evaluation.spectrum import alpha_req
from keras_mvssl.evaluation.spectrum import covariance_eigenvalues
from keras_mvssl.evaluation.spectrum import effective_rank
from keras_mvssl.evaluation.spectrum import participation_ratio
from keras_mvssl.evaluation.spectrum import rankme
from keras_mvssl.evaluation.spectrum import spectrum

__all__ = [
    "alpha_req",
    "covariance_eigenvalues",
    "effective_rank",
    "extract_features",
    "knn",
    "linear_probe",
    "participation_ratio",
    "probe_16_views",
    "rankme",
    "spectrum",
    "with_batch_statistics",
]
