import pytest

from hrvlab.models.columns import find_text, join_shared, words_in


@pytest.mark.parametrize(
    ("text", "sought", "spans"),
    [
        ("a rose-red rose, Rose", "rose", [(2, 6), (11, 15), (17, 21)]),
        ("a rosette primrose", "rose", []),
        ("ba a a", "a a", [(3, 6)]),
        ("黒猫と猫", "猫", [(1, 2), (3, 4)]),
        ("黒猫と猫", "猫と", [(1, 3)]),
        ("赤いcar", "car", [(2, 5)]),
        ("赤いcart", "car", []),
        ("赤い大きな car", "大きな car", [(2, 9)]),
        ("แมวดำ", "ดำ", [(3, 5)]),
        ("наклейка кот", "кот", [(9, 12)]),
        ("котик", "кот", []),
    ],
)
def test_words_are_found_at_boundaries_and_anywhere_in_scripts_without_spaces(text, sought, spans):
    assert find_text(text, sought) == spans


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a  polka-dot car.", ["a", "polka-dot", "car."]),
        ("黑猫, red", ["黑", "猫", ",", "red"]),
        ("กี่แมว", ["กี่", "แ", "ม", "ว"]),
        ("3匹の猫", ["3", "匹", "の", "猫"]),
        ("빨간 자동차", ["빨간", "자동차"]),
    ],
)
def test_texts_are_split_at_spaces_and_where_a_script_has_none(text, words):
    assert [word for word, _ in words_in(text)] == words
    assert all(text[start:stop] == word for word, (start, stop) in words_in(text))


def test_a_learned_token_s_parts_are_one_word():
    words = words_in("a <cat> <cat>_1 <cat>_2, red red_1", {"<cat>_1", "<cat>_2"})
    assert words == [("a", (0, 1)), ("<cat>", (2, 24)), ("red", (25, 28)), ("red_1", (29, 34))]


def test_words_that_share_a_token_are_joined():
    words = words_in("猫と犬を")
    joined = join_shared(words, [(0, 1), (0, 2), (1, 2), (2, 4)])
    assert joined == [("猫と", (0, 2)), ("犬を", (2, 4))]
