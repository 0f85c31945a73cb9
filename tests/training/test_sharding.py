"""Weights shared out over two processes: each has half of them, and all is as in one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from cem_lightning.evolution.processes import end_at_once
from cem_lightning.training.sharding import (
    clip_gradients, gather, own_part, shard, shared_like, whole,
)
from tests.tiny import tiny_model

dist.init_process_group("gloo")
alone, shared = (tiny_model("qwen2", vocabulary=64).train() for _ in range(2))
before = {name: each.detach().clone() for name, each in alone.named_parameters()}
shard(shared, init_device_mesh("cpu", (2,), mesh_dim_names=("data_parallel",)))
for name, weight in shared.named_parameters():
    parts = 2 if ".layers." in name else 1
    assert own_part(weight).numel() * parts == before[name].numel(), name
    assert torch.equal(whole(weight.detach()), before[name]), name
    again = shared_like(before[name], weight)
    assert torch.equal(own_part(again), own_part(weight.detach())), name

ids = torch.arange(1, 11)[None]
for network, texts in ((alone, (ids, ids + 3)), (shared, ((ids, ids + 3)[dist.get_rank()],))):
    for text in texts:
        network.model(input_ids=text, use_cache=False).last_hidden_state.square().sum().backward()
for each in (shared.model.embed_tokens.weight, shared.model.norm.weight):  # as TrainingRanks does
    dist.all_reduce(each.grad)
norms = [
    clip_gradients([each for each in network.parameters() if each.grad is not None], 0.5)
    for network in (alone, shared)
]
assert torch.allclose(*(each.float() for each in norms), rtol=1e-5) and norms[0] > 0.5
gradients = {name: each.grad for name, each in alone.named_parameters() if each.grad is not None}
for name, weight in shared.named_parameters():
    if name in gradients:
        assert torch.allclose(whole(weight.grad), gradients[name], atol=1e-6), name
gather(shared)
for name, weight in shared.named_parameters():
    assert type(weight) is torch.nn.Parameter and torch.equal(weight, before[name]), name
dist.destroy_process_group()
end_at_once()
"""


@pytest.mark.slow
@pytest.mark.invariant
def test_each_process_has_half_of_the_layers(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone",
            "--local-addr=127.0.0.1", "--nproc-per-node=2", str(program),
        ],
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
        },
        capture_output=True,
        text=True,
        timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
