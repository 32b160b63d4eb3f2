"""What each model costs at each profile (parameters, FLOPs, runs a frame, memory) beside published counts."""
