"""Where the gradients of the Dirichlet objectives go, as the number of classes grows (arXiv 2105.06987, section 3)."""
