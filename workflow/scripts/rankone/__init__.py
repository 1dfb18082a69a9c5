"""Rankone: what RLVR does to a model's weights, and which part carries the gain."""
