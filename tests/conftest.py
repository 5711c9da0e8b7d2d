import pytest
from diffusers import StableDiffusionPipeline

from hrvlab.inputs.concepts import ConceptSet
from tests.pipelines import tiny_sd


@pytest.fixture
def tiny_pipe() -> StableDiffusionPipeline:
    return tiny_sd()


@pytest.fixture
def concepts() -> ConceptSet:
    # Words of one, two and three tokens.
    return ConceptSet.from_dict(
        {"Color": ["Red", "Blue", "Green"], "Animals": ["Cat", "Dog"], "Style": ["Photo of red"]}
    )
