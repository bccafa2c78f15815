"""nnU-Net trainers: schedule, optimisers and logging around the networks and losses."""
