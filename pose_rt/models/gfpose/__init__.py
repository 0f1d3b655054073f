"""GFPose: one score network over single poses, for estimation, completion, generation and denoising."""

from .network import BODY_PARTS, ScoreNetwork, positional_embedding, score_function

__all__ = ["BODY_PARTS", "ScoreNetwork", "positional_embedding", "score_function"]
