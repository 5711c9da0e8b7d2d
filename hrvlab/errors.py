"""The errors hrvlab raises: one line that says what was wrong and what would be right."""


class HrvlabError(ValueError):
    """Base of all of them."""


class ModelError(HrvlabError):
    """A model that is unknown, unsupported, or not the one an HRV was built from."""


class TokenError(HrvlabError):
    """A word that a prompt does not hold, or that was truncated away."""


class CoverageError(HrvlabError):
    """The model did not call every cross-attention layer that was expected."""


class ConceptError(HrvlabError):
    """A concept set that cannot be used."""


class SchemaError(HrvlabError):
    """A dataset without the dims, coordinates or values its kind must have."""


class StoreError(HrvlabError):
    """A store that cannot be read, written or resumed."""


class ParameterError(HrvlabError):
    """A parameter of the wrong name, type or value."""
