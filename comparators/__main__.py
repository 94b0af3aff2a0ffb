"""`python -m comparators`: segment a cache as others do."""

import argparse
import sys

from comparators import METHODS, segment_cache
from moonseg_jax.structs import InputError


def main(words: list[str] | None = None) -> int:
    """Segments, says what was found; 2 on bad input."""
    parser = argparse.ArgumentParser(prog="python -m comparators")
    parser.add_argument("--method", required=True, choices=METHODS)
    parser.add_argument("--cache", required=True, help="made by `moonseg cache`")
    parser.add_argument("--out", required=True, help="predictions folder")
    args = parser.parse_args(words)
    try:
        count = segment_cache(args.method, args.cache, args.out)
    except InputError as error:
        print(f"comparators: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {count} instances")
    return 0


if __name__ == "__main__":
    sys.exit(main())
