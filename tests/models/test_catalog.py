import re
from pathlib import Path

import diffusers
import pytest
from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

from hrvlab.models.catalog import TABLES, write_tables
from hrvlab.models.families import FAMILIES
from hrvlab.models.unsupported import REFUSED, find_refused

BOOK = Path(__file__).parents[2] / "book"
FOLDER = BOOK / "tables" / "models"
SUPPORTED = [name for family in FAMILIES for name in family.pipelines]


def test_the_tables_in_the_book_are_those_of_the_families(tmp_path):
    write_tables(tmp_path)
    how = "from hrvlab.models.catalog import write_tables; write_tables(Path('book/tables/models'))"
    for name in TABLES:
        written = (tmp_path / f"{name}.csv").read_text(encoding="utf-8")
        assert (FOLDER / f"{name}.csv").read_text(encoding="utf-8") == written, how
        page = (BOOK / "supported-models.md").read_text(encoding="utf-8")
        assert page.count(f":file: tables/models/{name}.csv") == 1


def test_every_pipeline_of_diffusers_from_text_to_image_is_supported_or_has_a_reason():
    known = {cls.__name__ for cls in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()}
    assert len(known) > 30
    assert not {name for name in known - {*SUPPORTED} if find_refused([name]) is None}


DENOISERS = (
    "UNet2DConditionModel",
    "PixArtTransformer2DModel",
    "SanaTransformer2DModel",
    "SD3Transformer2DModel",
    "FluxTransformer2DModel",
    "ChromaTransformer2DModel",
    "QwenImageTransformer2DModel",
    "Flux2Transformer2DModel",
    "AuraFlowTransformer2DModel",
    "ZImageTransformer2DModel",
    "Lumina2Transformer2DModel",
    "CogView4Transformer2DModel",
    "CogView3PlusTransformer2DModel",
    "BriaTransformer2DModel",
    "LongCatImageTransformer2DModel",
    "OvisImageTransformer2DModel",
)


def classes_around(denoiser):
    """List PyTorch's pipelines of the installed diffusers that take a denoiser of a class."""
    folder = Path(diffusers.__file__).parent / "pipelines"
    for path in folder.rglob("pipeline_*.py"):
        if path.name.startswith("pipeline_flax_"):  # of JAX, in versions up to 0.39
            continue
        for definition in path.read_text(encoding="utf-8").split("\nclass ")[1:]:
            taken = re.search(r"def __init__\((.*?)\n    \)", definition, re.DOTALL)
            if "has been renamed to" in definition:  # an old name, of which diffusers warns
                continue
            if taken and re.search(rf"\b{denoiser}\b", taken[1]):
                yield re.match(r"\w+", definition)[0]


@pytest.mark.parametrize("denoiser", DENOISERS)
def test_every_pipeline_around_a_supported_denoiser_is_supported_or_has_a_reason(denoiser):
    there = {*classes_around(denoiser)}
    assert len(there) > (80 if denoiser.startswith("UNet") else 0)
    assert there & {*SUPPORTED}
    assert not {name for name in there - {*SUPPORTED} if find_refused([name]) is None}


def test_no_pipeline_is_listed_twice():
    listed = [*SUPPORTED, *(name for refused in REFUSED for name in refused.pipelines)]
    assert sorted(listed) == sorted({*listed})


def test_every_family_says_what_the_book_tells():
    for family in FAMILIES:
        assert family.words
        assert bool(family.sink_name) != ("votes" in family.refused)
        assert family.tested
