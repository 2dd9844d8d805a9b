"""An API server for each test that asks for one."""

from collections.abc import AsyncIterator

import pytest

from tests.kube.apiserver import ApiServer, serving


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with serving(ApiServer()) as running:
        yield running
