import json

import pytest

from nnunetv2_focusnet.architectures.config import (
    AnatomyNetConfig,
    DeepLabConfig,
    FocusNetConfig,
    SEResUNetConfig,
    SNetConfig,
)

CONFIG = FocusNetConfig(
    main=SNetConfig(features_per_stage=(8, 16), dilations=((1, 3, 3),)),
    small_organs=(4, 2),
    roi_sizes=((2, 4, 4), (4, 2, 6)),
    sos_features=3,
    gradient_to_main=0.25,
)


MAIN_NETWORKS = [
    SEResUNetConfig(features_per_stage=(4, 6), kernel_sizes=((1, 3, 3), (3, 3, 3)), strides=((1, 2, 2),)),
    DeepLabConfig(
        features_per_stage=(4, 6),
        kernel_sizes=((1, 3, 3), (3, 3, 3)),
        strides=((1, 2, 2),),
        last_dilation=(1, 2, 2),
        dilations=((1, 2, 2), (2, 4, 4)),
        aspp_features=6,
        low_level_features=2,
        decoder_features=4,
    ),
    AnatomyNetConfig(features_per_stage=(4, 5), kernel_sizes=((1, 3, 3), (3, 3, 3)), stride=(1, 2, 2)),
]


@pytest.mark.parametrize(
    "config", [CONFIG, FocusNetConfig(main=None), *(FocusNetConfig(main=main) for main in MAIN_NETWORKS)]
)
def test_comes_back_from_a_file_as_it_was(config):
    assert FocusNetConfig.from_json(json.loads(json.dumps(config.as_json()))) == config


def test_every_number_is_written_so_that_changed_defaults_change_no_model():
    written = FocusNetConfig().as_json()
    assert written["detection_threshold"] == 0.2
    assert written["logit_outside_roi"] == -10
    assert written["main"]["n_blocks"] == 3
    for lost in written.keys() - {"format"}:
        with pytest.raises(ValueError, match=f"unknown: {lost}"):
            FocusNetConfig.from_json({name: value for name, value in written.items() if name != lost})


@pytest.mark.parametrize("found", [None, 0, 1, 3, "2"])
def test_another_format_is_refused_in_one_line(found):
    with pytest.raises(ValueError, match=f"in format {found}, but .* reads format 2: predict with the version"):
        FocusNetConfig.from_json(CONFIG.as_json() | {"format": found})


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"sos_channels": 4}, "sos_channels"),
        ({"main": {"kind": "S-Net", "n_blocks": 3}}, "dilations, features_per_stage, kernel_sizes, stride"),
        ({"main": {"n_blocks": 3}}, "main is none of S-Net, SERes U-Net, DeepLab v3\\+, AnatomyNet but"),
        ({"main": 7}, "as it was written"),
    ],
)
def test_what_was_not_written_so_is_refused(changed, names):
    with pytest.raises(ValueError, match=names) as refused:
        FocusNetConfig.from_json(CONFIG.as_json() | changed)
    assert "\n" not in str(refused.value)
