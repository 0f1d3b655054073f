"""GFPose: one score network over single poses, for estimation, completion, generation and denoising."""

from .network import BODY_PARTS, Bernoulli, ScoreNetwork, positional_embedding, score_function
from .precondition import GROUP, Preconditioned

__all__ = ["BODY_PARTS", "GROUP", "Bernoulli", "Preconditioned", "ScoreNetwork", "positional_embedding", "score_function"]
