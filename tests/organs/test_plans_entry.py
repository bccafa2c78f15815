"""What plans carry of a model's organs and network, and the table of it."""

import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from nnunetv2_focusnet.architectures.config import FocusNetConfig
from nnunetv2_focusnet.organs.organ import Organ, SmallOrgan
from nnunetv2_focusnet.organs.organ_table import organ_table
from nnunetv2_focusnet.organs.plans_entry import (
    Laterality,
    PlansEntry,
    has_entry,
    is_planned_for_others,
    read_small_organs,
)

LENS = SmallOrgan(
    name="Lens",
    label=2,
    roi_size=(4, 6, 6),
    wanted_roi_size=(6, 6, 6),
    sigma=(1.0, 1.5, 3.0),
    diameter_mm=5 / 3,
    volume_voxels=4.0,
)
ENTRY = PlansEntry(
    organs=(
        Organ("Brain", 1, 156.0, (8.0, 5.0, 3.5), 3, (150.0, 160.0)),
        Organ("Lens", 2, 4.0, (2.0, 2.0, 1.0), 2, (4.0, 4.0)),
    ),
    small_organs=(LENS,),
    focal_weights=(0.5, 1.0, 39.0),
    network=FocusNetConfig(small_organs=(2,), roi_sizes=((4, 6, 6),)),
    laterality=Laterality(2, True, ((3, 4), (6, 5))),
)
PLANS = {"configurations": {"2d": {}, "3d_fullres": {"patch_size": [4, 32, 32]}}}


def test_comes_back_from_the_plans_as_it_was() -> None:
    untouched = deepcopy(PLANS)
    plans = json.loads(json.dumps(ENTRY.added_to(PLANS, "3d_fullres")))
    assert untouched == PLANS
    assert plans["configurations"]["2d"] == {}
    configuration = plans["configurations"]["3d_fullres"]
    assert configuration["patch_size"] == [4, 32, 32]
    assert PlansEntry.of(configuration) == ENTRY
    assert read_small_organs(configuration) == (LENS,)
    assert ENTRY.added_to(plans, "3d_fullres") == plans


def test_a_model_has_an_entry_in_its_own_configuration_alone() -> None:
    planned = deepcopy(PLANS)
    planned["configurations"] |= {"3d_lowres": {"focusnet": ENTRY.to_json()}, "3d_fullres": {"focusnet": {}}}
    configurations = ENTRY.added_to(planned, "3d_fullres")["configurations"]
    assert [name for name, content in configurations.items() if has_entry(content)] == ["3d_fullres"]


def test_an_entry_of_another_version_is_named() -> None:
    with pytest.raises(ValueError, match=r"of another version .* plan again"):
        is_planned_for_others({"focusnet": {"organs": [{"name": "Lens"}]}}, ENTRY.organs)


def test_small_organs_have_no_networks_in_a_main_network_alone() -> None:
    assert ENTRY.organs_with_networks == (LENS,)
    assert replace(ENTRY, network=FocusNetConfig()).organs_with_networks == ()


def test_small_organs_of_a_network_in_another_format_are_known() -> None:
    configuration = ENTRY.added_to(PLANS, "3d_fullres")["configurations"]["3d_fullres"]
    configuration["focusnet"]["network"]["format"] = 99
    assert read_small_organs(configuration) == (LENS,)
    with pytest.raises(ValueError, match="in format 99"):
        PlansEntry.of(configuration)


@pytest.mark.parametrize(
    ("organs", "others"),
    [
        (ENTRY.organs, False),
        # 156 and 156.1 differ by 0.0006 of their size, as rounded spacings in headers may; 156 and 157 by 0.006.
        ((replace(ENTRY.organs[0], volume_mm3=156.1), ENTRY.organs[1]), False),
        ((replace(ENTRY.organs[0], volume_mm3=157.0), ENTRY.organs[1]), True),
        ((replace(ENTRY.organs[0], extent_mm=(8.0, 5.0, 4.0)), ENTRY.organs[1]), True),
        ((replace(ENTRY.organs[0], num_cases=4), ENTRY.organs[1]), True),
        (ENTRY.organs[:1], True),
    ],
)
def test_plans_that_were_made_for_other_organs(organs: tuple[Organ, ...], others: bool) -> None:
    configuration = ENTRY.added_to(PLANS, "3d_fullres")["configurations"]["3d_fullres"]
    assert is_planned_for_others(configuration, organs) == others
    assert not is_planned_for_others(PLANS["configurations"]["3d_fullres"], organs)  # it was planned for none


WRITTEN: dict[str, Any] = ENTRY.added_to(PLANS, "3d_fullres")["configurations"]["3d_fullres"]["focusnet"]


@pytest.mark.parametrize(
    ("configuration", "what"),
    [
        ({}, "lacks 'focusnet'"),
        *(({"focusnet": {k: v for k, v in WRITTEN.items() if k != lost}}, lost) for lost in WRITTEN),
        ({"focusnet": 7}, "of another form"),
        ({"focusnet": WRITTEN | {"small_organ": []}}, "unknown: small_organ"),
        ({"focusnet": WRITTEN | {"network": None}}, "of another form"),
        ({"focusnet": WRITTEN | {"organs": [{"name": "Brain"}]}}, "Organ, missing or unknown: extent_mm, label,"),
        ({"focusnet": WRITTEN | {"small_organs": ["Lens"]}}, "SmallOrgan is no object but 'Lens'"),
    ],
)
def test_what_is_not_as_it_was_written_is_refused_in_one_line(configuration: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=r"plans\.json isn't the one that the network was trained with") as error:
        PlansEntry.of(configuration)
    assert what in str(error.value)
    assert "\n" not in str(error.value)


def test_table_shows_every_organ() -> None:
    head, brain, lens = (" ".join(line.split()) for line in organ_table(ENTRY, (2.0, 1.0, 0.5)).splitlines())
    assert head.startswith("organ label cases")
    assert brain == "Brain 1 3 156 156 8.0 x 5.0 x 3.5 1.00"
    assert lens == "Lens 2 2 4 4 2.0 x 2.0 x 1.0 39.00 4 x 6 x 6"
