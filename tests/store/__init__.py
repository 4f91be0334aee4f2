"""Tests of the store. Those of its model assert in modules of their own, which tell what differs as tests do."""

import pytest

pytest.register_assert_rewrite("tests.store.agreement", "tests.store.machine")
