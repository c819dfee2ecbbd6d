"""The published numbers are those of the papers, and can be told from one another."""

import pytest

from tinyfleet.simulations import published
from tinyfleet.simulations.published import Curve

CURVES = (
    *published.ACCURACY_BY_SHOTS,
    *published.LOSS_BY_PARAMETERS,
    *published.ACCURACY_BY_PARAMETERS,
)


def name(curve: Curve) -> str:
    return f"{curve.app}-{curve.method}-{curve.source.place}"


def by_parameters(app: str, method: str) -> Curve:
    return next(curve for curve in published.by_parameters(app) if curve.method == method)


@pytest.mark.parametrize("curve", CURVES, ids=name)
def test_a_published_curve_ascends_and_has_a_value_everywhere(curve: Curve) -> None:
    assert list(curve.x) == sorted(set(curve.x))
    assert len(curve.x) == len(curve.y)


@pytest.mark.parametrize("curve", [c for c in CURVES if c.app != published.SINE], ids=name)
def test_published_accuracies_are_percent(curve: Curve) -> None:
    assert all(10 < y < 100 for y in curve.y)


def test_no_two_curves_are_the_same() -> None:
    assert len({name(curve) for curve in CURVES}) == len(CURVES) == 3 + 3 + 9
    assert len({curve.y for curve in CURVES}) == len(CURVES)


@pytest.mark.parametrize(
    ("app", "shots", "accuracy"),
    [
        ("characters", 0, 20.6),
        ("characters", 1, 58.3),
        ("characters", 8, 91.4),
        ("characters", 16, 92.1),
        ("keywords", 1, 61.7),
        ("keywords", 4, 85.1),
        ("presence", 2, 79.6),
        ("presence", 16, 88.3),
    ],
)
def test_table_4_is_as_printed(app: str, shots: int, accuracy: float) -> None:
    curve = published.accuracy_by_shots(app)
    assert curve is not None
    assert curve.at(shots) == accuracy
    assert str(curve.source) == "TECS 2024 (printed, Table 4)"


@pytest.mark.parametrize(
    ("app", "method", "millions", "value"),
    [
        ("sine", "FedSGD", 2.5, 4.5),
        ("sine", "TinyReptile", 5.5, 0.41),
        ("sine", "TinyMetaFed", 3.5, 0.45),
        ("characters", "Reptile", 350, 80.5),
        ("characters", "TinyReptile", 400, 76.1),
        ("characters", "TinyMetaFed", 200, 78.1),
        ("keywords", "Reptile", 900, 77.6),
        ("keywords", "TinyReptile", 1600, 89.4),
        ("keywords", "TinyMetaFed", 700, 78.1),
        ("presence", "Reptile", 14.6, 88.5),
        ("presence", "TinyReptile", 2, 66.7),
        ("presence", "TinyMetaFed", 12, 89.9),
    ],
)
def test_figures_9_and_15_are_as_read(app: str, method: str, millions: float, value: float) -> None:
    curve = by_parameters(app, method)
    assert curve.at(millions) == value
    figure = "Figure 9" if app == "sine" else "Figure 15"
    assert str(curve.source) == f"TECS 2024 (read off {figure})"


@pytest.mark.parametrize(
    ("app", "fixed", "crossings"),
    [
        ("characters", 80, {"Reptile": 347, "TinyReptile": 431, "TinyMetaFed": 228}),
        ("keywords", 80, {"Reptile": 936, "TinyReptile": 1040, "TinyMetaFed": 737}),
        ("presence", 85, {"Reptile": 3.8, "TinyReptile": 5.4, "TinyMetaFed": 2.3}),
    ],
)
def test_curves_cross_a_fixed_accuracy_where_the_paper_says(
    app: str, fixed: float, crossings: dict[str, float]
) -> None:
    for method, millions in crossings.items():
        curve = by_parameters(app, method)
        after = next(i for i, y in enumerate(curve.y) if y >= fixed)
        assert curve.x[after - 1] <= millions <= curve.x[after]


def test_nothing_is_interpolated_between_published_points() -> None:
    assert by_parameters("sine", "TinyReptile").at(5.25) is None


def test_the_fine_tuned_sine_is_as_read() -> None:
    found = {one.method: (one.before, one.after) for one in published.SINE_FINE_TUNING}
    assert found == {"TinyReptile": (7.17, 0.131), "FedSGD": (8.13, 9.08)}


@pytest.mark.parametrize(
    ("ways", "transduction", "one_shot", "five_shots"),
    [
        (5, False, 95.39, 98.90),
        (20, False, 88.14, 96.65),
        (5, True, 97.68, 99.48),
        (20, True, 89.43, 97.12),
    ],
)
def test_reptile_2018_is_as_printed(
    ways: int, transduction: bool, one_shot: float, five_shots: float
) -> None:
    curve = published.omniglot(ways, transduction=transduction)
    assert curve is not None
    assert (curve.at(1), curve.at(5)) == (one_shot, five_shots)


def test_what_was_never_published_is_none() -> None:
    assert published.omniglot(7) is None
    assert published.accuracy_by_shots("sine") is None
    assert published.by_parameters("thermostat") == ()


def test_the_published_networks_have_the_printed_parameters() -> None:
    assert published.PARAMETERS == {
        "sine": 1_153,
        "characters": 108_229,
        "keywords": 105_124,
        "presence": 4_513,
    }
