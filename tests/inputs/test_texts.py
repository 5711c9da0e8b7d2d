import pytest

from hrvlab.errors import ConceptError, ParameterError
from hrvlab.experiments.editing import read_editing
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.inputs.prompts import read_prompts
from hrvlab.inputs.texts import read_text
from hrvlab.publish.parameters import read_parameter_file

TEXT = "prompt: a red café\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_files_declare_are_read(tmp_path, encoding):
    (tmp_path / "x").write_text(TEXT, encoding=encoding)
    assert read_text(tmp_path / "x") == TEXT
    assert read_parameter_file(tmp_path / "x") == {"prompt": "a red café"}


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    ("read", "error"),
    [
        (read_text, ParameterError),
        (read_prompts, ParameterError),
        (ConceptSet.read, ConceptError),
        (read_editing, ParameterError),
        (read_parameter_file, ParameterError),
    ],
)
def test_any_other_encoding_is_refused_with_the_file_and_a_remedy(tmp_path, encoding, read, error):
    path = tmp_path / "x.yaml"
    path.write_text(TEXT, encoding=encoding)
    with pytest.raises(error, match=r"x\.yaml: .*; save it as UTF-8"):
        read(path)


def test_what_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(ParameterError, match="cannot read the file .*: Is a directory"):
        read_text(tmp_path)


def test_concepts_are_written_as_they_are_spelled(tmp_path):
    concepts = ConceptSet.from_dict({"Nourriture": ["café", "crème brûlée"]})
    concepts.write(tmp_path / "c.yaml")
    assert "crème brûlée" in (tmp_path / "c.yaml").read_text(encoding="utf-8")
    assert ConceptSet.read(tmp_path / "c.yaml") == concepts
