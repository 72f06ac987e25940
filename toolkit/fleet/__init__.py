"""What talks with devices: drivers that join `protocol` to `link`, and what they need to run on one machine."""
