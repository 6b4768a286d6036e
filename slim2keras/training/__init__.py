"""Fine-tuning as slim trains."""
