"""What all CUDA kernels share."""
