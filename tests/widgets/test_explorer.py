import base64
import json
import time
from io import BytesIO

import numpy as np
import pytest
import yaml
from PIL import Image

import hrvlab as hl
from hrvlab.atlas import Turn, head_names, record_panel
from hrvlab.errors import ParameterError
from hrvlab.inputs.concepts import ConceptSet
from tests.pipelines import tiny_sd

CALL = {"num_inference_steps": 12}
FEW = {"num_inference_steps": 2, "progress": False}
PROMPTS = ["a red car", "a blue cat", "dog", "a tree"]


@pytest.fixture(scope="module")
def pipe():
    return tiny_sd()


@pytest.fixture(scope="module")
def votes(pipe):
    concepts = ConceptSet.from_dict({"Color": ["red", "blue"], "Animals": ["cat", "dog"]})
    return hl.collect_votes(pipe, concepts, PROMPTS, **FEW)


@pytest.fixture
def explorer(pipe, votes, tmp_path):
    panel = record_panel(pipe, PROMPTS, **FEW)
    return heard(hl.explore(votes=votes, capture=panel, pipe=pipe, folder=tmp_path, **CALL))


def heard(explorer):
    """Keep what an explorer sends."""
    explorer.sent = []
    explorer.send = lambda content, buffers=None: explorer.sent.append(content)
    return explorer


def ask(explorer, **content):
    """Send a message as the page does, and return the last answer to it."""
    explorer._receive(explorer, {"id": 1, **content}, [])
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if explorer.sent and not explorer.sent[-1].get("preview"):
            return explorer.sent[-1]
        time.sleep(0.01)
    raise TimeoutError


def pixels(address):
    return np.asarray(Image.open(BytesIO(base64.b64decode(address.partition(",")[2]))))


def request(head, factor, **more):
    return {"heads": [head], "factor": factor, "words": "content", "window": [0, None],
            "prompt": 0, **more}  # fmt: skip


def test_the_page_gets_the_records_that_the_data_holds(explorer):
    first = ask(explorer, load="first")["record"]
    assert first["records"] == "kernel" and first["live"]
    values = np.frombuffer(base64.b64decode(first["arrays"]["relevance"]["data"]), "<f4")
    np.testing.assert_array_equal(values, explorer.data.first["arrays"]["relevance"].ravel())
    name = next(name for name in explorer.data.makers if name.startswith("heads/"))
    assert "steps" in ask(explorer, load=name)["record"]
    assert "no record 'x'" in ask(explorer, load="x")["error"]
    json.dumps(first)  # what the kernel sends is plain


def test_a_turned_head_is_first_a_preview_then_the_image_of_the_edit(explorer, pipe):
    head = explorer.data.heads[0]
    answer = ask(explorer, run=request(head, -3.0, words=["red"], window=[0, 6]))
    assert [one["preview"] for one in explorer.sent] == [True, False]
    edit = Turn((head,), -3.0, ("red",), (0, 6)).edit(explorer.data.heads)
    plain, turned = (
        hl.generate(pipe, PROMPTS[0], edit=own, progress=False, **CALL)[0] for own in ((), edit)
    )
    np.testing.assert_array_equal(pixels(answer["image"]), turned)
    np.testing.assert_array_equal(pixels(answer["before"]), plain)
    assert (plain != turned).any()


def test_what_cannot_be_generated_is_said(explorer, votes):
    wrong = ask(explorer, run=request("up.9.9", 0.0))
    assert "no head 'up.9.9'" in wrong["error"]
    dead = heard(hl.explore(votes=votes))
    assert "pipe=pipe" in ask(dead, run=request(dead.data.heads[0], 0.0))["error"]
    assert not ask(dead, load="first")["record"]["live"]


def test_a_turn_is_saved_as_parameters_and_never_over_another(explorer, tmp_path):
    head = explorer.data.heads[3]
    for number in (1, 2):
        said = ask(explorer, run=request(head, 0.5, words=["red"], save=True))["said"]
        path = tmp_path / f"turned-{number}.yaml"
        assert said == f"hrvlab run atlas -f {path}"
        saved = yaml.safe_load(path.read_text())
        assert saved["turned_prompt"] == PROMPTS[0]
        assert Turn.parse(saved["turned"][0]) == Turn((head,), 0.5, ("red",))


def test_a_saved_notebook_holds_the_atlas_without_a_kernel(votes):
    bundle, _ = hl.explore(votes=votes)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert 'class="hrvlab-atlas"' in bundle["text/html"]
    assert bundle["text/plain"] == "head atlas of StableDiffusionPipeline: 8 heads, 2 concepts"


def test_keywords_of_images_need_a_pipeline(votes):
    with pytest.raises(ParameterError, match="num_inference_steps"):
        hl.explore(votes=votes, num_inference_steps=2)


def test_heads_are_named_as_the_vectors_label_them(votes):
    hrv = votes.hrv.relevance()
    label = hrv["label"].values[0]
    assert head_names(hrv)[0] == label.replace(", layer: ", ".").replace(", head: ", ".")
