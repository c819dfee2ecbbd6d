"""The firmware: C sources, boards, and how they are built and packaged."""
