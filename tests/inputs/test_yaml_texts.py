import pytest

from hrvlab.errors import HrvlabError
from hrvlab.experiments.editing.cases import read_editing
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.inputs.prompts import read_prompts
from hrvlab.publish.parameters import read_parameter_file

READERS = [ConceptSet.read, read_prompts, read_editing, read_parameter_file]


@pytest.mark.parametrize("read", READERS)
def test_a_name_that_is_given_twice_is_refused_in_every_file(tmp_path, read):
    path = tmp_path / "twice.yaml"
    path.write_text("prompts: [a]\nconcepts: {Color: [red]}\nprompts: [b]\n")
    with pytest.raises(HrvlabError, match="prompts is given more than once; give each name once"):
        read(path)


@pytest.mark.parametrize("read", READERS)
def test_a_name_that_is_a_list_is_refused_in_every_file(tmp_path, read):
    path = tmp_path / "odd.yaml"
    path.write_text("{[a]: b, [a]: b}")
    with pytest.raises(HrvlabError, match="not valid YAML|does not hold"):
        read(path)
