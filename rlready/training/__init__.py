"""What SFT and RL share: the Trainer's settings, processes, TrainJobs and checkpoints."""
