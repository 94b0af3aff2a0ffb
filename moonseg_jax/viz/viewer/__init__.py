"""A result to look at: a page in the browser, live or afterwards, or pictures without a display.

`page`, `panel`, `stage` and `server` import viser; the rest runs without it.
"""
