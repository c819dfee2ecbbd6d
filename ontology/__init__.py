"""What describes devices and models: the knowledge graph."""
