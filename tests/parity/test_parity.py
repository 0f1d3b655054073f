"""The golden vectors that the project claims to meet, each as a test, wherever they are at hand."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.parity.__main__ import collect, discover, find_handler, run_file

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [ROOT.parent / "shared" / "parity", ROOT / "shared" / "parity"]
VECTORS = next((folder for folder in FOLDERS if folder.is_dir()), None)
HANDLERS, PROBLEMS = discover()
CLAIMED = (
    "blazepose/*.npz",
    "d3dp/camera_normalise.npz",
    "d3dp/chunking.npz",
    "d3dp/d3dp_ddim_*.npz",
    "d3dp/d3dp_schedule_*.npz",
    "d3dp/d3dp_train_*.npz",
    "d3dp/e2e_main_*.npz",
    "d3dp/jpma_*.npz",
    "d3dp/metrics_*.npz",
    "d3dp/mixste_*.npz",
    "d3dp/samax_decode_*.npz",
    "d3dp/samax_head*.npz",
    "d3dp/samax_losses.npz",
    "dhmp/angles_*.npz",
    "dhmp/classifier_*.npz",
    "dhmp/cvae_*.npz",
    "dhmp/dataset_*.npz",
    "dhmp/dct.npz",
    "dhmp/diverse_*.npz",
    "dhmp/eval_t*.npz",
    "dhmp/fid.npz",
    "dhmp/fidacc_eval_*.npz",
    "dhmp/gcn.npz",
    "dhmp/gumbel.npz",
    "dhmp/init_order.npz",
    "dhmp/losses_*.npz",
    "dhmp/metrics_*.npz",
    "dhmp/train_t*.npz",
)
FILES = [] if VECTORS is None else [path for path in collect([VECTORS]) if find_handler(path, HANDLERS)[0] is not None]

pytestmark = pytest.mark.skipif(VECTORS is None, reason="the golden vectors (../shared/parity) are not here")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_vector_is_met(path: Path) -> None:
    result = run_file(path, HANDLERS)
    if result.note.startswith("FileNotFoundError"):  # a vector of a published checkpoint that is not here
        pytest.skip(result.note)
    assert result.status == "ok", result.line()


@pytest.mark.parametrize("pattern", CLAIMED)
def test_every_claimed_vector_has_a_handler(pattern: str) -> None:
    if PROBLEMS:
        pytest.skip("; ".join(PROBLEMS))
    assert VECTORS is not None
    files = [path for path in collect([VECTORS]) if fnmatch(f"{path.parent.name}/{path.name}", pattern)]
    assert files, f"no vector fits {pattern}"
    assert set(files) <= set(FILES)
