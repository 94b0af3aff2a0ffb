import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Toy sizes gain nothing from more, and lose much where cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
