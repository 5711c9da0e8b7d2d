import pytest
from huggingface_hub import errors

from hrvlab.models.hub import explain_failure


def named(name):
    """Build an error of the hub, wrapped in one of diffusers."""
    kind = getattr(errors, name)
    try:
        raise OSError("no/model does not appear to have a file\nand more") from kind.__new__(kind)
    except OSError as error:
        return error


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("OfflineModeIsEnabled", "HF_HUB_OFFLINE forbids"),
        ("LocalEntryNotFoundError", "the hub cannot be reached"),
        ("RepositoryNotFoundError", "there is no 'no/model' on the hub, or it is private"),
        ("GatedRepoError", "accept its terms"),
    ],
)
def test_an_unreachable_hub_is_told_from_a_wrong_name(name, message):
    explained = explain_failure("no/model", named(name))
    assert message in explained
    assert "\n" not in explained


def test_any_other_failure_keeps_its_first_line():
    assert explain_failure("a", OSError("broken\nmore")) == "cannot load 'a': broken"
