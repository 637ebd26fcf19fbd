"""The logs of all processes are shown beside a failure, as in the end-to-end tests."""

from tests.e2e.conftest import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]
