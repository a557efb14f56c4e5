"""An invented Israeli gift shop: a year of its history and today's visitors, through the same doors as the world."""
