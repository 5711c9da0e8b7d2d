"""A disk that fails; one for all tests, because an audit hook cannot be removed."""

from tests.faults import FailingDisk

disk = FailingDisk()
