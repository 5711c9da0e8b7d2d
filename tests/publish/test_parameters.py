import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrvlab.errors import ParameterError
from hrvlab.publish.parameters import (
    check_parameters,
    fill,
    parse_assignments,
    read_parameter_file,
    read_parameters,
)

SOURCE = """model: str = "miniature"  # a folder, or a hub id
words: list[str] | None = None  # which, or all
steps: int = 25  # denoising steps
scale: float = 7.5  # guidance
live: bool = False
"""
PARAMETERS = read_parameters(SOURCE, "capture")


def test_a_cell_is_read_with_types_defaults_and_help():
    assert [(p.name, p.annotation, p.default, p.help) for p in PARAMETERS] == [
        ("model", "str", "miniature", "a folder, or a hub id"),
        ("words", "list[str] | None", None, "which, or all"),
        ("steps", "int", 25, "denoising steps"),
        ("scale", "float", 7.5, "guidance"),
        ("live", "bool", False, ""),
    ]


@pytest.mark.parametrize(
    "line", ["steps = 3", "steps: int", "steps: int = len('abc')", "x.y: int = 3"]
)
def test_a_line_of_another_form_is_refused(line):
    with pytest.raises(ParameterError, match="line 1 of the parameters cell of chapter 'capture'"):
        read_parameters(line, "capture")


def test_a_type_other_than_the_allowed_ones_is_refused():
    with pytest.raises(ParameterError, match="has the type Path; types may use only int, float"):
        read_parameters("x: Path = 3", "capture")


def test_a_default_of_the_wrong_type_is_refused():
    with pytest.raises(ParameterError, match="steps must be int, got 'many'"):
        read_parameters("steps: int = 'many'", "capture")


def test_missing_parameters_keep_their_defaults():
    values = check_parameters(PARAMETERS, {"steps": 3}, "capture")
    assert values == {"model": "miniature", "words": None, "steps": 3, "scale": 7.5, "live": False}


def test_an_unknown_name_is_refused_with_the_valid_ones():
    with pytest.raises(ParameterError, match="no parameter 'stepz'; valid names: model, words, st"):
        check_parameters(PARAMETERS, {"stepz": 3}, "capture")


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", "3"), ("steps", 2.5), ("steps", True), ("words", "cat"), ("live", 1), ("model", 3)],
)
def test_a_wrong_type_is_refused_with_the_right_one(name, value):
    with pytest.raises(ParameterError, match=f"{name} must be "):
        check_parameters(PARAMETERS, {name: value}, "capture")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_must_be_finite(value):
    with pytest.raises(ParameterError, match="scale must be float"):
        check_parameters(PARAMETERS, {"scale": value}, "capture")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("steps=3", 3),
        ("scale=2.5", 2.5),
        ("live=true", True),
        ("words=[red, car]", ["red", "car"]),
        ("words=null", None),
        ("model=007", "007"),
        ("model=a=b", "a=b"),
        ("model=null", "null"),
        ("model=on", "on"),
    ],
)
def test_assignments_are_parsed_according_to_the_type(text, value):
    (read,) = parse_assignments(PARAMETERS, [text]).values()
    assert read == value
    assert type(read) is type(value)
    check_parameters(PARAMETERS, parse_assignments(PARAMETERS, [text]), "capture")


def test_an_assignment_without_a_value_is_refused():
    with pytest.raises(ParameterError, match="write name=value"):
        parse_assignments(PARAMETERS, ["steps"])


@given(
    st.text(),
    st.lists(st.text()) | st.none(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_values_that_are_filled_in_are_read_back_unchanged(model, words, steps, scale):
    values = {"model": model, "words": words, "steps": steps, "scale": scale, "live": True}
    again = read_parameters(fill(SOURCE, values), "capture")
    assert {p.name: p.default for p in again} == values
    assert [p.help for p in again] == [p.help for p in PARAMETERS]


def test_defaults_are_left_as_they_are_written():
    assert fill(SOURCE, {p.name: p.default for p in PARAMETERS}) == SOURCE


@pytest.mark.parametrize(
    ("content", "message"),
    [("- a", "must have lines of the form name: value"), ("a: [", "is not valid YAML")],
)
def test_a_bad_file_is_one_clear_line(tmp_path, content, message):
    (tmp_path / "p.yml").write_text(content)
    with pytest.raises(ParameterError, match=message):
        read_parameter_file(tmp_path / "p.yml")


def test_a_missing_file_is_named_in_the_error(tmp_path):
    with pytest.raises(ParameterError, match=r"cannot read the parameter file .*p\.yml"):
        read_parameter_file(tmp_path / "p.yml")


@pytest.mark.parametrize("text", ["1e-1", "+1E-1", ".1e0", "1.e-1", "0.1", "1.0e-1"])
def test_a_number_is_a_number_however_it_is_written(tmp_path, text):
    (tmp_path / "p.yml").write_text(f"scale: {text}\nscales: [{text}]\n")
    assert read_parameter_file(tmp_path / "p.yml") == {"scale": 0.1, "scales": [0.1]}
    assert parse_assignments(PARAMETERS, [f"scale={text}"]) == {"scale": 0.1}


@pytest.mark.parametrize("text", ["1e5", "12e4"])
def test_a_text_that_looks_like_a_number_stays_a_text_where_text_is_wanted(text):
    assert parse_assignments(PARAMETERS, [f"model={text}"]) == {"model": text}


def test_a_name_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "p.yml").write_text("steps: 20\nscale: 3\nsteps: 50\n")
    with pytest.raises(ParameterError, match="steps is given more than once; give each name once"):
        read_parameter_file(tmp_path / "p.yml")


def test_a_value_that_holds_itself_is_refused(tmp_path):
    (tmp_path / "p.yml").write_text("words: &words [*words]\n")
    given = read_parameter_file(tmp_path / "p.yml")
    with pytest.raises(ParameterError, match="words must be list"):
        check_parameters(PARAMETERS, given, "capture")
