"""``ImbalanceSearchCV`` keeps scikit-learn's contract of estimators."""

import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from imblab import ImbalanceSearchCV


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


SEARCHES = [
    ImbalanceSearchCV(LogisticRegression()),
    ImbalanceSearchCV(RidgeClassifier(), strategies=["threshold"]),
    ImbalanceSearchCV(DecisionTreeClassifier(max_depth=5), strategies=["none", "random_over"]),
]


@parametrize_with_checks(SEARCHES)
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)
