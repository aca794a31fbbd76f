"""How a card describes the decisions of a model between more than two classes."""

from imblab.analysis.card_decisions import describe_decisions
from imblab.result import Evaluation

LABELS, ROWS = ("common", "mid|dle", "rare"), (80, 15, 5)
MATRIX = ((8, 0, 0), (1, 1, 0), (1, 0, 0))


def evaluation(threshold, recall=(1.0, 0.5, 0.25), precision=(0.8, 1.0, None)):
    scores = {"recall": recall, "precision": precision}
    place = ("d", "l", "s", 0, 0, {}, threshold)
    return Evaluation(*place, {}, {}, 0.1, "ok", None, "f", class_scores=scores, confusion=MATRIX)


def test_a_class_has_its_rows_thresholds_and_scores():
    card = describe_decisions(LABELS, ROWS, (0.5, 0.3, 0.1))
    members = [evaluation((0.5, 0.3, 0.05)), evaluation((0.5, 0.4, 0.2), recall=(0.5, 0.5, 0.75))]
    title, table, note = card.class_section(members)
    assert title == "## Classes"
    assert table.splitlines() == [
        "| class | rows | share | threshold | outer folds | recall | precision |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| `common` | 80 | 80.00% | 0.5 | 0.5 | 0.750 | 0.800 |",
        "| `mid¦dle` | 15 | 15.00% | 0.3 | 0.3 to 0.4 | 0.500 | 1.000 |",
        "| `rare` | 5 | 5.00% | 0.1 | 0.05 to 0.2 | 0.500 | - |",
    ]
    assert "a dash stands for one that is undefined in a fold" in note
    assert not card.is_fixed(members)
    assert card.is_fixed([evaluation((0.5, 0.3, 0.1))])
    lead = card.lead("d", "probability")
    assert lead.startswith("Predicts for a row of `d` the class with the largest (1 - t) / t times its probability")


def test_decision_values_and_equal_thresholds_are_one_sentence():
    compared = "decision value d, as 1 / (1 + exp(-d)),"
    lead = describe_decisions(LABELS, ROWS, (0.5, 0.3, 0.1)).lead("d", compared)
    assert "times its decision value d, as 1 / (1 + exp(-d)), where t is the threshold" in lead
    lead = describe_decisions(LABELS, ROWS, (0.5, 0.5, 0.5)).lead("d", "probability")
    assert lead == "Predicts for a row of `d` the class with the largest probability; ties go to the rarer class"


def test_a_fixed_threshold_was_not_chosen_for_the_shares():
    for labels, rows, threshold in ((LABELS, ROWS, (0.5, 0.5, 0.5)), (("no", "yes"), (95, 5), 0.5)):
        card = describe_decisions(labels, rows, threshold)
        assert "chosen" not in card.population(False)
        assert "chosen" in card.population(True)


def test_costs_have_no_thresholds():
    card = describe_decisions(LABELS, ROWS, None)
    members = [evaluation(None)]
    assert card.is_fixed(members)
    assert "the class of least expected cost, by the costs of the strategy" in card.lead("d", "probability")
    assert card.threshold() == "a decision by costs"
    assert "| `rare` | 5 | 5.00% | 0.250 | - |" in next(iter(list(card.class_section(members))[1:]))
    assert (
        card.use(False)
        == "`predict` gives labels by the costs, `decision_function` a value per class in the order of `classes_`"
    )
