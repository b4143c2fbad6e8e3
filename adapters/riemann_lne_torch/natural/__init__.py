"""The natural gradient of the LNE metrics: as a corrector of gradients and as estimators."""
