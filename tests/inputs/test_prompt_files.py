import gzip
import json
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

import hrvlab as hl
from hrvlab.errors import ParameterError
from hrvlab.inputs.prompt_files import read_prompt_file
from hrvlab.inputs.prompts import as_prompts, read_prompts

TEXTS = ["a red car, parked", 'a "blue" café']
COCO = {
    "info": {"year": 2014},
    "images": [{"id": 9}],
    "annotations": [{"image_id": 9, "id": n, "caption": text} for n, text in enumerate(TEXTS)],
}
FORMS = {
    "drawbench.csv": 'Prompts,Category\n"a red car, parked",Colors\n"a ""blue"" café",Text\n',
    "parti.tsv": 'Prompt\tNote\na red car, parked\tx\n"a ""blue"" café"\t\n',
    "crlf.CSV": 'id,text\r\n1,"a red car, parked"\r\n\r\n2,"a ""blue"" café"\r\n',
    "plain.json": json.dumps(TEXTS),
    "objects.json": json.dumps([{"prompt": text, "id": 3} for text in TEXTS]),
    "numbered.json": json.dumps({n: {"prompt": text} for n, text in enumerate(TEXTS)}),
    "within.json": json.dumps({"prompts": TEXTS}),
    "captions_val2014.json": json.dumps(COCO),
    "geneval.jsonl": "\n".join(json.dumps({"tag": "colors", "prompt": t}) for t in TEXTS) + "\n\n",
    "texts.ndjson": "\n".join(map(json.dumps, TEXTS)),
    "lines.txt": "\n".join(TEXTS),
    "list.yaml": json.dumps({"prompts": TEXTS}),
}


@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("name", FORMS)
def test_prompts_are_read_from_the_forms_that_benchmarks_come_in(tmp_path, name, mark):
    (tmp_path / name).write_text(FORMS[name], encoding=mark, newline="")
    assert read_prompts(tmp_path / name) == TEXTS


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_parquet_is_read(tmp_path):
    pd.DataFrame({"caption": TEXTS, "n": [1, 2]}).to_parquet(tmp_path / "a.parquet")
    assert read_prompts(tmp_path / "a.parquet") == TEXTS
    table = pd.DataFrame({"id": [7, 8], "long": TEXTS}, index=["x", "y"])
    table.to_parquet(tmp_path / "c.parquet", row_group_size=1)
    assert read_prompts(tmp_path / "c.parquet", "long") == TEXTS
    with pytest.raises(ParameterError, match="no column called 'prompt'; its columns are 'id', 'l"):
        read_prompts(tmp_path / "c.parquet")
    with pytest.raises(ParameterError, match="entry 1 of .*c.parquet has int 7 in the column 'id'"):
        read_prompts(tmp_path / "c.parquet", "id")
    pd.DataFrame({"prompt": ["a cat", None]}).to_parquet(tmp_path / "d.parquet")
    with pytest.raises(ParameterError, match="entry 2 of .*d.parquet has .* in the column"):
        read_prompts(tmp_path / "d.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(ParameterError, match=r"b\.parquet is not a readable parquet file"):
        read_prompts(tmp_path / "b.parquet")


def test_without_pyarrow_the_refusal_of_parquet_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("hrvlab.inputs.prompt_files.find_spec", lambda _: None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ParameterError, match="pip install pyarrow, or save the table as CSV"):
        read_prompts(tmp_path / "a.parquet")


def test_any_column_is_read_if_asked_for(tmp_path):
    (tmp_path / "a.csv").write_text("prompt,long prompt\na cat,a cat on a mat\n")
    assert read_prompts(tmp_path / "a.csv") == ["a cat"]
    assert read_prompts(tmp_path / "a.csv", "long prompt") == ["a cat on a mat"]


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        (
            "prompt,caption\na,b\n",
            None,
            "has 2 columns called like prompts; .* 'prompt', 'caption'",
        ),
        ("prompt_en,n\na,1\n", None, "no column called 'prompt'; .* 'prompt_en', 'n': say which"),
        ("a red car\na blue car\n", None, "no column called 'prompt'; .* 'a red car'"),
        ("prompt;n\na;1\n", None, "its columns are 'prompt;n'"),
        ("prompt_en,n\na,1\n", "promt_en", "no column 'promt_en'; did you mean 'prompt_en'"),
        ("prompt,prompt\na,b\n", None, "has two columns 'prompt'; rename"),
        ("prompt,n\na, b,1\n", None, "line 2 of .* has 3 columns, the first line has 2.*; quote"),
        ('prompt,n\n"a,1\n', None, "line 2 of .*: unexpected end of data"),
        ("prompt,n\n ,1\n", None, "entry 1 of .* has str ' ' in the column 'prompt'"),
        ("prompt,n\n", None, "holds no prompts"),
        ("", None, "holds no prompts"),
    ],
)
def test_tables_of_another_form_are_refused_with_what_was_seen(tmp_path, content, column, message):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ParameterError, match=message):
        read_prompts(tmp_path / "a.csv", column)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "is not valid JSON: .* line 1"),
        ("a.json", "3", "holds int 3; it must hold a list"),
        ("a.json", '{"info": 1, "images": []}', "an object with the keys 'info', 'images'"),
        ("a.json", '["a", 3]', "entry 1 of .* is str 'a'; all must be texts, or all objects"),
        ("a.json", '[{"prompt": 3}]', "entry 1 of .* has int 3 in the column 'prompt'"),
        ("a.json", '[{"prompt": "a"}, {"n": 1}]', "entry 2 of .* has NoneType None in the column"),
        ("a.jsonl", '{"prompt": "a"}\n{"prompt"\n', "line 2 of .* is not JSON"),
        ("a.txt", '{"prompt": "a"}\n', r"begins as JSON does; call it \.json"),
        ("a.txt", "1\ta cat\n2\ta dog\n", r"has a tab, as in a table; call it \.tsv"),
    ],
)
def test_other_files_are_refused_with_what_was_seen(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ParameterError, match=message):
        read_prompt_file(tmp_path / name)


def test_a_prompt_may_begin_with_a_bracket(tmp_path):
    (tmp_path / "a.txt").write_text("[a cat]\na dog\n")
    assert read_prompts(tmp_path / "a.txt") == ["[a cat]", "a dog"]


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.txt"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_other_encodings_are_refused_by_name(tmp_path, name, encoding):
    (tmp_path / name).write_text("prompt\na cat\n", encoding=encoding)
    with pytest.raises(ParameterError, match=rf"mark of {encoding.upper()}; save it as UTF-8"):
        read_prompts(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"PK\x03\x04rest", "is a zip archive, as Excel writes"),
        (gzip.compress(b"a cat", mtime=0), "is compressed by gzip"),
        (b"PAR1", "is a parquet file"),
    ],
)
def test_binary_files_are_refused_by_what_they_are(tmp_path, content, seen):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ParameterError, match=seen):
        read_prompts(tmp_path / "a.csv")


def test_a_column_of_a_file_without_columns_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("a cat\n")
    with pytest.raises(ParameterError, match="has no columns, only prompts; leave out 'prompt'"):
        read_prompts(tmp_path / "a.txt", "prompt")


def test_python_takes_a_path_wherever_it_takes_prompts(tmp_path, tiny_pipe, concepts):
    path = tmp_path / "a.csv"
    path.write_text("prompt,n\na red car,1\na cat,2\n")
    assert as_prompts(path) == ["a red car", "a cat"]
    call = {"num_inference_steps": 1, "progress": False}
    images = hl.generate(tiny_pipe, path, **call)
    np.testing.assert_array_equal(images, hl.generate(tiny_pipe, ["a red car", "a cat"], **call))
    assert hl.capture(tiny_pipe, path, **call)["prompt_text"].values.tolist()[1] == "a cat"
    assert hl.collect_votes(tiny_pipe, concepts, path, **call).sizes["prompt"] == 2
    with pytest.raises(ParameterError, match=r"looks like a file; give Path\('prompts.csv'\)"):
        hl.generate(tiny_pipe, "prompts.csv")
