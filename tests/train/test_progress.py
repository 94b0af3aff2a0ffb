import pytest

from moonseg_jax.train.progress import TrainBar

METRICS = {
    "loss": 0.51234,
    "clips_per_second": 12.5,
    "frames_per_second": 200.0,
    "input_wait": 0.034,
}


def test_the_bar_says_how_it_goes(capsys, monkeypatch):
    for name in ("TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with TrainBar(4, 10, shown=True) as bar:
        for _ in range(3):
            bar.advance()
        bar.show(METRICS)
    said = capsys.readouterr()
    assert said.out == ""
    shown = said.err
    for words in ("7/10", "loss 0.5123", "12.5 clips/s", "200 frames/s", "input wait 3%"):
        assert words in shown


@pytest.mark.parametrize(("shown", "interactive"), [(False, "1"), (True, "0")])
def test_without_progress_or_a_terminal_nothing_is_printed(shown, interactive, capsys, monkeypatch):
    monkeypatch.setenv("TTY_INTERACTIVE", interactive)
    with TrainBar(4, 10, shown) as bar:
        bar.advance()
        bar.show(METRICS)
    said = capsys.readouterr()
    assert said.out == said.err == ""
