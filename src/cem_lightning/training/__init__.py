"""The LightningModule with the mixed CPT/CIT objective, and how it is run."""
