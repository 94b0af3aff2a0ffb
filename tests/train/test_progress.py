from moonseg_jax.train.progress import TrainBar

METRICS = {
    "loss": 0.51234,
    "clips_per_second": 12.5,
    "frames_per_second": 200.0,
    "input_wait": 0.034,
}


def test_the_bar_says_how_it_goes(capsys):
    with TrainBar(4, 10, shown=True) as bar:
        for _ in range(3):
            bar.advance()
        bar.show(METRICS)
    shown = capsys.readouterr().out
    for words in ("7/10", "loss 0.5123", "12.5 clips/s", "200 frames/s", "input wait 3%"):
        assert words in shown


def test_without_progress_nothing_is_printed(capsys):
    with TrainBar(4, 10, shown=False) as bar:
        bar.advance()
        bar.show(METRICS)
    assert capsys.readouterr().out == ""
