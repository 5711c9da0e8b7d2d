import torch

from hrvlab.miniature.judge import IGNORED, QUESTIONS, JudgeLoss, part_of, targets, truth
from hrvlab.miniature.scenes import Figure, Scene, sample_scene
from hrvlab.miniature.world import OBJECT_BY_NAME

CAT, CAR = (Figure(OBJECT_BY_NAME[name]) for name in ("cat", "car"))


def test_the_truth_about_one_kind_of_object_is_complete():
    red = Figure(OBJECT_BY_NAME["car"], color="red", pattern="stripe")
    assert truth(Scene((red,), count=3, weather="rainy")) == {
        "style": "none",
        "weather": "rainy",
        "scene": "none",
        "count": "three",
        "color": "red",
        "pattern": "stripe",
        "material": "none",
    }


def test_two_objects_have_only_the_attributes_of_the_whole_image():
    defined = {name for name, answer in truth(Scene((CAT, CAR))).items() if answer is not None}
    assert defined == {"style", "weather", "scene"}


def test_a_style_leaves_the_color_undefined():
    assert truth(Scene((CAT,), style="sepia"))["color"] is None


def test_targets_mark_every_object_of_the_scene():
    found = targets([Scene((CAT, CAR)), Scene((CAT,))])
    names = [[QUESTIONS["object"][i] for i in row.nonzero()[:, 0]] for row in found["object"]]
    assert names == [["cat", "car"], ["cat"]]
    assert found["count"].tolist() == [IGNORED, 0]


def test_every_scene_has_targets_among_the_answers():
    found = targets([sample_scene(1, index) for index in range(300)])
    for name, answers in QUESTIONS.items():
        if name != "object":
            defined = found[name][found[name] != IGNORED]
            assert defined.min() >= 0 and defined.max() < len(answers)


def test_the_loss_falls_on_its_training_images():
    torch.manual_seed(0)
    model = JudgeLoss()
    scenes = [sample_scene(1, index) for index in range(8)]
    pixels, wanted = torch.randn(8, 3, 64, 64), targets(scenes)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        loss = model(pixels, *wanted.values())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_a_part_of_two_objects_shows_one_of_them_with_its_color():
    red, blue = (Figure(each.object, color=c) for each, c in ((CAT, "red"), (CAR, "blue")))
    scene = Scene((red, blue), weather="rainy", seed=4)
    found = targets([part_of(scene, part) for part in (0, 1)])
    names = [[QUESTIONS["object"][i] for i in row.nonzero()[:, 0]] for row in found["object"]]
    assert names == [["cat"], ["car"]]
    assert [QUESTIONS["color"][i] for i in found["color"]] == ["red", "blue"]
