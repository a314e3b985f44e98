"""What runs without torch: artifacts, the integer model, the core, the existing FPGA IP, and devices."""
