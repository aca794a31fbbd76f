"""``ImbalanceSearchCV`` keeps scikit-learn's contract of estimators."""

import numpy as np
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


class SameRows:
    """Fit and validate on all rows: for checks that hold one row of a class, which no folds can share out."""

    def split(self, X, y=None, groups=None):
        yield np.arange(len(X)), np.arange(len(X))

    def get_n_splits(self, X=None, y=None, groups=None):
        return 1

    def __repr__(self):
        return "SameRows()"


#: Checks that fit classes of one or two rows. A study refuses them: every inner fold needs rows of each class. The
#: same checks pass with ``SameRows``, which shows that nothing else is amiss.
SMALL_CLASSES = (
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_f_contiguous_array_estimator",
    "check_fit2d_1feature",
    "check_fit2d_predict1d",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
)


#: The check that predict is the class of the largest probability; it passes where every threshold is .5.
LARGEST_PROBABILITY = "check_classifiers_train"


def expected_failures(estimator):
    rows = "the check fits classes of one or two rows, and every inner fold needs rows of each class"
    expected = {} if isinstance(estimator.cv, SameRows) else dict.fromkeys(SMALL_CLASSES, rows)
    if any("threshold" in strategy for strategy in estimator.strategies):
        expected[LARGEST_PROBABILITY] = "a tuned threshold decides, not the largest probability"
    return expected


SEARCHES = [
    ImbalanceSearchCV(LogisticRegression()),
    ImbalanceSearchCV(LogisticRegression(), strategies=["none", "class_weight"], cv=SameRows()),
    ImbalanceSearchCV(RidgeClassifier(), strategies=["threshold"], cv=SameRows()),
    ImbalanceSearchCV(DecisionTreeClassifier(max_depth=5), strategies=["none", "random_over"], cv=SameRows()),
]


@pytest.mark.sampled(9)
@parametrize_with_checks(SEARCHES, expected_failed_checks=expected_failures)
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)
