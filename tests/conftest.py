"""Settings for every test: broadcasting between ranks is an error; property tests are steady."""

import hypothesis
import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
hypothesis.settings.register_profile("steady", deadline=None, max_examples=40, derandomize=True)
hypothesis.settings.load_profile("steady")
