"""Running a study: selection, resources, locks, failures."""
