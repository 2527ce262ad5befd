"""The main job on real data: configurations and workflow, and the figures of one run of it."""
