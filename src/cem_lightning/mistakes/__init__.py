"""What the model does not know: collecting, knowledge points, triage."""
