"""Networks of other libraries and formats: NIR in both directions, and modules of snnTorch."""
