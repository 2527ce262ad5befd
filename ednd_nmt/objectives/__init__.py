"""The distillation objectives: one file each, values and closed-form gradients, no fairseq."""
