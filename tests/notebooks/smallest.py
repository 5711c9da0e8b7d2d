"""The smallest parameters of every chapter, on another model than the shipped one."""

from tests.pipelines import save_tiny_clip, tiny_sd

# How many figures each chapter then shows.
FIGURES = {
    "capture": 4,
    "relevance": 8,
    "weakening": 4,
    "ablations": 2,
    "steering": 3,
    "disambiguation": 5,
    "editing": 7,
    "published": 6,
    "neglect": 2,
    "miniature": 5,
}
CONCEPTS = "concepts: {Color: [red, blue, green], Animals: [cat, dog]}"
PROMPTS = "a red car\na blue cat\na dog\na tree\n"
BENCHMARK = 'concepts: {Color: {template: "a {word} {noun}", words: [red, blue], nouns: [car]}}'

CASES = """
cases:
  - {prompt: a red car, word: red, wanted: red, unwanted: cat, toward: Color, away: Animals,
     reworded: a car of red}
"""

REPLACEMENTS = """
cases:
  - {source: a red car, target: a blue car, noun: car, thing: car, wanted: blue, concept: Color}
"""


PAIRS = """
concepts: {Animals: [cat, dog]}
sections: {things: [cat dog], "things, dev": [dog cat]}
"""


def smallest(folder):
    """Write a tiny model and lists into a folder; gives every chapter's parameters."""
    tiny_sd().save_pretrained(folder / "model")
    save_tiny_clip(folder / "clip")
    (folder / "concepts.yaml").write_text(CONCEPTS)
    (folder / "prompts.txt").write_text(PROMPTS)
    (folder / "benchmark.yaml").write_text(BENCHMARK)
    (folder / "cases.yaml").write_text(CASES)
    (folder / "replacements.yaml").write_text(REPLACEMENTS)
    (folder / "pairs.yaml").write_text(PAIRS)
    model = {"model": str(folder / "model"), "steps": 2}
    votes = {
        "concepts": str(folder / "concepts.yaml"),
        "prompts": str(folder / "prompts.txt"),
        "batch_size": 2,
        "store": str(folder / "runs"),
    }
    return {
        "capture": {**model, "prompt": "a red car"},
        "relevance": {**model, **votes},
        "weakening": {
            **model,
            **votes,
            "tested": ["Color"],
            "benchmark": str(folder / "benchmark.yaml"),
            "prompts_each": 2,
            "cuts": [4],
            "judged": False,
            "clip": str(folder / "clip"),
            "alone": ["Color"],
            "alone_steps": 1,
        },
        "ablations": {
            **model,
            **votes,
            "steps": 3,
            "benchmark": str(folder / "benchmark.yaml"),
            "cuts": [4],
            "judged": False,
            "clip": str(folder / "clip"),
        },
        "steering": {
            **model,
            **votes,
            "prompt": "a red car",
            "word": "red",
            "away": "Animals",
            "pictures": 2,
        },
        "disambiguation": {
            **model,
            **votes,
            "benchmark": str(folder / "cases.yaml"),
            "judged": False,
            "clip": str(folder / "clip"),
            "seeds": [0, 1],
        },
        "editing": {
            **model,
            **votes,
            "benchmark": str(folder / "replacements.yaml"),
            "judged": False,
            "clip": str(folder / "clip"),
            "seeds": [0, 1],
        },
        "published": {**model, **votes, "exported": str(folder / "exported")},
        "neglect": {
            **model,
            **votes,
            "benchmark": str(folder / "pairs.yaml"),
            "sections": ["things"],
            "pairs": 1,
            "judged": False,
            "clip": str(folder / "clip"),
            "seeds": [0, 1],
        },
        # It is about the shipped model and takes no other.
        "miniature": {"steps": 2},
    }
