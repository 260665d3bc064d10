"""One folder for each domain. Domains never import each other: a downstream names its upstream by its key."""
