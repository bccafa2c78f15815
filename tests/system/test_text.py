from nnunetv2_focusnet.system.text import in_columns, last_line, one_line, with_kind


def test_one_line_has_nothing_that_cannot_be_seen() -> None:
    assert one_line(" Lens\n\tleft\x1b\u200b \u00e9 \u6676 ") == "Lens left é 晶"


def test_of_simpleitks_errors_the_last_line_counts() -> None:
    error = RuntimeError("Exception thrown in SimpleITK ReadImage:\n/src/sitkFile.cxx:97:\n  it doesn't exist. \n")
    assert last_line(error) == "it doesn't exist."
    assert last_line(RuntimeError()) == "RuntimeError"


def test_what_a_key_error_says_is_told_by_its_kind() -> None:
    assert with_kind(KeyError("spacing")) == "KeyError: 'spacing'"


def test_columns_are_as_wide_as_their_longest_cells_and_lines_end_with_text() -> None:
    rows = [["organ", "mm3", ""], ["Lens", "16", "6 x 4"], ["Brainstem", "1600", ""]]
    assert in_columns(rows) == "organ      mm3\nLens       16    6 x 4\nBrainstem  1600"
    assert in_columns(rows, ">") == "organ       mm3\nLens         16  6 x 4\nBrainstem  1600"
