"""Whether a build has sanitizers, which change what tests may take and measure."""

import os


def is_sanitized(build):
    """By its name, such as build-sanitize."""
    return "san" in os.path.basename(build.rstrip("/"))
