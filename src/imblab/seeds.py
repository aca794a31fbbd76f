"""The one rule of randomness.

Everything random in repeat ``r`` (splits, samplers, learners, search) gets ``seed + r``: never anything derived from
the strategy or the learner, so that strategies share random numbers and their differences are paired.
"""


def of_repeat(seed: int, repeat: int) -> int:
    """The random state of one repeat.

    Parameters
    ----------
    seed : int
        The seed of the study.
    repeat : int
        Counts from 0.

    Returns
    -------
    int

    Examples
    --------
    >>> of_repeat(7, 2)
    9
    """
    return seed + repeat
