from __future__ import annotations

import pytest

from evergreen.errors import ParamsError
from evergreen.params.load import load_params_text
from tests.conftest import SMALL


@pytest.mark.parametrize(
    ("preprocess", "messages"),
    [
        (
            "{columns: {sise: {impute: mean}}}",
            ["params.yaml:31: ", "`sise` is not a feature or an added column", "did you mean `size`?"],
        ),
        ("{columns: {size: {encode: target}}}", ["preprocess.columns.size.encode: `size` is numeric", "no `encode`"]),
        ("{columns: {team: {scale: log}}}", ["preprocess.columns.team.scale: `team` is categorical", "no `scale`"]),
        ("{columns: {team: {impute: median}}}", ["preprocess.columns.team.impute: `median` should be", "'mode'"]),
        ("{columns: {size: {impute: constant}}}", ["preprocess.columns.size: `impute: constant` needs `fill`"]),
        ("{numeric: {impute: constant}}", ["`impute: constant` needs `fill`"]),
        ("{numeric: {fill: 3}}", ["`fill` is of `impute: constant`, and impute is `none`"]),
        ("{numeric: {scale: standart}}", ["`preprocess.numeric.scale` is 'standart': did you mean `standard`?"]),
        ("{numeric: {outliers: {kind: quantile, low: 0.9, high: 0.1}}}", ["`low` is 0.9 and must be less than `high`"]),
        ("{numeric: {outliers: {kind: irq}}}", ["`preprocess.numeric.outliers.kind` is 'irq': did you mean `iqr`?"]),
        ("{numeric: {bin: {kind: edges, edges: [3, 1]}}}", ["`edges` must ascend"]),
        ("{categorical: {rare: {}}}", ["give either `share` or `count`"]),
        ("{categorical: {unknown: rare}}", ["`unknown: rare` needs `rare`"]),
        ("{categorical: {unknown: level}}", ["`unknown: level` needs `level`"]),
        (
            "{columns: {team: {encode: ordinal, order: [a, b], impute: constant, fill: none}}}",
            ["`fill` is `none`, which `order` does not name: it would have no code"],
        ),
        (
            "{columns: {team: {encode: ordinal, order: [a, b], unknown: level, level: c}}}",
            ["`level` is `c`, which `order` does not name"],
        ),
        ("{categorical: {order: [a]}}", ["`order` is of `encode: ordinal`, and encode is `native`"]),
        (
            "{interactions: {x: {ratio: [size, team]}}}",
            ["preprocess.interactions.x.ratio: `team` is not a numeric feature"],
        ),
        (
            "{interactions: {x: {cross: [size, team]}}}",
            ["preprocess.interactions.x.cross: `size` is not a categorical"],
        ),
        ("{interactions: {x: {}}}", ["give exactly one of ratio, product, difference, cross; found none"]),
        ("{interactions: {size: {ratio: [size, hour]}}}", ["the added column `size` has the name of another"]),
        ("{cyclical: {ours: 24}}", ["preprocess.cyclical.ours: `ours` is not a numeric feature; did you mean `hour`?"]),
        ("{calendar: {hour: {parts: [month]}}}", ["`hour` is not a feature of features.times; There is none"]),
        ("{drop_rows: [sise]}", ["preprocess.drop_rows: `sise` is not a feature; did you mean `size`?"]),
    ],
)
def test_a_mistake_names_its_key_its_value_and_what_would_be_right(preprocess: str, messages: list[str]) -> None:
    with pytest.raises(ParamsError) as raised:
        load_params_text(SMALL.replace("preprocess: {}", f"preprocess: {preprocess}"))
    for message in messages:
        assert message in str(raised.value)


def test_a_column_has_its_groups_settings_but_for_its_own() -> None:
    text = "{numeric: {impute: constant, fill: 0, scale: log}, columns: {size: {impute: mean}, hour: {scale: robust}}}"
    preprocess = load_params_text(SMALL.replace("preprocess: {}", f"preprocess: {text}")).preprocess
    size, hour, other = map(preprocess.numeric_of, ("size", "hour", "team_late_3d"))
    assert (size.impute, size.fill, size.scale) == ("mean", None, "log")
    assert (hour.impute, hour.fill, hour.scale) == ("constant", 0.0, "robust")
    assert other == preprocess.numeric


def test_a_time_needs_the_parts_that_the_model_is_to_see() -> None:
    timed = SMALL.replace("size: size, hour", "size: size, due: due, hour").replace(
        "  categorical: [team]", "  categorical: [team]\n  times: [due]"
    )
    with pytest.raises(ParamsError, match=r"features\.times: `due` is a time, .* names none"):
        load_params_text(timed)
    params = load_params_text(timed.replace("preprocess: {}", "preprocess: {calendar: {due: {parts: [hour]}}}"))
    assert params.features.names() == ["team", "size", "due", "hour", "team_late_3d"]
