import torch

from hrvlab.miniature.judging import NOT_ASKED, QUESTIONS, Judging, targets, truth
from hrvlab.miniature.scenes import Figure, Scene, sample_scene
from hrvlab.miniature.world import THING_BY_NAME

CAT, CAR = (Figure(THING_BY_NAME[name]) for name in ("cat", "car"))


def test_the_truth_about_one_thing_is_told_in_full():
    red = Figure(THING_BY_NAME["car"], color="red", pattern="stripe")
    assert truth(Scene((red,), count=3, weather="rainy")) == {
        "style": "none",
        "weather": "rainy",
        "scene": "none",
        "count": "three",
        "color": "red",
        "pattern": "stripe",
        "material": "none",
    }


def test_of_two_things_only_what_they_share_is_asked():
    asked = {name for name, answer in truth(Scene((CAT, CAR))).items() if answer is not None}
    assert asked == {"style", "weather", "scene"}


def test_a_style_hides_colours():
    assert truth(Scene((CAT,), style="sepia"))["color"] is None


def test_targets_mark_every_thing_that_is_there():
    found = targets([Scene((CAT, CAR)), Scene((CAT,))])
    names = [[QUESTIONS["object"][i] for i in row.nonzero()[:, 0]] for row in found["object"]]
    assert names == [["cat", "car"], ["cat"]]
    assert found["count"].tolist() == [NOT_ASKED, 0]


def test_every_scene_has_targets_among_the_answers():
    found = targets([sample_scene(1, index) for index in range(300)])
    for name, answers in QUESTIONS.items():
        if name != "object":
            asked = found[name][found[name] != NOT_ASKED]
            assert asked.min() >= 0 and asked.max() < len(answers)


def test_the_loss_falls_on_what_it_trains_on():
    torch.manual_seed(0)
    model = Judging()
    scenes = [sample_scene(1, index) for index in range(8)]
    pixels, wanted = torch.randn(8, 3, 64, 64), targets(scenes)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        loss = model(pixels, wanted)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
