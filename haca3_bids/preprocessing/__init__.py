"""From a raw scan to the template grid: bias field, registration, template."""
