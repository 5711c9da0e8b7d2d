"""The smallest parameters of every chapter, on another model than the shipped one."""

from tests.pipelines import save_tiny_clip, tiny_sd

# How many figures each chapter then shows.
FIGURES = {
    "atlas": 1,
    "capture": 3,
    "relevance": 7,
    "ask": 4,
    "weakening": 4,
    "ablations": 2,
    "steering": 3,
    "disambiguation": 5,
    "editing": 7,
    "replication": 6,
    "neglect": 2,
    "miniature": 5,
}
CONCEPTS = "concepts: {Color: [red, blue, green], Animals: [cat, dog]}"
PROMPTS = "a red car\na blue cat\na dog\na tree\n"
WEAKENING = 'concepts: {Color: {template: "a {word} {noun}", words: [red, blue], nouns: [car]}}'

DISAMBIGUATION = """
cases:
  - {prompt: a red car, word: red, wanted: red, unwanted: cat, toward: Color, away: Animals,
     reworded: a car of red}
"""

EDITING = """
cases:
  - {source: a red car, target: a blue car, noun: car, object: car, wanted: blue, concept: Color}
"""

NEGLECT = """
concepts: {Animals: [cat, dog]}
sections: {objects: [cat dog], "objects, dev": [dog cat]}
"""


def smallest(folder):
    """Write a tiny model and inputs into a folder, and return every chapter's parameters."""
    tiny_sd().save_pretrained(folder / "model")
    save_tiny_clip(folder / "clip")
    (folder / "concepts.yaml").write_text(CONCEPTS)
    (folder / "prompts.txt").write_text(PROMPTS)
    (folder / "weakening.yaml").write_text(WEAKENING)
    (folder / "disambiguation.yaml").write_text(DISAMBIGUATION)
    (folder / "editing.yaml").write_text(EDITING)
    (folder / "neglect.yaml").write_text(NEGLECT)
    model = {"model": str(folder / "model"), "steps": 2}
    votes = {
        "concepts": str(folder / "concepts.yaml"),
        "prompts": str(folder / "prompts.txt"),
        "batch_size": 2,
        "store": str(folder / "runs"),
    }
    return {
        "atlas": {
            **model,
            **votes,
            "featured": ["a red car", "a blue cat"],
            "panel": 4,
            "turned_heads": 8,
            "turned": ["down.0.0 × -2, words red"],
            "file": str(folder / "atlas.html"),
        },
        "capture": {**model, "prompt": "a red car"},
        "relevance": {**model, **votes},
        "ask": {
            **model,
            **votes,
            "steps": 4,
            "concept": "Warm",
            "words": ["red"],
            "word": "cat",
            "head": "up, layer: 0, head: 1",
        },
        "weakening": {
            **model,
            **votes,
            "tested": ["Color"],
            "cases": str(folder / "weakening.yaml"),
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
            "cases": str(folder / "weakening.yaml"),
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
            "images": 2,
        },
        "disambiguation": {
            **model,
            **votes,
            "cases": str(folder / "disambiguation.yaml"),
            "judged": False,
            "clip": str(folder / "clip"),
            "seeds": [0, 1],
        },
        "editing": {
            **model,
            **votes,
            "cases": str(folder / "editing.yaml"),
            "judged": False,
            "clip": str(folder / "clip"),
            "seeds": [0, 1],
        },
        "replication": {**model, **votes, "exported": str(folder / "exported")},
        "neglect": {
            **model,
            **votes,
            "cases": str(folder / "neglect.yaml"),
            "sections": ["objects"],
            "pairs": 1,
            "judged": False,
            "clip": str(folder / "clip"),
            "seeds": [0, 1],
        },
        # It is about the shipped model and takes no other.
        "miniature": {"steps": 2},
    }
