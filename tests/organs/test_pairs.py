"""Left and right in names of organs as clinics and datasets write them."""

import pytest

from nnunetv2_focusnet.convert.layouts import LAYOUTS
from nnunetv2_focusnet.organs.pairs import Sides, find_sides


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("OpticNerve_L", "OpticNerve_R"),
        ("Parotid-Lt", "Parotid-Rt"),
        ("parotid_l", "parotid_r"),
        ("kidney_left", "kidney_right"),
        ("rib_left_1", "rib_right_1"),
        ("Left Lung", "Right Lung"),
        ("lung left", "lung right"),
        ("L_Cochlea", "R_Cochlea"),
        ("L.Eye", "R.Eye"),
        ("L_Eye", "Eye_R"),
        ("Eye_L", "Eye right"),
        ("Eye_L_lens", "Eye_R_lens"),
        ("Eye-L.nii", "Eye-R.nii"),
        ("Lens (L)", "Lens (R)"),
        ("LeftParotid", "RightParotid"),
        ("ParotidLeft", "ParotidRight"),
        ("parotidleft", "parotidright"),
        ("leftlung", "rightlung"),
        ("OpticNerveL", "OpticNerveR"),
        ("LParotid", "RParotid"),
        ("PAROTIDL", "PAROTIDR"),
        ("parotidl", "parotidr"),
        ("PAROTID_LT", "PAROTID_RT"),
        ("parotidlt", "parotidrt"),
        ("parotid_lft", "parotid_rgt"),
        ("Eye_AL", "Eye_AR"),
        ("Eye_PL", "Eye_PR"),
        ("A_Carotid_L", "A_Carotid_R"),
        ("Glnd_Lacrimal_L", "Glnd_Lacrimal_R"),
        ("GlndSubmandL", "GlndSubmandR"),
        ("TMjoint_L", "TMjoint_R"),
        ("Sehnerv_für_L", "Sehnerv_für_R"),
        ("Parotis li", "Parotis re"),
        ("Parotis li ganz", "Parotis re ganz"),
        ("Parotis_links", "Parotis_rechts"),
        ("Linke Parotis", "Rechte Parotis"),
        ("parotislinks", "parotisrechts"),
        ("PAROTISLI", "PAROTISRE"),
        ("Linkerlong", "Rechterlong"),  # Dutch
        ("Parotide_G", "Parotide_D"),
        ("OeilG", "OeilD"),
        ("Parotide gauche", "Parotide droite"),
        ("Œil gauche", "Œil droit"),
        ("Ojo izq", "Ojo der"),
        ("OJOIZQ", "OJODER"),
        ("Ojo izdo.", "Ojo dcho."),
        ("Parótida izquierda", "Parótida derecha"),
        ("Occhio sx", "Occhio dx"),
        ("Parotide sin", "Parotide dex"),
        ("Parotide sinistra", "Parotide destra"),
        ("Glandula sinistra", "Glandula dextra"),  # Latin
        ("Olho esq", "Olho dir"),
        ("Olho esquerdo", "Olho direito"),
        ("Oko lewe", "Oko prawe"),
        ("Levé oko", "Pravé oko"),  # Czech
        ("Lijevo oko", "Desno oko"),  # Croatian
        ("Глаз левый", "Глаз правый"),
        ("Глаз Л", "Глаз П"),
        ("Venstre øye", "Høyre øye"),  # Norwegian
        ("Vänster öga", "Höger öga"),
        ("Va\u0308nster o\u0308ga", "Ho\u0308ger o\u0308ga"),  # as macOS writes it in names of files
        ("Vasen silmä", "Oikea silmä"),  # Finnish
        ("Bal szem", "Jobb szem"),  # Hungarian
        ("Sol göz", "Sağ göz"),  # Turkish
        ("Αριστερός οφθαλμός", "Δεξιός οφθαλμός"),
        ("左腮腺", "右腮腺"),
        ("左侧腮腺", "右侧腮腺"),
        ("視神経_左", "視神経_右"),
        ("왼쪽 눈", "오른쪽 눈"),
        ("العين اليسرى", "العين اليمنى"),
        ("עין שמאל", "עין ימין"),
        ("ตาซ้าย", "ตาขวา"),
        ("Lens OS", "Lens OD"),  # of ophthalmologists
        ("L", "R"),
    ],
)
def test_names_of_a_pair(left: str, right: str) -> None:
    assert find_sides([right, left, "Larynx"]) == Sides(pairs=((left, right),))


@pytest.mark.parametrize(
    "names",
    [
        ["Larynx", "Lens", "Lips", "Retina"],
        ["Gland", "D", "G"],
        ["Hepatitis D", "Segment_G"],
        ["L1", "R1"],  # a vertebra and a rib
        ["C1", "C2", "T1", "T2", "vertebra_L1", "vertebra_L2"],
        ["Lymph_I", "Lymph_II", "Lymph_V", "Lymph_X"],
        ["LymphI", "LymphV"],
        ["Part_D", "Part_E", "Part_G"],  # of parts A to G
        ["NODED", "NODEE", "NODEG"],
        ["Cleft", "Bright"],
        ["Levator", "Direct", "Os hyoideum", "Kopf der Mandibula"],
        ["Brain", "Brainstem", "Glnd_Lacrimal", "Glnd_Thyroid"],
    ],
)
def test_names_that_tell_no_side(names: list[str]) -> None:
    assert find_sides(names) == Sides()


@pytest.mark.parametrize(
    ("names", "lonely"),
    [
        (["Lung_L", "Kidney_R"], ("Lung_L", "Kidney_R")),
        (["Lung_L", "Lung"], ("Lung_L",)),
        (["vertebra_L1", "vertebra_R"], ("vertebra_R",)),
        (["Left", "Lens_R"], ("Left", "Lens_R")),
        (["Eye_AL", "Eye_PR"], ("Eye_AL", "Eye_PR")),
        (["leftlung"], ("leftlung",)),
        (["左腮腺"], ("左腮腺",)),
        (["Ojo der"], ("Ojo der",)),
        (["Parotis re"], ("Parotis re",)),
    ],
)
def test_names_without_their_partner(names: list[str], lonely: tuple[str, ...]) -> None:
    assert find_sides(names) == Sides(lonely=lonely)


@pytest.mark.parametrize(
    "pair",
    [
        ("Lippe", "Rippe"),  # German for lip and rib
        ("leye", "reye"),
        ("LV", "RV"),
        ("OEILG", "OEILD"),
        ("Oko_L", "Oko_P"),  # Polish, or lateral and posterior
        ("Parotid_S", "Parotid_D"),  # Italian, or superficial and deep
        ("Øye_V", "Øye_H"),
        ("Ojo_I", "Ojo_D"),
    ],
)
def test_names_that_may_be_sides_are_doubtful(pair: tuple[str, str]) -> None:
    assert find_sides(["Larynx", *pair]) == Sides(doubtful=(pair,))


@pytest.mark.parametrize(
    "pair",
    [
        ("left atrium", "right atrium"),
        ("LAtrium", "RAtrium"),
        ("heart_ventricle_left", "heart_ventricle_right"),
        ("Ventricle_L", "Ventricle_R"),
        ("atrial_appendage_left", "atrial_appendage_right"),
        ("liver_left_lobe", "liver_right_lobe"),
        ("lung_upper_lobe_left", "lung_upper_lobe_right"),
    ],
)
def test_left_and_right_that_are_no_mirror_images_are_no_pair_until_somebody_says_so(pair: tuple[str, str]) -> None:
    assert find_sides(["Aorta", *pair]) == Sides(unlike=(pair,))
    assert find_sides(["Aorta", *pair], [pair]) == Sides(pairs=(pair,))


@pytest.mark.parametrize(
    "pair",
    [
        ("Left-Lateral-Ventricle", "Right-Lateral-Ventricle"),
        ("Lat_Ventricle_L", "Lat_Ventricle_R"),
        ("LatVentricle_L", "LatVentricle_R"),
        ("Cerebral_Ventricle_L", "Cerebral_Ventricle_R"),
        ("Laryngeal_Ventricle_L", "Laryngeal_Ventricle_R"),
        ("TemporalLobe_L", "TemporalLobe_R"),
        ("frontal lobe left", "frontal lobe right"),
        ("Lung_L", "Lung_R"),
        ("Globe_L", "Globe_R"),
    ],
)
def test_mirror_images_with_similar_names_are_pairs(pair: tuple[str, str]) -> None:
    assert find_sides(["Aorta", *pair]) == Sides(pairs=(pair,))


def test_one_letter_in_the_same_place_of_several_pairs_is_no_chance() -> None:
    assert find_sides(["leye", "reye", "lcochlea", "rcochlea"]).pairs == (("leye", "reye"), ("lcochlea", "rcochlea"))
    assert find_sides(["OEILG", "OEILD", "LOBEG", "LOBED"]).pairs == (("OEILG", "OEILD"), ("LOBEG", "LOBED"))
    assert find_sides(["rib_l1", "rib_r1", "rib_l2", "rib_r2"]).pairs == (("rib_l1", "rib_r1"), ("rib_l2", "rib_r2"))


@pytest.mark.parametrize("pair", [("Ohr_xa", "Ohr_xb"), ("GTVp", "GTVn"), ("OJEX", "OJEY"), ("Llygad_ch", "Llygad_de")])
def test_names_that_differ_in_something_short_are_pointed_out(pair: tuple[str, str]) -> None:
    assert find_sides(["Larynx", *pair]) == Sides(similar=(pair,))


def test_names_that_two_others_may_belong_to_are_no_pair() -> None:
    found = find_sides(["parotidl", "parotidr", "parotidrt"])
    assert found.pairs == ()
    assert {name for pair in found.doubtful for name in pair} == {"parotidl", "parotidr", "parotidrt"}


def test_a_side_in_a_pair_is_a_side_in_other_names() -> None:
    assert find_sides(["Oeil_G", "Oeil_D", "Parotide_G"]) == Sides((("Oeil_G", "Oeil_D"),), lonely=("Parotide_G",))


def test_named_pairs_are_taken_as_they_are() -> None:
    names = ["Eye_L", "Eye_R", "one", "other", "Parotid_S", "Parotid_D", "Cochlea_R"]
    named = [("other", "one"), ("Eye_L", "Eye_R")]
    assert find_sides(names, named) == Sides((("other", "one"), ("Eye_L", "Eye_R")), lonely=("Cochlea_R",))
    assert find_sides(["leye", "reye"], []) == Sides()


@pytest.mark.parametrize("layout", [name for name, layout in LAYOUTS.items() if layout.organs])
def test_organs_of_public_data_sets(layout: str) -> None:
    """Sides are L and R at the end of their names, or Lt and Rt."""
    names = LAYOUTS[layout].organs
    ends = {"L": "R", "-Lt": "-Rt"}
    left = {name: name.removesuffix(end) + ends[end] for name in names for end in ends if name.endswith(end)}
    assert find_sides(names) == Sides(pairs=tuple(left.items()))
    assert left
