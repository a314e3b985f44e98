"""Figures of a core's resources and cycles."""

import pytest

from izhi.experiments import plots


def test_every_core_has_its_points_and_its_colour():
    figure = plots.work([100, 200, 300], {"32 lanes": [1000, 2000, 3000], "8 lanes": [4000, 5000, 9000]}, "work")
    [axes] = figure.axes
    drawn = {x.get_label(): x.get_offsets().tolist() for x in axes.collections}
    assert drawn == {
        "32 lanes": [[100, 1], [200, 2], [300, 3]],
        "8 lanes": [[100, 4], [200, 5], [300, 9]],
    }
    assert len({tuple(x.get_facecolor()[0]) for x in axes.collections}) == 2
    assert axes.get_xlim()[0] == 0


def test_shares_of_resources_have_their_numbers():
    figure = plots.resources({"LUTs": 500, "memories": 30}, {"LUTs": 1000, "memories": 20}, "board")
    [axes] = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [50, 150]
    assert {"500 of 1,000", "30 of 20"} <= {text.get_text() for text in axes.texts}
    assert axes.get_xlim()[1] == pytest.approx(195)
