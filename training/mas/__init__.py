"""MAS (Kapon et al., CVPR 2024): a diffusion model of 2D motion, and 3D motion from it. See the README for equations and files."""
