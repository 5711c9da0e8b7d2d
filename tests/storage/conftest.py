import pytest

from hrvlab import libraries


@pytest.fixture
def installed(monkeypatch):
    """Return a function that pretends that another version of a library is installed."""

    def install(name, version):
        real = libraries.version
        monkeypatch.setattr(libraries, "version", lambda n: version if n == name else real(n))

    return install
