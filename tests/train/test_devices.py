"""Eight devices give the losses of one."""

import json
import os
import subprocess
import sys

import numpy as np

SCRIPT = """
import json, sys
import jax
from moonseg_jax.train import train
from moonseg_jax.train.metrics import read_metrics
from tests.train.rooms import tiny_config
from pathlib import Path

assert len(jax.devices()) == 8
config = tiny_config(**{"data.batch_clips": 8, "train.steps": 3, "train.log_every": 1})
curves = []
for count in (1, 8):
    workdir = Path(sys.argv[1]) / str(count)
    train(config, sys.argv[2:], workdir, devices=jax.devices()[:count], progress=False)
    curves.append(read_metrics(workdir / "metrics.jsonl"))
print(json.dumps(curves))
"""


def test_eight_devices_equal_one(rooms, tmp_path, quick_compile):
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), *map(str, rooms)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    one, eight = json.loads(done.stdout.splitlines()[-1])
    assert len(one) == len(eight) == 3
    for name in ("loss", "seg", "dist", "xseg", "grad_norm", "param_norm", "context_share"):
        ours, theirs = ([line[name] for line in curve] for curve in (eight, one))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, err_msg=name)
