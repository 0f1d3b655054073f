"""Ops called from several threads at once give what one thread gives: scratch belongs to a thread, nothing else is shared."""

from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np

CAMERA = np.array([2.0, 2.0, 0.0, 0.0], np.float32)


def work(ops: ModuleType, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    heatmap = rng.normal(size=(3, 16 + seed, 12)).astype(np.float32)
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    hypotheses = rng.normal(size=(1, 4, 3, 17, 3)).astype(np.float32)
    boxes = rng.normal(0, 20, (50, 12)).astype(np.float32)
    scores = rng.normal(0, 2, 50).astype(np.float32)
    return [
        *ops.sample_coordinates(heatmap, 4, seed=seed),
        ops.gumbel_softmax(heatmap[0], 3, temperature=0.7, seed=seed),
        *ops.refine_heatmaps(heatmap[None], np.full((1, 3, 2), 0.5, np.float32)),
        ops.blend_bases(hypotheses[0, 0], draws=5, seed=seed),
        ops.project(hypotheses, CAMERA),
        *ops.aggregate(hypotheses),
        ops.crop_warp(image, np.array([[20, 20, 30, 0.2]], np.float32), 24),
        *ops.decode_detections(boxes, scores, anchors=boxes[:, :2] * np.float32(0.01)),
        ops.one_euro(heatmap[0], ops.OneEuroState.empty(*heatmap[0].shape), 0.0, min_cutoff=1.0, beta=0.0),
    ]


def test_threads_do_not_disturb_each_other(native: ModuleType) -> None:
    expected = [work(native, seed) for seed in range(6)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for got, want in zip(pool.map(lambda seed: work(native, seed), range(6)), expected, strict=True):
                for a, b in zip(got, want, strict=True):
                    np.testing.assert_array_equal(a, b)
